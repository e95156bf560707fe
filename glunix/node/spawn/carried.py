"""What a program inherits at home besides limits, given to it on its node as far as its user may.

Each setting is the kernel's to refuse, since the process is the user's by then. A node's own bound
holds: processors that it lacks are left out, a process that its daemon lets the kernel kill earlier
stays so. See docs/cluster.md for what is not carried.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from glunix.msg.job import Carried
from slic.kernel.libc import prctl, syscall

SYS_IOPRIO_SET, SYS_IOPRIO_GET, SYS_PERSONALITY = 251, 252, 135
IOPRIO_WHO_PROCESS = 1
PR_SET_TIMERSLACK = 29
UNKNOWN = -1


def io_priority(pid: int) -> int:
    """ioprio_get(2) of a process; UNKNOWN where it cannot be told."""
    try:
        return syscall(SYS_IOPRIO_GET, IOPRIO_WHO_PROCESS, pid)
    except OSError:
        return UNKNOWN


def _processors(mask: bytes) -> set[int]:
    bits = int.from_bytes(mask, "little")
    return {number for number in range(bits.bit_length()) if bits >> number & 1}


def own() -> Carried:
    """What a child of this process inherits if nothing is set."""
    found = os.sched_getaffinity(0)
    mask = sum(1 << number for number in found) if len(found) != os.cpu_count() else 0
    return Carried(
        mask.to_bytes((mask.bit_length() + 7) // 8, "little"),
        os.sched_getscheduler(0),
        os.sched_getparam(0).sched_priority,
        _read("personality", UNKNOWN, 16),
        _read("oom_score_adj", 0),
        _read("timerslack_ns", 0),
        io_priority(0),
    )


def is_inherited(carried: Carried | None, own: Carried) -> bool:
    """Whether a child of a process that has `own` gets what is carried without our doing."""
    return carried is None or (
        carried.processors in (b"", own.processors)
        and (carried.policy, carried.priority) == (own.policy, own.priority)
        and carried.personality in (UNKNOWN, own.personality)
        and 0 <= carried.oom <= own.oom
        and carried.slack in (0, own.slack)
        and carried.io_priority in (UNKNOWN, own.io_priority)
    )


def raise_oom(carried: Carried | None, pid: int | str = "self") -> None:
    """Let the kernel end this process before others, as home does, which anybody may say of his own
    (proc(5), oom_score_adj). While root, or after exec: in between its files are not its own."""
    if carried is None or carried.oom <= 0:
        return
    with contextlib.suppress(OSError, ValueError):
        if carried.oom > int(Path(f"/proc/{pid}/oom_score_adj").read_text()):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(carried.oom))


def put_on(carried: Carried | None) -> None:
    """Set all of it for this process, the last of its lives before exec."""
    if carried is None:
        return
    steps: list[Callable[[], object]] = [
        lambda: _set_scheduling(carried),
        lambda: _set_io_priority(carried.io_priority),
        lambda: _lower_oom(carried.oom),
        lambda: prctl(PR_SET_TIMERSLACK, carried.slack) if carried.slack > 0 else None,
        lambda: _set_personality(carried.personality),
    ]
    if found := _processors(carried.processors):
        steps.append(lambda: os.sched_setaffinity(0, found))  # EINVAL: the node has none of these
    for step in steps:
        with contextlib.suppress(OSError):  # not this user's right here, or not this kernel's
            step()


def _set_scheduling(carried: Carried) -> None:
    now = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    if now != (carried.policy, carried.priority):
        os.sched_setscheduler(0, carried.policy, os.sched_param(carried.priority))


def _set_io_priority(wanted: int) -> None:
    if wanted not in (UNKNOWN, io_priority(0)):
        syscall(SYS_IOPRIO_SET, IOPRIO_WHO_PROCESS, 0, wanted)


def _lower_oom(wanted: int) -> None:
    if wanted < 0:
        Path("/proc/self/oom_score_adj").write_text(str(wanted))


def _set_personality(wanted: int) -> None:
    if wanted not in (UNKNOWN, _read("personality", UNKNOWN, 16)):
        syscall(SYS_PERSONALITY, wanted)


def _read(name: str, unknown: int, base: int = 10) -> int:
    try:
        with open(f"/proc/self/{name}", encoding="ascii") as file:
            return int(file.read(), base)
    except (OSError, ValueError):
        return unknown
