"""The supervisor's end of a line of the job's own (glunix.home.direct), if its home is here."""

import socket
import struct

_UCRED = struct.Struct("3i")
"""pid, uid, gid (unix(7), SO_PEERCRED)."""


def connect(name: bytes, uid: int) -> socket.socket | None:
    """A connection to the startup that listens by this name; None when there is none to be had.

    The name is a client's word, so the listener must be a process of the job's owner `uid`: the
    kernel says whose it is. On another machine, or in another network namespace, nobody listens.
    """
    if not name:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # a full queue of connections is no reason to wait
        sock.connect(name)
        cred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        sock.close()
        return None
    if _UCRED.unpack(cred)[1] != uid:
        sock.close()
        return None
    return sock
