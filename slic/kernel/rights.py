"""Descriptors that come over Unix sockets uninvited (unix(7), SCM_RIGHTS): how to have none.

A descriptor that nobody takes is closed by the kernel in the process that reads or closes the
socket, and the close of another's object can last as long as he likes (SO_LINGER, a file system of
his own). Linux 6.16 lets a socket refuse them (SO_PASSRIGHTS, which accepted sockets inherit);
before that, they can be seen in the queue by a look that takes nothing.
"""

import socket

SO_PASSRIGHTS = 83
_QUEUE_MAX = 1 << 20
"""More than what can wait in a Unix socket at its default size (net.core.wmem_max)."""


def refuse_rights(sock: socket.socket) -> bool:
    """Have the kernel refuse them, with EPERM for the sender. False where it cannot."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
    except OSError:
        return False
    return True


def holds_rights(sock: socket.socket) -> bool:
    """Whether some wait in its queue. After shutdown(SHUT_RDWR) no more can come."""
    try:
        _, _, flags, _ = sock.recvmsg(_QUEUE_MAX, 0, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    return bool(flags & socket.MSG_CTRUNC)
