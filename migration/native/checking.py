"""What an image's fields must mean for one another. BadImage names the first that does not fit.

An image may have been made by an enemy: everything that later code relies on is checked here, so
that nothing is built of an image that is not whole. Rights: an image of a user's asks for nothing
that this user has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from migration.image import BadImage
from migration.native import proc
from migration.native.files import Standard, UnixSocketEnd
from migration.native.files.pipe import PipeEnd
from migration.native.files.regular import Nameless
from migration.native.model import PAGE, TOP, Area, Process, Run, Thread, Zombie

_CS, _USER_CS = 17, 0x33
_ORDINARY = (0, 3, 5)  # SCHED_OTHER, SCHED_BATCH, SCHED_IDLE

if TYPE_CHECKING:
    from migration.native.job import Job


def check(job: Job, pages_size: int, owner: int, groups: frozenset[int]) -> None:
    """BadImage, or nothing. `owner`: whose image it is; `groups`: what groups that user has."""
    _need(job.machine.architecture == "x86_64", "made for another architecture")
    _check_numbers(job)
    _check_files(job)
    for memory in job.memories:
        _check_runs(memory.pages, pages_size, partial(_before, memory.size))
        _need(b"\0" not in memory.deleted and b"\0" not in memory.name, "a name with a zero byte")
    for backing in job.backings:
        _check_path(backing.path)
    for process in job.processes:
        _check_process(process, job, pages_size)
        for thread in process.threads:
            _check_thread(thread)
            if owner:
                _check_rights(process, thread, owner, groups)


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise BadImage(what)


def _check_path(path: bytes) -> None:
    _need(path.startswith(b"/") and b"\0" not in path, "a path that is none")


def _check_numbers(job: Job) -> None:
    seen: set[int] = set()
    everybody: list[Process | Zombie] = [*job.processes, *job.zombies]
    for number, one in enumerate(everybody):
        _need(one.pid > 1, "a process with the number of an init")
        inside = one.parent in seen
        _need(inside if number else one.parent == 0, f"process {one.pid} without a parent")
        tids = [thread.tid for thread in one.threads] if isinstance(one, Process) else [one.pid]
        _need(tids[0] == one.pid, f"process {one.pid} without its first thread")
        _need(not seen & set(tids) and len(set(tids)) == len(tids), "a number used twice")
        seen.update(tids)
    processes = {process.pid for process in job.processes}
    _need(all(z.parent in processes for z in job.zombies), "the child of a process that is none")
    _need(all(p.parent in processes for p in job.processes[1:]), "the child of a thread")


def _check_files(job: Job) -> None:
    sockets: dict[int, UnixSocketEnd] = {}
    for file in job.files:
        what = file.what
        if isinstance(what, PipeEnd):
            _need(what.pipe < len(job.pipes), "the end of a pipe that is none")
        elif isinstance(what, Nameless):
            _need(what.memory < len(job.memories), "a file of memory that is none")
        elif isinstance(what, UnixSocketEnd):
            _need(what.own not in sockets, "a socket twice")
            sockets[what.own] = what
        path = getattr(what, "path", None)
        if isinstance(path, bytes):
            _check_path(path)
    for socket in sockets.values():
        peer = sockets.get(socket.peer)
        fits = peer is not None and peer.peer == socket.own and peer.style == socket.style
        _need(fits and socket.peer != socket.own, "a socket without its other end")
    for pipe in job.pipes:
        _need(len(pipe.data) <= max(pipe.capacity, PAGE), "more in a pipe than it holds")
    names = [file.what.name for file in job.files if isinstance(file.what, Standard)]
    _need(len(names) == len(set(names)), "standard input or output twice")


def _check_process(process: Process, job: Job, pages_size: int) -> None:
    who = f"process {process.pid}"
    areas = process.areas
    _need(bool(areas), f"{who} without memory")
    for area in areas:
        _check_area(area, job, who)
    for one, other in pairwise(areas):
        _need(one.end <= other.start, f"{who} with mappings over one another")
    private = [area for area in areas if not area.shared and not area.special]
    _check_runs(process.pages, pages_size, lambda run: _within(run.start, run.end, private))
    for start, end in process.guards:
        _need(start < end and start % PAGE == end % PAGE == 0, f"{who} with an odd guard page")
        _need(_within(start, end, private), f"{who} with a guard page outside its memory")
    _need(process.executable < len(job.backings), f"{who} without a program")
    _check_path(process.cwd)
    fds = [descriptor.fd for descriptor in process.descriptors]
    _need(len(fds) == len(set(fds)), f"{who} with a descriptor twice")
    files = (descriptor.file < len(job.files) for descriptor in process.descriptors)
    _need(all(files), f"{who} with a descriptor of no file")
    _need(len(process.layout.auxv) % 16 == 0, f"{who} with an odd auxiliary vector")
    timers = [timer.id for timer in process.timers]
    _need(len(timers) == len(set(timers)), f"{who} with a timer twice")
    tids = {0, *(thread.tid for thread in process.threads)}
    _need(all(t.tid in tids for t in process.timers), f"{who} with a timer of no thread")
    specials = [area.special for area in areas if area.special]
    _need(len(specials) == len(set(specials)), f"{who} with two of the kernel's mappings")


def _check_area(area: Area, job: Job, who: str) -> None:
    whole = area.start % PAGE == area.end % PAGE == area.offset % PAGE == 0
    _need(whole and area.start < area.end <= TOP, f"{who} with an odd mapping")
    _need(area.start >= PAGE or not area.start, f"{who} with an odd mapping")
    _need(area.file < len(job.backings), f"{who} with a mapping of no file")
    _need(area.memory < len(job.memories), f"{who} with a mapping of no memory")
    _need(area.file < 0 or area.memory < 0, f"{who} with a mapping of two files")
    _need(not area.special or area.special in proc.SPECIAL, f"{who} with an unknown mapping")
    if area.shared:
        _need(area.file >= 0 or area.memory >= 0, f"{who} with a shared mapping of nothing")


def _before(size: int, run: Run) -> bool:
    return run.end <= size


def _within(start: int, end: int, areas: Iterable[Area]) -> bool:
    return any(area.start <= start and end <= area.end for area in areas)


def _check_runs(runs: list[Run], pages_size: int, fits: Callable[[Run], bool]) -> None:
    for run in runs:
        _need(run.start < run.end, "pages that end before they begin")
        _need(run.at + run.end - run.start <= pages_size, "pages beyond the file of pages")
        _need(fits(run), "pages outside their memory")


def _check_thread(thread: Thread) -> None:
    who = f"thread {thread.tid}"
    _need(thread.registers[_CS] == _USER_CS, f"{who} is not a 64-bit one")
    _need(b"\0" not in thread.name, f"{who} with an odd name")


def _check_rights(process: Process, thread: Thread, owner: int, groups: frozenset[int]) -> None:
    """A user's image: nothing above what the user has anyway."""
    who = f"thread {thread.tid}"
    it = thread.credentials
    _need(set(it.uids) == {owner}, f"{who} asks for another uid than the image's owner {owner}")
    _need({*it.gids, *it.groups} <= groups, f"{who} asks for a group that uid {owner} has not")
    _need(not (it.permitted | it.effective | it.ambient), f"{who} asks for capabilities")
    _need(thread.scheduling.policy in _ORDINARY, f"{who} asks for a real-time policy")
    _need(thread.scheduling.nice >= 0, f"{who} asks for a higher priority")
    spared = process.oom_score_adj < 0
    _need(not spared, f"process {process.pid} asks to be spared when memory is short")
