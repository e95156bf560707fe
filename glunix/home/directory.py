"""A working directory that no name leads to: removed, forbidden, too far down.

A job that starts there natively runs. So a node that is this machine gets the directory itself, as
an open descriptor, from a thread that waits for the job's process: it says a secret that was in the
Submit, and must be this user's (glunix.node.spawn.directory). Another machine has only the name.
"""

from __future__ import annotations

import _signal
import _socket
import _thread
import posix
from _operator import _compare_digest

from glunix.errors import GlunixError

SECRET = 32
"""Bytes, of glunix.msg.job.JobSpec.directory."""

LONGEST = 16 * 4096
"""Bytes of a directory's name that a job may have (glunix.msg.job.JobSpec.cwd)."""

_OWN = b"/proc/self/cwd"
"""As `.`, but without the right to search it."""

_PATIENCE = 30.0
"""Seconds for one that has come to say the secret."""
_QUEUE = 16


def without_name() -> tuple[bytes, bool, Giver | None]:
    """JobSpec's `cwd` and `removed`, and what hands the directory over, where that can be."""
    removed, path = False, b"/"
    try:
        path = posix.getcwdb()
    except OSError as error:
        # Only what is known to be gone may be another empty directory on the node.
        removed = posix.stat(_OWN).st_nlink == 0
        why = f"the current directory is gone: {error.strerror}"
    if len(path) > LONGEST:
        why = f"the current directory's name is too long: {len(path)} bytes"
        path = b"/"
    giver = _giver()
    if giver is None and path == b"/" and not removed:
        raise GlunixError(why)
    return path, removed, giver


def _giver() -> Giver | None:
    try:
        return Giver()
    except OSError:
        return None  # no descriptors left: the name has to do


class Giver:
    """The directory, and the socket where it is asked for. `start` comes after every fork."""

    def __init__(self) -> None:
        self._secret = posix.urandom(SECRET)
        name = b"\0glunix-" + posix.urandom(16).hex().encode()
        self.spec = self._secret + name
        """As JobSpec.directory."""
        self._directory = posix.open(_OWN, posix.O_PATH | posix.O_CLOEXEC)
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._sock.bind(name)
        self._sock.listen(_QUEUE)

    def start(self) -> None:
        """Answer from now on; who has come waits."""
        try:
            _thread.start_new_thread(self._serve, ())
        except RuntimeError:
            self._sock.close()  # no threads left: the name has to do

    def _serve(self) -> None:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())  # the startup's
        while True:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]
            sock = _socket.socket(fileno=fd)
            sock.settimeout(_PATIENCE)
            try:
                self._answer(sock)
            except OSError:
                pass  # that one is gone, or says nothing
            finally:
                sock.close()

    def _answer(self, sock: _socket.socket) -> None:
        peer = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(peer[4:8], "little") != posix.geteuid():
            return
        if _compare_digest(sock.recv(SECRET, _socket.MSG_WAITALL), self._secret):
            rights = self._directory.to_bytes(4, "little")
            sock.sendmsg([b"d"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
