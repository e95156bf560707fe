"""`crypt`: files under a directory are stored encrypted, programs see plain text.

    crypt:dir=DIR,key=FILE       FILE: 32 bytes, a regular file of ours, mode 0600 or stricter

An open of a regular file in DIR is answered with a memory file that holds its plain text, one for
all who have the file open (`plaintext`). Reading, seeking, dup, fork, mmap, sendfile, locks and
readiness are then the kernel's own, at its own speed. Calls that change the file are caught and
done twice by the supervisor: first encrypted in the real file, then in the memory file. When write
returns, the encrypted file is as far as a plain one would be (`cipherfile`: format, what it
protects). Sizes and attributes told are those of the real file, with the length of the text.

Catches: opens; the write family; ftruncate, truncate, fallocate; the stat family; fsync, fchmod,
fchown, futimens, f*xattr; renames and links across DIR's border (EXDEV, mv and cp then copy).
sendfile and splice into such a file fail with EINVAL, copy_file_range with EXDEV: programs fall
back to write. mmap: served for reading and MAP_PRIVATE; MAP_SHARED for writing fails with ENODEV
(stores could not be seen). io_setup fails with ENOSYS.

Limits.
- A write that finds room for a part of its data takes that part. The space of a file that was open
  when it was removed is given back at the first open, removal, write without room, exec or statfs
  after it is closed.
- An open takes time and memory of the size of the file; both are the supervisor's. The text is
  in memory (and swap) while a program has the file open, and of a few files afterwards.
- One supervisor at a time writes a file; changes by others are seen at the next open.
- A file in DIR that is plain or damaged (a block changed, moved, zeroed or cut off) fails with EIO,
  one of another key with EACCES. Not noticed: a file, block or header put back to an older state, a
  file that is emptied or removed; the size told of a file is checked when it is opened.
- Files of the first format can be read; changing one fails with EROFS: copy it.
- Names, lengths and times are not hidden. O_TMPFILE and O_DIRECT are refused and ignored in DIR.
- Programs in DIR cannot be executed (scripts can, by shells that read them); DIR must stay where
  it is. /proc/self/fd shows a memory file, inotify misses
  closings. RLIMIT_FSIZE is not looked at. A mapping made for
  reading and changed by mprotect to writing changes memory only.
- Under `restrict` (which stands above) opens and renames are confined. Attributes of a file opened
  for reading can be changed by its owner all the same.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from slic.interposer import Bits, Call, Interposer, any_of, on
from slic.interposers.support.callers import Instead, gathered, seen, signed
from slic.interposers.support.changes import planned
from slic.interposers.support.cipherfile import FirstFormat
from slic.interposers.support.cipherheader import KEY, read_key
from slic.interposers.support.confined import Confined
from slic.interposers.support.opens import OPENS, Opening, opening
from slic.interposers.support.pathcalls import spoken
from slic.interposers.support.plaintext import Plain, Plains, both_ways
from slic.interposers.support.statbuf import pack_stat, pack_statx
from slic.tracee import AT_FDCWD, Tracee
from slic.verdict import PASS, Capability, Continue, Fail, Return, ReturnFd, Verdict

MAP_SHARED, MAP_ANONYMOUS, PROT_WRITE, AT_SYMLINK_NOFOLLOW, FALLOC_KEEP_SIZE = 1, 0x20, 2, 0x100, 1
RWF_APPEND, RWF_HARMLESS = 0x10, 0x1 | 0x2 | 0x4  # high priority, data sync, sync
HANDED_IN = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_DSYNC
OUTSIDE = Continue("not in the encrypted directory")


class Crypt(Interposer):
    """See the module. `finished` closes the memory files."""

    def __init__(self, directory: str, master: bytes) -> None:
        """`directory` is an existing path, `master` the 32 bytes of the key."""
        if len(master) != KEY or not Path(directory).is_dir():
            raise ValueError(f"{directory} is no directory, or the key has not {KEY} bytes")
        self.directory = os.path.realpath(directory)
        self._plains = Plains(master)
        self._explained_once = False

    @classmethod
    def from_argument(cls, text: str) -> Self:
        given = dict(part.partition("=")[::2] for part in text.split(",") if part)
        if set(given) != {"dir", "key"}:
            raise ValueError(f"crypt wants dir=DIR,key=FILE, got {text!r}")
        return cls(given["dir"], read_key(given["key"]))

    def finished(self) -> None:
        self._plains.close()

    # -- opening -----------------------------------------------------------------------------
    @on(*OPENS, needs=Capability.RETURN | Capability.ADD_FD)
    def opened(self, tracee: Tracee, call: Call) -> Verdict:
        asked = opening(tracee, call)
        self._plains.give_back()
        try:
            status, path = seen(tracee, asked.dirfd, asked.name, bool(asked.flags & os.O_NOFOLLOW))
        except FileNotFoundError:
            if not asked.flags & os.O_CREAT:
                return OUTSIDE
            above = self._folder_inside(tracee, asked.dirfd, asked.name)
            return self._created(tracee, asked, above)
        except OSError:
            return OUTSIDE
        if (plain := self._plains.of(status)) is not None:  # /dev/fd/N, of one that is handed in
            if asked.flags & os.O_TRUNC:
                plain.truncate(0)
            return PASS
        if asked.flags & os.O_TMPFILE == os.O_TMPFILE and self._inside(path + "/"):
            return Fail(errno.EOPNOTSUPP)
        if not self._inside(path) or asked.flags & os.O_PATH:
            return OUTSIDE
        return self._created(tracee, asked, True) if stat.S_ISREG(status.st_mode) else OUTSIDE

    def _created(self, tracee: Tracee, asked: Opening, inside: bool) -> Verdict:
        """Open the real file as the caller; hand in its text if it is inside (by a link too)."""
        ours = asked._replace(flags=(asked.flags & ~os.O_DIRECT) | os.O_NONBLOCK)
        real = both_ways(tracee, ours) if inside else tracee.open(*ours)
        if self._inside_file(real):
            try:
                fd = self._plains.open(real).descriptor(asked.flags & HANDED_IN)
            finally:
                os.close(real)
        else:
            fd = real
            fcntl.fcntl(fd, fcntl.F_SETFL, asked.flags)
        return ReturnFd(fd, cloexec=asked.cloexec)

    # -- changing ----------------------------------------------------------------------------
    @on("write", "pwrite64", "writev", "pwritev", "pwritev2")
    def written(self, tracee: Tracee, call: Call, fd: int) -> Verdict:
        if (plain := self._plain(tracee, fd)) is None:
            return OUTSIDE
        given = call.named()
        flags = given.get("flags", 0)
        positioned = call.name in ("pwrite64", "pwritev", "pwritev2")
        at = signed(given.get("pos", given.get("pos_l", 0)))
        if flags & ~(RWF_APPEND | RWF_HARMLESS):
            return Fail(errno.EOPNOTSUPP)
        if positioned and at < 0 and not (call.name == "pwritev2" and at == -1):
            return Fail(errno.EINVAL)
        if "buf" in given:
            vector = [(given["buf"], given["count"])]
        else:
            vector = tracee.iovec(given["vec"], given["vlen"])
        own = tracee.fd_dup(fd)
        try:
            mode = fcntl.fcntl(own, fcntl.F_GETFL)
            if mode & os.O_ACCMODE == os.O_RDONLY:
                return Fail(errno.EBADF)
            data = gathered(tracee, vector)
            moves = not positioned or at == -1
            if mode & os.O_APPEND or flags & RWF_APPEND:
                at = plain.size()
            elif moves:
                at = os.lseek(own, 0, os.SEEK_CUR)
            with self._explained(plain):
                taken = self._taken(plain, at, data)
            if moves:
                os.lseek(own, at + taken, os.SEEK_SET)
            if mode & os.O_DSYNC or flags & RWF_HARMLESS:
                os.fsync(plain.real)
        finally:
            os.close(own)
        return Return(taken)

    def _taken(self, plain: Plain, at: int, data: bytes) -> int:
        """Write; where there is no room, with what removed files still held. Bytes taken."""
        try:
            return plain.write(at, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._plains.give_back():
                raise
        return plain.write(at, data)

    @on("ftruncate", "fallocate")
    def resized(self, tracee: Tracee, call: Call, fd: int) -> Verdict:
        if (plain := self._plain(tracee, fd)) is None:
            return OUTSIDE
        given = call.named()
        if tracee.fd_flags(fd) & os.O_ACCMODE == os.O_RDONLY:
            return Fail(errno.EINVAL if call.name == "ftruncate" else errno.EBADF)
        if call.name == "fallocate":
            end = given["offset"] + given["len"]
            if given["mode"] & ~FALLOC_KEEP_SIZE:
                return Fail(errno.EOPNOTSUPP)
            if given["offset"] < 0 or given["len"] <= 0:
                return Fail(errno.EINVAL)
            length = plain.size() if given["mode"] else max(plain.size(), end)
        elif (length := signed(given["length"])) < 0:
            return Fail(errno.EINVAL)
        with self._explained(plain):
            plain.truncate(length)
        return Return(0)

    @on("truncate")
    def truncated(self, tracee: Tracee, path: int, length: int) -> Verdict:
        name = tracee.cstring(path)
        status, real_path = seen(tracee, AT_FDCWD, name)
        if not self._inside(real_path) or not stat.S_ISREG(status.st_mode):
            return OUTSIDE
        if length < 0:
            return Fail(errno.EINVAL)
        real = both_ways(tracee, Opening(AT_FDCWD, name, os.O_WRONLY | os.O_NONBLOCK, 0, 0))
        try:
            plain = self._plains.open(real)
            with self._explained(plain):
                plain.truncate(length)
        finally:
            os.close(real)
        return Return(0)

    @on(
        "mmap",
        where={
            "flags": Bits(MAP_SHARED | MAP_ANONYMOUS, frozenset({MAP_SHARED})),
            "prot": any_of(PROT_WRITE),
        },
    )
    def mapped(self, tracee: Tracee, fd: int) -> Verdict:
        if self._plain(tracee, fd) is None or not tracee.fd_flags(fd) & os.O_RDWR:
            return OUTSIDE  # what is not open for writing the kernel itself refuses to map so
        return Fail(errno.ENODEV)

    @on("sendfile", "splice", "copy_file_range")
    def copied(self, tracee: Tracee, call: Call, out_fd: int = -1, fd_out: int = -1) -> Verdict:
        if self._plain(tracee, out_fd if call.name == "sendfile" else fd_out) is None:
            return OUTSIDE
        return Fail(errno.EXDEV if call.name == "copy_file_range" else errno.EINVAL)

    @on("execve", "execveat", needs=Capability.INSPECT)
    def executed(self, tracee: Tracee) -> Verdict:
        self._plains.give_back()
        self._plains.release()
        return PASS

    @on("io_setup")
    def unseen(self, tracee: Tracee) -> Verdict:
        return Fail(errno.ENOSYS)

    @on("rename", "renameat", "renameat2", "link", "linkat")
    def moved(self, tracee: Tracee, call: Call) -> Verdict:
        inside = set()
        for dirfd, name in (named := list(spoken(tracee, call))):
            inside.add(self._folder_inside(tracee, dirfd, name or b""))
        if len(inside) == 2:
            return Fail(errno.EXDEV)
        if call.name.startswith("rename"):
            self._leave(tracee, *named[-1])
        return PASS

    @on("unlink", "unlinkat", needs=Capability.INSPECT)
    def removed(self, tracee: Tracee, call: Call) -> Verdict:
        for dirfd, name in spoken(tracee, call):
            self._leave(tracee, dirfd, name)
        return PASS

    @on("statfs", "fstatfs", needs=Capability.INSPECT)
    def room_told(self, tracee: Tracee) -> Verdict:
        self._plains.give_back()
        return PASS

    def _leave(self, tracee: Tracee, dirfd: int, name: bytes | None) -> None:
        """A name is about to go, and with it perhaps a file that we hold open."""
        self._plains.give_back()
        try:
            status, _ = seen(tracee, dirfd, name or b"", itself=True)
        except OSError:
            return  # the kernel tells why
        self._plains.leave(status)

    # -- telling -----------------------------------------------------------------------------
    @on("fstat", "stat", "lstat", "newfstatat", "statx")
    def told(self, tracee: Tracee, call: Call) -> Verdict:
        given = call.named()
        text = given.get("filename", given.get("pathname"))
        name = b"" if text is None else tracee.cstring(text)
        base = given.get("fd", given.get("dfd", given.get("dirfd", AT_FDCWD)))
        flags = given.get("flag", given.get("flags", 0))
        itself = bool(flags & AT_SYMLINK_NOFOLLOW) or call.name == "lstat"
        try:
            if not name and base != AT_FDCWD:
                status, path = tracee.fd_stat(base), tracee.fd_link(base)
            else:
                status, path = seen(tracee, base, name, itself)
        except OSError:
            return OUTSIDE  # the kernel tells why
        if (plain := self._plains.of(status)) is not None:
            status, size = os.fstat(plain.real), plain.size()
        elif stat.S_ISREG(status.st_mode) and self._inside(path):
            size = self._plains.size_of(path if name else f"/proc/{tracee.tid}/fd/{base}", status)
        else:
            return OUTSIDE
        if call.name == "statx":
            tracee.write(given["statxbuf"], pack_statx(status, size))
        else:
            tracee.write(given["statbuf"], pack_stat(status, size))
        return Return(0)

    @on("fsync", "fdatasync", "sync_file_range", "syncfs")
    def synced(self, tracee: Tracee, fd: int) -> Verdict:
        if (plain := self._plain(tracee, fd)) is None:
            return OUTSIDE
        os.fsync(plain.real)
        return Return(0)

    @on("fchmod", "fchown", "fremovexattr", "fsetxattr")
    @on("futimesat", "utimensat", where={"filename": {0}})
    def attributed(self, tracee: Tracee, call: Call) -> Verdict:
        given = call.named()
        if (plain := self._plain(tracee, given.get("fd", given.get("dfd", -1)))) is None:
            return OUTSIDE
        with Confined(Instead(tracee, plain.real), lambda path, use: True) as real:
            perform = planned(real, call)
            with tracee.acting():
                perform()
        return Return(0)

    @on("fgetxattr", "flistxattr")
    def listed(self, tracee: Tracee, call: Call, fd: int, size: int) -> Verdict:
        if (plain := self._plain(tracee, fd)) is None:
            return OUTSIDE
        given = call.named()
        with tracee.acting():
            if call.name == "fgetxattr":
                answer = os.getxattr(plain.real, tracee.cstring(given["name"]))
            else:
                answer = b"".join(os.fsencode(n) + b"\0" for n in os.listxattr(plain.real))
        if size:
            if len(answer) > size:
                return Fail(errno.ERANGE)
            tracee.write(given.get("value", given.get("list", 0)), answer)
        return Return(len(answer))

    # -- saying ------------------------------------------------------------------------------
    @contextmanager
    def _explained(self, plain: Plain) -> Iterator[None]:
        """The program sees EROFS of a file of the first format; a line says what that means."""
        try:
            yield
        except FirstFormat:
            if not self._explained_once:
                self._explained_once = True
                name = os.readlink(f"/proc/self/fd/{plain.real}")
                text = f"slic: crypt: {name} is of the first format: copy it to change it\n"
                os.write(2, text.encode(errors="surrogateescape"))
            raise

    # -- which -------------------------------------------------------------------------------
    def _plain(self, tracee: Tracee, fd: int) -> Plain | None:
        """The text a descriptor of the caller leads to, if it is one of ours."""
        try:
            return self._plains.of(tracee.fd_stat(fd))
        except OSError:
            return None  # no such descriptor: the kernel says so

    def _inside(self, path: str) -> bool:
        return path.startswith(self.directory + "/")

    def _folder_inside(self, tracee: Tracee, dirfd: int, name: bytes) -> bool:
        above, slash, _ = name.rstrip(b"/").rpartition(b"/")
        return self._inside(seen(tracee, dirfd, above or slash or b".")[1] + "/")

    def _inside_file(self, fd: int) -> bool:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        return regular and self._inside(os.readlink(f"/proc/self/fd/{fd}"))
