"""`identity`: the host name (and domain) that programs see. GLUnix paper section 7.3.

    identity:hostname=NAME[,domain=D][,set=job][,proc=no]

uname(2), and with it gethostname, getdomainname, `hostname`, `uname -n`; reads of
/proc/sys/kernel/hostname and domainname (a memfd is handed in). Everything else that uname tells
(release, machine) stays the node's. Without `domain` the node's own domain shows.

sethostname and setdomainname fail with EPERM, as for an unprivileged user, also for root: the node
is never renamed. With `set=job` they succeed for everyone, and every process of the job (and no
other) sees the new name.

`proc=no` leaves /proc alone; then no open is caught, which costs a build about 5 us an open.

Limits. One name for the whole job: a UTS namespace that the job makes itself shows it too. A
program of the 32-bit ABI sees the node's names, and personality(2)'s UNAME26 and PER_LINUX32 change
nothing. /proc/sys/kernel/hostname is recognised by its name, also relative or with `..`, not
through a symbolic link; it is not a boundary, a program can find out where it runs. The
handed-in file has the name's length as its size (natively 0). /etc/hostname is the node's file.
"""

import errno
import os
from collections.abc import Iterable
from typing import Self

from slic.interposer import Call, Handler, Interposer, on
from slic.interposers.support.opens import OPENS, opening
from slic.tracee import AT_FDCWD, Tracee
from slic.verdict import Capability, Continue, Fail, Return, ReturnFd, Verdict

FIELD = 65  # struct new_utsname: six of these (uname(2)); names have at most 64 bytes
NAME_MAX = FIELD - 1
HOSTNAME = "/proc/sys/kernel/hostname"
DOMAINNAME = "/proc/sys/kernel/domainname"
_OTHER_FILE = Continue("another file")


def encode_utsname(node: os.uname_result, hostname: bytes, domain: bytes) -> bytes:
    """struct new_utsname (390 bytes) with the node's release, version and machine."""
    own = (node.sysname, hostname, node.release, node.version, node.machine, domain)
    fields = (os.fsencode(f) if isinstance(f, str) else f for f in own)
    return b"".join(f[:NAME_MAX].ljust(FIELD, b"\0") for f in fields)


class Identity(Interposer):
    """The job's own host name. Never changes the node's."""

    confines = False

    def __init__(
        self,
        hostname: bytes,
        domain: bytes | None = None,
        *,
        settable: bool = False,
        proc: bool = True,
    ) -> None:
        """Names are at most 64 bytes; `domain` None shows the node's. ValueError if too long."""
        for name in (hostname, domain or b""):
            if len(name) > NAME_MAX or b"\0" in name or b"\n" in name:
                raise ValueError(f"a host or domain name has at most 64 bytes, no line: {name!r}")
        self.hostname = hostname
        self.domain = domain
        self.settable = settable
        self.proc = proc
        self._node_domain: bytes | None = None  # asked once, when first needed

    @classmethod
    def from_argument(cls, text: str) -> Self:
        given = dict(part.partition("=")[::2] for part in text.split(",") if part)
        hostname = given.pop("hostname", "")
        domain = given.pop("domain", None)
        sets, proc = given.pop("set", "no"), given.pop("proc", "yes")
        if not hostname or given or sets not in ("no", "job") or proc not in ("no", "yes"):
            raise ValueError(
                f"identity wants hostname=NAME[,domain=D][,set=job][,proc=no], got {text!r}"
            )
        return cls(
            os.fsencode(hostname),
            None if domain is None else os.fsencode(domain),
            settable=sets == "job",
            proc=proc == "yes",
        )

    def declarations(self) -> Iterable[Handler]:
        return [h for h in type(self).handlers if self.proc or h.method != "opened"]

    @on("uname")
    def uname(self, tracee: Tracee, buf: int) -> Verdict:
        node = tracee.native_uname()
        tracee.write(buf, encode_utsname(node, self.hostname, self._domain(tracee)))
        return Return(0)

    @on("sethostname", "setdomainname")
    def rename(self, tracee: Tracee, name: int, len: int, call: Call) -> Verdict:
        if not self.settable:
            return Fail(errno.EPERM)
        if not 0 <= len <= NAME_MAX:
            return Fail(errno.EINVAL)
        wanted = tracee.read(name, len).split(b"\0")[0]
        if call.name == "sethostname":
            self.hostname = wanted
        else:
            self.domain = wanted
        return Return(0)

    @on(*OPENS, needs=Capability.RETURN | Capability.ADD_FD)
    def opened(self, tracee: Tracee, call: Call, filename: int = 0, pathname: int = 0) -> Verdict:
        spoken = tracee.cstring(filename or pathname)
        if not spoken.endswith((b"hostname", b"domainname")):  # nearly every open ends here
            return _OTHER_FILE
        asked = opening(tracee, call)
        path = tracee.path(asked.dirfd, asked.name)
        if path not in (HOSTNAME, DOMAINNAME):
            return _OTHER_FILE
        if asked.resolve or asked.flags & (os.O_PATH | os.O_DIRECTORY):
            return Continue("no content is read, or an openat2 that asks for the real file")
        if asked.flags & os.O_ACCMODE != os.O_RDONLY:
            return Fail(errno.EACCES)
        name = self.hostname if path == HOSTNAME else self._domain(tracee)
        return ReturnFd(content(name + b"\n"), cloexec=asked.cloexec)

    def _domain(self, tracee: Tracee) -> bytes:
        if self.domain is not None:
            return self.domain
        if self._node_domain is not None:
            return self._node_domain
        fd = tracee.open(AT_FDCWD, os.fsencode(DOMAINNAME), os.O_RDONLY)
        try:
            self._node_domain = os.read(fd, FIELD).rstrip(b"\n")
        finally:
            os.close(fd)
        return self._node_domain


def content(data: bytes) -> int:
    """A read-only descriptor of an unnamed file with this content."""
    writable = os.memfd_create("slic", os.MFD_CLOEXEC)
    try:
        os.write(writable, data)
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)
