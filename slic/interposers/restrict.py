"""`restrict`: what a program may open, execute and connect to. `restrict:POLICY.toml`:

    [files]
    read = ["/usr", "/etc/ld.so.cache"]   # a directory means all in it; real paths count
    write = ["/tmp/work"]                 # make, change, remove; includes read
    execute = ["/usr/bin"]
    [network]
    connect = ["127.0.0.1:80", "10.0.0.0/8:*", "[::1]:443", "unix:/run/db", "unix:@name"]
    udp = false                           # datagrams, to anywhere
    listen = false                        # bind and listen, on anything

What is not named is refused (EACCES). Every call that takes a path is listed with its fate in
`pathcalls`. Files are opened, made, renamed and removed by the supervisor, in places it holds
(`confined`), and handed in: nothing is checked and then continued, with one exception, exec.

Guaranteed against a hostile program, its threads, its links and its memory, while the supervisor
and its policy are not the program's to change: it opens for reading and writing, makes, changes
and removes only what is allowed, and connects only where it is allowed. Calls that change what
paths mean or reach into other processes are refused (namespaces, mounts, chroot, ptrace,
process_vm_*, pidfd_getfd, file handles, TIOCSTI); clone3 fails with ENOSYS (libc then uses clone).

Limits.
- exec cannot be handed in. It is checked on the object and continued: another thread, or a
  process sharing the memory or a directory on the path, can exchange it in between. So the image
  is checked again: with ptrace engines at exec, before its first instruction; with the others at
  its next open, connect or change of a name, where the process is killed. In between it can use
  the descriptors it inherits, nothing else. Libraries and scripts need `read`, a script's
  interpreter `execute`. Code a program writes into its own memory is not looked at.
- O_PATH opens are checked and continued: what such a descriptor leads to can be exchanged. It
  reads and changes nothing, and what is opened or executed through it is judged again.
- What is open at the start, or comes in over a socket, stays usable, datagram sockets too.
- Names, sizes and attributes of every file can be told (stat, access, readlink, inotify).
- What `read` or `write` names under /proc reaches other processes: name no more than /proc/self.
  It, /proc/thread-self, /dev/fd, /dev/stdin and /etc/mtab, in a policy or in a call, directly or
  through links, mean those of the process that makes the call. A descriptor can always be opened
  again (/dev/stdin) with the access it has, never with more.
- `bind` with listen = true can make a socket's name in any directory the user may write.
- connect over a Unix socket is refused when the caller is not the supervisor's user: the peer
  would take it for the supervisor. Its peer sees the supervisor's pid.
- renameat2 with flags fails with EINVAL (mv does without), device nodes with EPERM.
- A session leader gets no controlling terminal by opening one (TIOCSCTTY works). An open of a
  FIFO that is interrupted leaves the supervisor at it, where it can meet the next opener.
- Not looked at: signals to the user's other processes, System V and POSIX queues and memory.
- The program must share the supervisor's mounts and root; one that is attached to must run an
  image that `execute` names.
- Calls newer than `slic.syscalls` fail with ENOSYS; the flags of a file (chattr) cannot be set.
"""

import errno
import os
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from slic.interposer import Call, Event, Interposer, ProcessEvent, any_of, on, on_event
from slic.interposers.support.changes import CHANGES, planned
from slic.interposers.support.confined import AT_EMPTY_PATH, Confined, Refused, Use, is_fifo
from slic.interposers.support.images import Image, image_of, interpreter_of
from slic.interposers.support.opens import OPENS, opening
from slic.interposers.support.ownnames import Caller, leads_away, led
from slic.interposers.support.pathcalls import AROUND, AROUND_IOCTLS, Fate, calls_with
from slic.interposers.support.targets import NETLINK, UNIX, Target, family_of, target, unix_name
from slic.tracee import AT_FDCWD, Tracee
from slic.verdict import (
    PASS,
    Asking,
    Below,
    Blocking,
    Capability,
    Continue,
    Fail,
    Return,
    ReturnFd,
    Verdict,
)

AT_SYMLINK_NOFOLLOW = 0x100
CLONE_NEWNS, CLONE_NEWUSER, CLONE_UNTRACED = 0x20000, 0x10000000, 0x800000
MSG_FASTOPEN = 0x20000000
SECCOMP_FILTER, SECCOMP_NEW_LISTENER = 1, 8
STREAM, DATAGRAM, SEQUENCED, INET, INET6 = 1, 2, 5, 2, 10
TCP, UDP = 6, 17
INTERPRETERS = 4  # a script's interpreter may be a script, so often (execve(2))


class Rules(NamedTuple):
    """A policy as written: real, absolute paths by use; targets; two permissions."""

    paths: dict[Use, tuple[str, ...]]
    targets: tuple[Target, ...] = ()
    udp: bool = False
    listen: bool = False

    @classmethod
    def load(cls, text: str) -> Self:
        """From TOML. ValueError names what is wrong; a key nobody knows is an error."""
        given = tomllib.loads(text)
        files, network = given.pop("files", {}), given.pop("network", {})
        paths = {use: _paths(files.pop(use.value, [])) for use in Use}
        paths[Use.READ] += paths[Use.WRITE]
        made = cls(
            paths,
            tuple(target(word) for word in network.pop("connect", [])),
            bool(network.pop("udp", False)),
            bool(network.pop("listen", False)),
        )
        if unknown := [*given, *files, *network]:
            raise ValueError(f"the policy says {', '.join(unknown)}, which is unknown")
        return made

    def may(self, path: str, use: Use) -> bool:
        return any(path == own or path.startswith(own + "/") for own in self.paths[use])


def _paths(given: list[str]) -> tuple[str, ...]:
    for path in given:
        if not path.startswith("/"):
            raise ValueError(f"paths of a policy are absolute, not {path!r}")
    return tuple(_led(path).rstrip("/") for path in given)


def _led(path: str) -> str:
    real = led(path, Caller())
    if leads_away(real):
        raise ValueError(f"{path} leads every process elsewhere: name the place")
    return real


class Restrict(Interposer):
    """See the module."""

    undemanding = True

    def __init__(self, rules: Rules, image: Callable[[int], Image] = image_of) -> None:
        self.rules = rules
        self._image = image
        self._vouched: set[tuple[int, int]] = set()  # images that may be executed
        self._supervisor = image_of(os.getpid()).key
        self._first = 0  # the process that is still the supervisor's fork until it executes

    @classmethod
    def from_argument(cls, text: str) -> Self:
        if not text:
            raise ValueError("restrict wants a policy: restrict:POLICY.toml")
        return cls(Rules.load(Path(text).read_text()))

    # -- files -------------------------------------------------------------------------------
    @on(*OPENS, needs=Capability.RETURN | Capability.ADD_FD)
    def opened(self, tracee: Tracee, call: Call) -> Asking:
        self._check_image(tracee)
        asked = opening(tracee, call)
        with Confined(tracee, self.rules.may) as confined:
            found = confined.found(asked)
            below: Verdict = yield Below(confined)
            if not isinstance(below, Continue):
                return below
            if asked.flags & os.O_PATH:
                return Continue("it reads nothing, and no engine can hand such a one in")
            if is_fifo(found):
                fd = yield Blocking(confined.opening_thread(asked, found), undo=os.close)
            else:
                fd = confined.opened(asked, found)
        return ReturnFd(fd, cloexec=asked.cloexec)

    @on(*CHANGES)
    def changed(self, tracee: Tracee, call: Call) -> Asking:
        self._check_image(tracee)
        with Confined(tracee, self.rules.may) as confined:
            perform = planned(confined, call)
            below: Verdict = yield Below(confined)
            if not isinstance(below, Continue):
                return below
            with tracee.acting(creating=True):
                perform()
        return Return(0)

    @on(*calls_with(Fate.REFUSED), *AROUND)
    def refused(self, tracee: Tracee) -> Verdict:
        return Fail(errno.EPERM)

    # -- programs ----------------------------------------------------------------------------
    @on("execve", "execveat")
    def executed(
        self, tracee: Tracee, filename: int, dfd: int = AT_FDCWD, flags: int = 0
    ) -> Verdict:
        self._check_image(tracee)
        name = tracee.cstring(filename)
        with Confined(tracee, self.rules.may) as confined:
            follow = not flags & AT_SYMLINK_NOFOLLOW
            pin = confined.object(dfd, name, follow, bool(flags & AT_EMPTY_PATH))
            for _ in range(INTERPRETERS):
                confined.require(pin.path, Use.EXECUTE)
                if (interpreter := interpreter_of(pin)) is None:
                    break
                confined.require(pin.path, Use.READ)
                pin = confined.object(AT_FDCWD, interpreter)
        if tracee.pid == self._first:
            self._first = -1
        return Continue("the image is checked again")

    @on("clone", where={"flags": any_of(CLONE_NEWNS | CLONE_NEWUSER | CLONE_UNTRACED)})
    @on("unshare", where={"unshare_flags": any_of(CLONE_NEWNS | CLONE_NEWUSER)})
    @on("ioctl", where={"cmd": AROUND_IOCTLS.values()})
    def escaping(self, tracee: Tracee) -> Verdict:
        return Fail(errno.EPERM)

    @on("clone3")
    def cloned(self, tracee: Tracee) -> Verdict:
        return Fail(errno.ENOSYS)  # its flags are in memory

    @on("seccomp", where={"op": {SECCOMP_FILTER}, "flags": any_of(SECCOMP_NEW_LISTENER)})
    def listener(self, tracee: Tracee) -> Verdict:
        return Fail(errno.EBUSY)  # a listener of its own could let its children's calls pass

    @on_event(ProcessEvent.EXEC, optional=True)
    def replaced(self, event: Event) -> None:
        if not self._image_allowed(event.tid):
            os.kill(event.tid, signal.SIGKILL)

    def _check_image(self, tracee: Tracee) -> None:
        if not self._first:
            self._first = tracee.pid
        if not self._image_allowed(tracee.pid) and tracee.still_valid():
            os.kill(tracee.pid, signal.SIGKILL)
            raise Refused("a program that was exchanged while it was executed")

    def _image_allowed(self, pid: int) -> bool:
        try:
            image = self._image(pid)
        except (FileNotFoundError, ProcessLookupError):
            return True  # it is dead
        if image.key in self._vouched:
            return True
        if pid == self._first and image.key == self._supervisor:
            return True
        if not self.rules.may(image.path, Use.EXECUTE):
            return False
        self._vouched.add(image.key)
        return True

    # -- network -----------------------------------------------------------------------------
    @on("connect")
    def connected(self, tracee: Tracee, sockfd: int, addr: int, addrlen: int) -> Asking:
        self._check_image(tracee)
        if not 2 <= addrlen <= 128:
            return Fail(errno.EINVAL)
        address = tracee.read(addr, addrlen)
        with Confined(tracee, self.rules.may) as confined:
            name = unix_name(address)
            if name is not None and tracee.uid != os.geteuid():
                raise Refused("a Unix socket, by another user")
            if name and not name.startswith(b"\0"):
                pin = confined.pin(AT_FDCWD, name)
                allowed = any(t.covers_path(pin.path) for t in self.rules.targets)
                address = UNIX.to_bytes(2, "little") + os.fsencode(pin.link) + b"\0"
            else:
                allowed = any(t.covers(address) for t in self.rules.targets)
            if not allowed and family_of(address) not in (0, NETLINK):
                raise Refused("not a target of the policy")
            yield Blocking(lambda: tracee.connect(sockfd, address))
        return Return(0)

    @on("socket", "socketpair")
    def created(self, tracee: Tracee, domain: int, type: int, protocol: int) -> Verdict:
        kind = type & 0xF
        if domain == UNIX:  # a Unix datagram names its target in memory, at every sendmsg
            allowed = kind in (STREAM, SEQUENCED)
        elif domain in (INET, INET6):
            tcp = kind == STREAM and protocol in (0, TCP)
            allowed = tcp or (self.rules.udp and kind == DATAGRAM and protocol in (0, UDP))
        elif domain == NETLINK:
            allowed = protocol == 0  # routes: how libc lists addresses
        else:
            return Fail(errno.EAFNOSUPPORT)
        return PASS if allowed else Fail(errno.EACCES)

    @on("sendto", "sendmsg", "sendmmsg", where={"flags": any_of(MSG_FASTOPEN)})
    def connected_by_sending(self, tracee: Tracee) -> Verdict:
        return Fail(errno.EOPNOTSUPP)

    @on("bind", "listen")
    def bound(self, tracee: Tracee) -> Verdict:
        return PASS if self.rules.listen else Fail(errno.EACCES)
