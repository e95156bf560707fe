"""Every reason of a job to stay: its processes, their memory, their descriptors.

The same questions are asked of a running job (probe) and of a frozen one (freeze); only the second
answer counts. Reads /proc, stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator

from migration.engine import Reason
from migration.native import areas, proc
from migration.native.files import kind_of
from migration.native.survey import Seen, Survey
from slic.kernel import kcmp

_NAMESPACES = ("cgroup", "ipc", "net", "time", "user", "uts")
_SHARED = ((kcmp.VM, "memory"), (kcmp.FILES, "descriptors"), (kcmp.FS, "its working folder"))
_VFORK = "58"
_SIGCHLD = "17"
_CLONE_FLAGS_FIELD, _EXIT_SIGNAL_FIELD, _TTY_FIELD = 9, 38, 7


def reasons(survey: Survey, tracer: int = 0, armed: bool = False) -> list[Reason]:
    """All of them. `tracer`: whose tracing is no reason; `armed`: userfaultfd is ours."""
    found: list[Reason] = []
    for pid in survey.pids:
        try:
            found += of_process(pid, survey, tracer)
            for one in proc.maps(pid):
                found += areas.refuse(pid, one, armed)
        except (ProcessLookupError, FileNotFoundError):
            continue  # it has ended
    found += _sharing(survey)
    for pid in survey.zombies:
        found += _of_zombie(pid)
    for file in survey.files:
        found += of_file(file.first, survey)
    return found


def of_file(seen: Seen, survey: Survey) -> list[Reason]:
    """Reasons of an open file; none if it is given anew (`Survey.standard`)."""
    try:
        kind = kind_of(seen)
        if kind is None:
            return [seen.reason(f"an open {seen.link.removeprefix('anon_inode:')}")]
        found = list(kind.refuse(seen, survey))
        if seen.info.flags & os.O_ASYNC:
            found.append(seen.reason("sends signals when it is ready (O_ASYNC)"))
    except (FileNotFoundError, ProcessLookupError, OSError) as error:
        if isinstance(error, ProcessLookupError) or error.errno == 9:
            return []  # closed while we looked: the job runs
        return [seen.reason(f"not to be looked at: {error.strerror}")]
    return [] if found and survey.standard(seen) else found


def of_process(pid: int, survey: Survey, tracer: int) -> Iterator[Reason]:
    """Reasons that are neither memory nor descriptors."""
    status, stat = proc.status(pid), proc.stat(pid)
    if status["TracerPid"] not in ("0", str(tracer)):
        yield Reason(pid, "", f"traced by process {status['TracerPid']}")
    # Before Linux 5.9 the kernel does not say how many.
    filters = status.get("Seccomp_filters") or str(int(status.get("Seccomp", "0") != "0"))
    if filters != str(survey.around.filters):
        yield Reason(pid, "", "has a seccomp filter of its own")
    if _foreign_terminal(int(stat[_TTY_FIELD]), survey):
        yield Reason(pid, "", "has a terminal of this machine")
    if pid != survey.root and stat[_EXIT_SIGNAL_FIELD] != _SIGCHLD:
        yield Reason(pid, "", "its parent expects another signal than SIGCHLD at its end")
    for name in ("NSpgid", "NSsid"):
        if proc.own_number(status[name]) == 0:
            yield Reason(pid, "", "its process group or session began outside its namespace")
    if _in_vfork(pid):
        yield Reason(pid, "", "waits for a vfork child to execute a program", passing=True)
    yield from _places(pid)
    yield from _foreign_namespaces(pid, survey)
    yield from _odd_threads(pid)


def _in_vfork(pid: int) -> bool:
    try:
        return proc.text(pid, "syscall").split()[0] == _VFORK
    except (OSError, IndexError):
        return False


def _places(pid: int) -> Iterator[Reason]:
    if proc.link(pid, "root") != "/":
        yield Reason(pid, "root", "its root is not the machine's")
    cwd = proc.link(pid, "cwd")
    try:
        same = os.path.samefile(cwd, f"/proc/{pid}/cwd")
    except OSError:
        same = False
    if not same:
        yield Reason(pid, "cwd", f"its working folder {cwd} is not found by name")
    executable = proc.link(pid, "exe")
    try:
        same = os.path.samefile(executable, f"/proc/{pid}/exe")
    except OSError:
        same = False
    if not same:
        yield Reason(pid, "exe", f"its program {executable} is not found by name")


def _foreign_terminal(packed: int, survey: Survey) -> bool:
    """Has it a controlling terminal (proc(5), tty_nr) that the destination has not?"""
    if not packed or survey.stdio:
        return False
    device = os.makedev(packed >> 8 & 0xFFF, packed & 0xFF | packed >> 12 & 0xFFF00)
    return not survey.around.is_terminal(device)


def _foreign_namespaces(pid: int, survey: Survey) -> Iterator[Reason]:
    own, around = os.getpid(), survey.around
    for name in _NAMESPACES:
        if name in around.namespaces:
            continue
        try:
            if proc.link(pid, f"ns/{name}") != proc.link(own, f"ns/{name}"):
                yield Reason(pid, f"ns/{name}", f"is in another {name} namespace")
        except ProcessLookupError:
            continue
    if proc.link(pid, "ns/mnt") != proc.link(own, "ns/mnt") and (
        mounts(pid, around.mounts) != mounts(own, around.mounts)
    ):
        yield Reason(pid, "ns/mnt", "sees other mounts")


def mounts(pid: int, but: Container[str]) -> set[tuple[str, ...]]:
    """What is mounted where, but for places of which a restored job has its own."""
    found: set[tuple[str, ...]] = set()
    for line in proc.text(pid, "mountinfo").splitlines():
        words = line.split()
        if words[4] not in but:
            found.add((words[2], words[3], words[4]))
    return found


def _odd_threads(pid: int) -> Iterator[Reason]:
    for tid in proc.threads(pid):
        try:
            state = proc.status(tid)["State"]
        except ProcessLookupError:
            continue
        if state.startswith(("Z", "X")) and tid == pid:
            yield Reason(pid, "", "its first thread has ended, others run on")
        for kind, what in _SHARED[1:]:
            try:
                if tid != pid and not kcmp.same(pid, tid, kind):
                    yield Reason(pid, f"thread {tid}", f"does not share {what} with its process")
            except OSError:
                continue


def _sharing(survey: Survey) -> Iterator[Reason]:
    for place, pid in enumerate(survey.pids):
        for other in survey.pids[:place]:
            for kind, what in _SHARED:
                try:
                    shared = kcmp.same(other, pid, kind)
                except OSError:
                    continue
                if shared:
                    passing = kind == kcmp.VM and _in_vfork(other)
                    yield Reason(pid, "", f"shares {what} with process {other}", passing)


def _of_zombie(pid: int) -> Iterator[Reason]:
    try:
        if len(proc.threads(pid)) > 1:
            yield Reason(pid, "", "its first thread has ended, others run on")
    except ProcessLookupError:
        return
