"""A stopped startup goes on when its job does, or ends with it, whoever saw to that.

At home's shell `fg`, `bg` and kill(1) reach the startup itself. `glukill -CONT`, `-KILL`, or the
end of a node reach the job, and a stopped process reads no messages. So while the startup is
stopped a child of its, the *waker*, looks at what comes on the link without taking it (MSG_PEEK),
and sends SIGCONT for what says that the job does not stay stopped. Imported when there is a stop.
"""

from __future__ import annotations

import _signal
import _socket
import posix
import select

from glunix.errors import GlunixError
from glunix.home.signals import stop_self
from glunix.home.sinks import to_nowhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.link import HomeLink

_NEWS = ("continued", "exited", "failed", "lost", "refused", "rootexited")
"""After these the job is not what was stopped."""
_LOOK = 250
"""Milliseconds between looks while there is unread news: poll(2) would not wait for more."""
_AGAIN = 20
"""Milliseconds until SIGCONT is sent again: the startup may have stopped after it (signal(7))."""


def stop_until_news(link: HomeLink, number: int) -> bool:
    """Stop this process as `number` does. Returns, when it goes on, whether the job is the reason:
    SIGCONT is then no news to the job."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    startup = posix.getpid()
    try:
        waker = posix.fork()
        if not waker:
            _watch(link, theirs, startup)
    except OSError:  # over the user's limit of processes: only fg(1) helps then
        waker = 0
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    theirs.close()
    try:
        stop_self(number)
        return bool(waker) and _is_woken(ours)
    finally:
        ours.close()
        if waker:
            _end(waker)


def _is_woken(sock: _socket.socket) -> bool:
    try:
        return bool(sock.recv(1, _socket.MSG_DONTWAIT))
    except OSError:
        return False


def _end(waker: int) -> None:
    try:
        posix.kill(waker, _signal.SIGKILL)
        posix.waitpid(waker, 0)
    except (ChildProcessError, ProcessLookupError):
        pass  # the user ignores SIGCHLD: the kernel has waited for it


def _watch(link: HomeLink, sock: _socket.socket, startup: int) -> None:
    """Be the waker, of no terminal's; never returns. All signals are blocked."""
    try:
        _signal.set_wakeup_fd(-1)
        posix.setsid()
        to_nowhere(0, 1, 2)
        keep = sorted((link.fileno(), sock.fileno()))
        for low, high in zip([2, *keep], [*keep, 1 << 20], strict=True):
            posix.closerange(low + 1, high)
        _await_news(link, sock)
        sock.send(b"!")
        over = select.poll()
        over.register(sock, select.POLLIN)
        while posix.getppid() == startup:
            posix.kill(startup, _signal.SIGCONT)
            if over.poll(_AGAIN):
                break
    finally:
        posix._exit(0)


def _await_news(link: HomeLink, sock: _socket.socket) -> None:
    """Return when there is news on the link; end when the startup goes on, or has ended."""
    link.look_ahead(True)
    over = select.poll()
    over.register(sock, select.POLLIN)
    both = select.poll()
    both.register(sock, select.POLLIN)
    both.register(link.fileno(), select.POLLIN)
    while True:
        both.poll()
        try:
            messages = link.receive()
        except GlunixError:
            return  # the startup finds the same
        if any(message[0] in _NEWS for _, message in messages):
            return
        if over.poll(_LOOK):
            posix._exit(0)
