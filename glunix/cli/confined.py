"""How far a cluster works that is started inside a user namespace (user_namespaces(7)), tried.

A rootless container is one, and so is `unshare -Ur`: its root is an ordinary user outside. What the
kernel then refuses depends on which ids the namespace has, and who made it; so each is tried, as in
slic.kernel.probe: a try returns a detail, or raises the kernel's OSError.
"""

import errno
import grp
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glunix.cluster.isolation import cannot_isolate
from slic.kernel import probe

_INITIAL = "user:[4026531837]"
"""The machine's own (PROC_USER_INIT_INO, linux/proc_ns.h)."""


@dataclass(frozen=True, slots=True)
class Ids:
    """A row of uid_map or gid_map: `count` ids from `inside` are those from `outside` there."""

    inside: int
    outside: int
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.inside} ({self.outside} outside)"
        last, beyond = self.inside + self.count - 1, self.outside + self.count - 1
        return f"{self.inside} to {last} ({self.outside} to {beyond} outside)"


def is_confined() -> bool:
    """Is this process in a user namespace other than the machine's?"""
    return os.readlink("/proc/self/ns/user") != _INITIAL


def ids(kind: str) -> list[Ids]:
    """The ids (`uid`, `gid`) that exist in here; none: this process is nobody (65534) in here."""
    lines = Path(f"/proc/self/{kind}_map").read_text(encoding="ascii").splitlines()
    return [Ids(*(int(word) for word in line.split())) for line in lines]


def described() -> str:
    """This namespace in words: who its users are outside."""
    uids = ", ".join(str(found) for found in ids("uid")) or "none"
    gids = ", ".join(str(found) for found in ids("gid")) or "none"
    return f"uids {uids}; gids {gids}"


def _others(kind: str, own: int) -> Iterator[int]:
    """The first id of each range that is not ours."""
    for found in ids(kind):
        other = found.inside + (found.inside == own)
        if other < found.inside + found.count:
            yield other


def _try(work: Callable[[], None]) -> None:
    probe.in_child(work)


def become_another() -> str:
    """Start a process as another user, as a daemon does for the owner of a job."""
    for uid in _others("uid", os.geteuid()):
        _try(lambda uid=uid: os.setresuid(uid, uid, uid))  # type: ignore[misc]
        return ", ".join(str(found) for found in ids("uid"))
    raise OSError(errno.EPERM, f"no uid but {os.geteuid()} exists in here")


def set_groups() -> None:
    """setgroups(2), as a daemon does for the owner of a job."""
    _try(lambda: os.setgroups(os.getgroups()[:1]))


def terminal_group() -> str:
    """Give a new pseudo-terminal to the group that the machine's terminals have."""
    try:
        group = grp.getgrnam("tty").gr_gid
    except KeyError:
        raise OSError(errno.ENOENT, "no group tty here") from None

    def work() -> None:
        os.fchown(os.openpty()[1], -1, group)

    try:
        _try(work)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EPERM, f"group tty ({group}) does not exist in here") from None
    return f"gid {group}"


def own_namespaces() -> None:
    """UTS, PID and mount namespaces and a /proc for each node, all together as `glunix up` does."""
    if why := cannot_isolate():
        raise OSError(errno.EPERM, why)
