"""Whose rights act beside a transparent job: its owner's, and a few capabilities by name.

The supervisor becomes the owner first of all, with what setting up needs (`begin`), and keeps of
that only what serving needs when the program is about to run (`settle`): whatever it opens, makes,
signals or writes from then on is allowed because the owner is. Its memory is a copy of the
daemon's, so nobody may look into it (not dumpable). The job's init, the one process that stays
root's, has two capabilities, which reach no further than the job's PID namespace; every other
helper has none (docs/security.md).

A daemon without root has nothing to give up; root's own jobs have root's rights anyway.
"""

import contextlib
import os
import signal

from glunix.msg.job import Owner
from slic.kernel import capabilities as caps
from slic.kernel.libc import SYS_SETFSUID, syscall
from slic.kernel.prctl import set_parent_death_signal

SET_UP = (
    caps.CAP_SYS_ADMIN  # namespaces, their mounts, the host name, ns_last_pid
    | caps.CAP_CHECKPOINT_RESTORE  # for the init to keep
    | caps.CAP_KILL  # the same
    | caps.CAP_SETUID  # the init becomes root's, as pid 1 is at home: the job may not signal it
    | caps.CAP_SETGID
    | caps.CAP_SETPCAP  # the bounding set of the process that submitted the job
    | caps.CAP_SYS_PTRACE  # for serving; and to take the listener out of the child
)
"""While there is no program yet. Nothing that a program chose is acted on with these."""

SERVING = caps.CAP_SYS_PTRACE
"""Permitted, not effective: raised for a look into a program that made itself undumpable
(prctl(2), PR_SET_DUMPABLE), as ssh-agent does (slic.kernel.undumpable)."""

_LINES_MAX = 300
"""Of a map of a user namespace: 340 lines, in 4096 bytes (user_namespaces(7))."""


def for_init() -> int:
    """What the job's init keeps, and with it its agent (glunix.node.processes.agent_process)."""
    chooses = caps.CAP_CHECKPOINT_RESTORE  # ns_last_pid (proc(5)): the pids of home's shadows
    if not caps.known() & chooses:
        chooses = caps.CAP_SYS_ADMIN  # before Linux 5.9
    return chooses | caps.CAP_KILL  # signals from home: to the job's processes, which are not its


def is_needed(owner: Owner) -> bool:
    """Whether there is anything to give up for this owner."""
    return owner.uid != 0


def begin(owner: Owner) -> None:
    """In the supervisor, before it does anything for the job. OSError."""
    if not is_needed(owner):
        return
    if os.geteuid() == 0:
        caps.set_keep_caps(True)
        set_groups(owner.groups)
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
        caps.set_keep_caps(False)
        # Not where we are nobody else's: without root's rights, or with those of a user namespace
        # only, we could then not look into our own children before they execute.
        caps.set_dumpable(caps.NOT_DUMPABLE)
    _keep(SET_UP, effective=True)


def set_groups(groups: list[int]) -> None:
    """setgroups(2) where it changes something: in a user namespace (user_namespaces(7)) it may be
    forbidden, and all groups that have no number there look alike. OSError."""
    if sorted(groups) != sorted(os.getgroups()):
        os.setgroups(groups)


def settle(owner: Owner) -> None:
    """In the supervisor: everything is set up, and the program is about to run."""
    if is_needed(owner):
        _keep(SERVING, effective=False)


def be_init(owner: Owner) -> None:
    """In the job's init, when all that stands for home's processes is there."""
    if not is_needed(owner):
        return
    with contextlib.suppress(OSError):  # a user namespace without root: it stays the owner's
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        caps.set_dumpable(caps.NOT_DUMPABLE)
    _keep(for_init(), effective=True)
    set_parent_death_signal(signal.SIGKILL)  # forgotten with the ids (prctl(2))


CHOOSING = caps.CAP_CHECKPOINT_RESTORE
"""What the stub of a job that moves here has (glunix.node.launch): clone3(2), set_tid."""


def give_up(owner: Owner, until_filter: bool = False, kept: int = 0) -> None:
    """In any other process of the job: nothing is left. `until_filter`: but what a filter without
    no_new_privs needs (seccomp(2)). `kept` stays, and outlives the next exec."""
    if is_needed(owner):
        _keep((caps.CAP_SYS_ADMIN if until_filter else 0) | kept, effective=True)
        if kept and not until_filter:
            caps.set(caps.get()._replace(inheritable=kept))
            caps.raise_ambient(kept)


def map_owner(pid: int, owner: Owner) -> None:
    """Have the owner, and the groups of the owner, be the only ones who have a number in the new
    user namespace of this child. OSError. The kernel takes it from root only, whose file it is."""
    syscall(SYS_SETFSUID, 0)
    try:
        for name, numbers in (("uid_map", {owner.uid}), ("gid_map", {owner.gid, *owner.groups})):
            lines = "".join(f"{number} {number} 1\n" for number in sorted(numbers)[:_LINES_MAX])
            with open(f"/proc/{pid}/{name}", "wb", buffering=0) as file:
                file.write(lines.encode())
    finally:
        syscall(SYS_SETFSUID, owner.uid)


def _keep(wanted: int, effective: bool) -> None:
    permitted = caps.get().permitted & wanted
    caps.set(caps.Caps(permitted if effective else 0, permitted, 0))
    caps.clear_ambient()
