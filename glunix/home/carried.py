"""What a process natively inherits besides limits: scheduling, memory, the names around it.

Read from the startup itself, which was given it by the user's shell (glunix.msg.job.Carried). Its
I/O priority is read by the daemon: only a call tells it, and loading what makes one costs 1 ms.
"""

import posix

UNKNOWN = -1


def _number(name: str, unknown: int, base: int = 10) -> int:
    try:
        fd = posix.open(f"/proc/self/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return unknown
    try:
        return int(posix.read(fd, 64), base)
    except (OSError, ValueError):
        return unknown
    finally:
        posix.close(fd)


def processors() -> bytes:
    """Those that we may use, a bit each; empty: all that are on."""
    try:
        found = posix.sched_getaffinity(0)
    except OSError:
        return b""
    if len(found) == posix.cpu_count():
        return b""
    mask = sum(1 << number for number in found)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _domain() -> str:
    try:
        with open("/proc/sys/kernel/domainname", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def _proc_flags() -> int:
    try:
        return posix.statvfs("/proc").f_flag
    except OSError:
        return UNKNOWN


def carried(transparent: bool) -> list[object]:
    """glunix.msg.job.Carried as the array it is on the wire."""
    try:
        policy = posix.sched_getscheduler(0)
        priority = posix.sched_getparam(0).sched_priority
    except OSError:
        policy, priority = 0, 0
    return [
        processors(),
        policy,
        priority,
        _number("personality", UNKNOWN, 16),
        _number("oom_score_adj", 0),
        _number("timerslack_ns", 0),
        UNKNOWN,
        _domain() if transparent else "",
        _proc_flags() if transparent else UNKNOWN,
    ]
