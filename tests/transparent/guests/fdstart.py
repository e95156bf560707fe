"""Run a command with one descriptor of this kind, and keep its other end open meanwhile.

argv: the kind, the descriptor's number, the command. What is read from it is `some text`, once.
"""

import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import tty
from collections.abc import Callable

KIND, FD, WORDS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
TEXT = b"some text of a file\n"
Ends = tuple[int, int]
"""The descriptor, and what keeps it alive (-1: nothing)."""


def pair(kind: int) -> Ends:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    other.send(TEXT)
    if kind != socket.SOCK_STREAM:
        other.send(TEXT)
    return one.detach(), other.detach()


def tcp() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    other.send(TEXT)
    return one.detach(), other.detach()


def udp(connected: bool) -> Ends:
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (one, other):
        each.bind(("127.0.0.1", 0))
    if connected:
        one.connect(other.getsockname())
    for _ in range(2):
        other.sendto(TEXT, one.getsockname())
    return one.detach(), other.detach()


def listening() -> Ends:
    return socket.create_server(("127.0.0.1", 0)).detach(), -1


def unix_listening() -> Ends:
    one = socket.socket(socket.AF_UNIX)
    one.bind("a socket")
    one.listen(3)
    return one.detach(), -1


def terminal() -> Ends:
    master, slave = pty.openpty()
    tty.setraw(slave)
    mode = termios.tcgetattr(slave)
    mode[3] |= termios.ICANON
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    os.write(master, TEXT)
    return slave, master


def device(path: str, flags: int) -> Callable[[], Ends]:
    return lambda: (os.open(path, flags), -1)


def libc(name: str, *numbers: object) -> Ends:
    import ctypes

    return int(getattr(ctypes.CDLL(None), name)(*numbers)), -1


def signals() -> Ends:
    import ctypes

    mask = ctypes.create_string_buffer((1 << signal.SIGUSR1 - 1).to_bytes(8, "little"), 128)
    return int(ctypes.CDLL(None).signalfd(-1, mask, 0)), -1


def epoll() -> Ends:
    own = select.epoll()
    number = os.dup(own.fileno())
    own.close()
    return number, -1


def pipe_both() -> Ends:
    os.mkfifo("a fifo")
    own = os.open("a fifo", os.O_RDWR)
    os.write(own, TEXT)
    return own, -1


def pipe_in() -> Ends:
    ours, theirs = os.pipe()
    os.write(theirs, TEXT)
    return ours, theirs


def memory() -> Ends:
    own = os.memfd_create("m", os.MFD_ALLOW_SEALING)
    os.write(own, TEXT)
    os.lseek(own, 0, 0)
    return own, -1


KINDS: dict[str, Callable[[], Ends]] = {
    "stream": lambda: pair(socket.SOCK_STREAM),
    "dgram": lambda: pair(socket.SOCK_DGRAM),
    "packet": lambda: pair(socket.SOCK_SEQPACKET),
    "tcp": tcp,
    "udp": lambda: udp(True),
    "udp apart": lambda: udp(False),
    "listening": listening,
    "unix listening": unix_listening,
    "terminal": terminal,
    "controlling": terminal,
    "directory": device(".", os.O_RDONLY),
    "path": device(".", os.O_PATH),
    "pipe": pipe_in,
    "fifo": pipe_both,
    "memfd": memory,
    "eventfd": lambda: libc("eventfd", 5, 0),
    "timerfd": lambda: libc("timerfd_create", 1, 0),
    "inotify": lambda: libc("inotify_init1", 0),
    "signalfd": signals,
    "epoll": epoll,
    "pidfd": lambda: (os.pidfd_open(os.getppid()), -1),
}


def main() -> int:
    theirs, ours = KINDS[KIND]()
    if ours >= 0:
        fcntl.fcntl(ours, fcntl.F_SETFD, fcntl.FD_CLOEXEC)

    def prepare() -> None:
        os.dup2(theirs, FD)
        if theirs != FD:
            os.close(theirs)
        if KIND == "controlling":
            os.setsid()
            fcntl.ioctl(FD, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    with subprocess.Popen(WORDS, preexec_fn=prepare, close_fds=False) as child:
        return child.wait(30)


sys.exit(main())
