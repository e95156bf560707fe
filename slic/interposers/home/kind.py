"""`HomeKind`: what tells a file on fds 0-2 from the object that stands for it.

A file of home is a pipe here when it is written, a file in memory when it is read. Programs decide
by what only files, or only pipes, can do: event loops by epoll_ctl's EPERM, libraries by
F_GETPIPE_SZ. All of these are asked of home's kernel, and are rare: no build makes one of them.

Limits: nobody gets a lease (EAGAIN, as when another process has the file open, which is so). Of
extended attributes, those of others than `user.` are not set (EPERM). poll and select see the pipe.
"""

import errno
import struct

from slic.interposer import any_of, on
from slic.interposers.home.descriptors import FILE_OUTPUT, Asking, HomeFds, StandIn, StandInCalls
from slic.interposers.home.questions import CallHome
from slic.interposers.home.sockets import SOCKETS
from slic.interposers.support.callers import signed
from slic.tracee import Tracee
from slic.verdict import PASS, Fail, Return, Verdict

AT_EMPTY_PATH = 0x1000
FIRST_OPENED = 80
"""Numbers from here on are those of what the job has opened at home (glunix.node.calls.files)."""
F_SETLEASE, F_GETLEASE = 1024, 1025
F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS = 1031, 1032, 1033, 1034
COMMANDS = {F_GETLEASE, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS}
LEASES = {0, 1, 2}
"""F_RDLCK, F_WRLCK, F_UNLCK."""
EPOLL_CTL_DEL = 2
_EPOLL_EVENT = 12
_UINT, _INT = struct.Struct("=I"), struct.Struct("=i")
XATTR_SIZE_MAX = 65536
HANDLE_MAX = 128


class HomeKind(StandInCalls):
    """See the module."""

    def __init__(self, fds: HomeFds) -> None:
        super().__init__(fds)
        self._polls: dict[int, int] = {}
        """home's fd -> epoll's error there, or 0; one open file's never changes."""

    def _file(self, tracee: Tracee, fd: int) -> StandIn | None:
        """What was given, whatever it is; of what the job has opened itself (`HomeFiles`), none."""
        found = self._of_kind(tracee, fd, FILE_OUTPUT, "file", "dir", "tty", *SOCKETS)
        if found is None or found.fd >= FIRST_OPENED or (found.kind == "tty" and not found.path):
            return None
        return found

    def _asked(self, tracee: Tracee, call: str, fd: int, *numbers: int) -> Verdict | Asking:
        stand_in = self._file(tracee, fd)
        return PASS if stand_in is None else self._ask(stand_in, call, numbers)

    def _ask(self, stand_in: StandIn, call: str, numbers: tuple[int, ...]) -> Asking:
        value, _, _ = yield CallHome(call, stand_in.fd, (), numbers)
        return Return(value)

    # -- readiness ---------------------------------------------------------------------------

    @on("epoll_ctl", about="fd")
    def epoll_ctl(
        self, tracee: Tracee, epfd: int, op: int, fd: int, event: int
    ) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, fd, FILE_OUTPUT)  # a file in memory says it itself
        if stand_in is None:
            return PASS
        if op != EPOLL_CTL_DEL:
            tracee.read(event, _EPOLL_EVENT)  # EFAULT comes first
        try:
            tracee.fd_stat(epfd)
        except OSError:
            return PASS  # EBADF
        return self._poll(stand_in)

    def _poll(self, stand_in: StandIn) -> Asking:
        if stand_in.fd not in self._polls:
            try:
                yield CallHome("poll", stand_in.fd)
                self._polls[stand_in.fd] = 0
            except OSError as error:
                self._polls[stand_in.fd] = error.errno or errno.EIO
        number = self._polls[stand_in.fd]
        return Fail(number) if number else PASS

    # -- fcntl -------------------------------------------------------------------------------

    @on("fcntl", where={"cmd": COMMANDS}, about="fd")
    def command(self, tracee: Tracee, fd: int, cmd: int, arg: int) -> Verdict | Asking:
        if cmd == F_GETLEASE and self._of_kind(tracee, fd, FILE_OUTPUT) is None:
            return PASS  # as F_SETLEASE: on the stand-in, a file of its own
        return self._asked(tracee, "command", fd, cmd, arg & 0x7FFFFFFF)

    @on("fcntl", where={"cmd": {F_SETLEASE}}, about="fd")
    def lease(self, tracee: Tracee, fd: int, arg: int) -> Verdict | Asking:
        if self._of_kind(tracee, fd, FILE_OUTPUT) is None:
            return PASS
        return self._asked(tracee, "lease", fd) if arg in LEASES else Fail(errno.EINVAL)

    # -- its pages ---------------------------------------------------------------------------

    @on("fadvise64", about="fd")
    def advise(
        self, tracee: Tracee, fd: int, offset: int, len: int, advice: int
    ) -> Verdict | Asking:
        return self._asked(tracee, "fadvise", fd, signed(offset), signed(len), advice)

    @on("readahead", about="fd")
    def readahead(self, tracee: Tracee, fd: int, offset: int, count: int) -> Verdict | Asking:
        return self._asked(tracee, "readahead", fd, signed(offset), signed(count))

    @on("sync_file_range", about="fd")
    def sync_file_range(
        self, tracee: Tracee, fd: int, offset: int, nbytes: int, flags: int
    ) -> Verdict | Asking:
        return self._asked(tracee, "syncrange", fd, signed(offset), signed(nbytes), flags)

    # -- extended attributes -----------------------------------------------------------------

    @on("fgetxattr", about="fd")
    def get(self, tracee: Tracee, fd: int, name: int, value: int, size: int) -> Verdict | Asking:
        stand_in = self._file(tracee, fd)
        if stand_in is None:
            return PASS
        question = CallHome("getxattr", stand_in.fd, (), (), tracee.cstring(name, 256))
        return self._filled(tracee, question, value, size)

    @on("flistxattr", about="fd")
    def names(self, tracee: Tracee, fd: int, list: int, size: int) -> Verdict | Asking:
        stand_in = self._file(tracee, fd)
        if stand_in is None:
            return PASS
        return self._filled(tracee, CallHome("listxattr", stand_in.fd), list, size)

    def _filled(self, tracee: Tracee, question: CallHome, room: int, size: int) -> Asking:
        """Size 0 asks how many bytes there are (getxattr(2))."""
        _, _, data = yield question
        if size and len(data) > size:
            return Fail(errno.ERANGE)
        if size:
            tracee.write(room, data)
        return Return(len(data))

    @on("fsetxattr", about="fd")
    def set(
        self, tracee: Tracee, fd: int, name: int, value: int, size: int, flags: int
    ) -> Verdict | Asking:
        stand_in = self._file(tracee, fd)
        if stand_in is None:
            return PASS
        if size > XATTR_SIZE_MAX:
            return Fail(errno.E2BIG)
        data = tracee.cstring(name, 256) + b"\0" + (tracee.read(value, size) if size else b"")
        return self._told(CallHome("setxattr", stand_in.fd, (), (flags,), data))

    @on("fremovexattr", about="fd")
    def remove(self, tracee: Tracee, fd: int, name: int) -> Verdict | Asking:
        stand_in = self._file(tracee, fd)
        if stand_in is None:
            return PASS
        return self._told(CallHome("removexattr", stand_in.fd, (), (), tracee.cstring(name, 256)))

    @staticmethod
    def _told(question: CallHome) -> Asking:
        yield question
        return Return(0)

    # -- its handle --------------------------------------------------------------------------

    @on("name_to_handle_at", where={"flag": any_of(AT_EMPTY_PATH)}, about="dirfd")
    def name_to_handle(
        self, tracee: Tracee, dirfd: int, name: int, handle: int, mnt_id: int
    ) -> Verdict | Asking:
        stand_in = self._file(tracee, dirfd)
        if stand_in is None or tracee.read(name, 1) != b"\0":
            return PASS
        return self._handle(tracee, stand_in, handle, mnt_id)

    def _handle(self, tracee: Tracee, stand_in: StandIn, handle: int, mnt_id: int) -> Asking:
        room = int(_UINT.unpack(tracee.read(handle, 4))[0])
        if room > HANDLE_MAX:
            return Fail(errno.EOPNOTSUPP if stand_in.kind in SOCKETS else errno.EINVAL)
        _, (kind, mount), data = yield CallHome("handle", stand_in.fd)
        if len(data) > HANDLE_MAX:
            return Fail(errno.EIO)
        tracee.write(handle, _UINT.pack(len(data)))
        tracee.write(mnt_id, _INT.pack(mount))
        if len(data) > room:
            return Fail(errno.EOVERFLOW)
        tracee.write(handle + 4, _INT.pack(kind) + data)
        return Return(0)
