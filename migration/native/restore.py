"""An image turned into a job again: checked, files opened, tree born, each process built."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from migration import image
from migration.engine import EngineUnavailable
from migration.native import assemble, inject, proc, taskstate, trace, tree
from migration.native.assemble import SCRATCH, Assembly, Numbers, gap
from migration.native.dump import vdso_digest
from migration.native.files.terminal import TERMINAL, Terminal
from migration.native.inject import Place
from migration.native.job import Job, decode
from migration.native.making import Making, RestoreFailed
from migration.native.model import Process, Zombie
from migration.native.place import BASE, SYSCALL_AT
from migration.native.site import Site
from migration.native.space import Space, SpaceFailed
from slic.kernel import ptrace

_EXIT_GROUP, _SETSID, _SETPGID, _MUNMAP, _MMAP = 231, 112, 109, 11, 9
_STUB_ROOM = 1 << 20
_DEADLINE = 60.0
_TTY_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK


class RestoredJob:
    """Paragraph 7 of the contract: everything is there, and nothing runs before `go`."""

    def __init__(self, space: Space | Site, assemblies: list[Assembly]) -> None:
        self.space = space
        self._assemblies = assemblies
        self._gone = False

    @property
    def root(self) -> int:
        return self.space.root

    @property
    def is_stopped(self) -> bool:
        """Was the root stopped by a signal, and is so still?"""
        return bool(self._assemblies[0].process.stopped)

    def go(self) -> None:
        """Children first: none of their signals finds a parent that has not begun."""
        self._gone = True
        for one in reversed(self._assemblies):
            one.go()

    def detach(self) -> None:
        """Let the job outlive the mover."""
        self.space.detach()

    def wait(self) -> int:
        """The wait status of the job, once all of it has ended."""
        return self.space.wait()

    def close(self) -> None:
        tids = [] if self._gone else [t for one in self._assemblies for t in one.tids.values()]
        self.space.close(tuple(reversed(tids)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def restore(
    folder: str,
    standard: Mapping[str, int],
    user: int | None = None,
    site: Site | None = None,
    foreground: int = 0,
    rights: int | None = None,
) -> RestoredJob:
    """Build the job of an image; BadImage or RestoreFailed, and nothing of it remains.

    `user`: whose image it must be. `standard`: what `stdin` and its like are to be. `site`: where;
    None: in a namespace of its own. `foreground`: the group (the job's own number) that is to be in
    the foreground of the site's terminal. `rights`: the user above whose rights nothing may be
    asked for; None: the image's owner.
    """
    with image.opened(folder, user) as opened:
        if rights is not None:
            opened = dataclasses.replace(opened, owner=rights)
        job = decode(opened)
        try:
            standing = site.standing if site is not None else ()
            plan = tree.plan(tree.members(job.processes, job.zombies), standing)
        except tree.Unbuildable as error:
            raise RestoreFailed(str(error)) from None
        with (
            Making(job, opened.pages, standard, site.root if site else 0) as making,
            trace.within(_DEADLINE, "restoring"),
        ):
            return _Building(job, plan, making, opened.pages).build(site, foreground)


class _Building:
    """One restoration."""

    def __init__(self, job: Job, plan: tree.Plan, making: Making, pages: int) -> None:
        self._job = job
        self._plan = plan
        self._making = making
        self._pages = pages
        self._taken = [(a.start, a.end) for p in job.processes for a in p.areas]
        self._pids: dict[int, int] = {}
        self._placeholders: dict[int, int] = {}
        self._processes = {process.pid: process for process in job.processes}
        self._zombies = {zombie.pid: zombie for zombie in job.zombies}
        self._place: Place | None = None
        self._files: dict[int, int] = {}
        self._foreground = 0

    def build(self, site: Site | None = None, foreground: int = 0) -> RestoredJob:
        numbers, files = self._numbers()
        root = self._job.processes[0].pid
        self._foreground = foreground
        base = BASE if site is not None else gap(self._taken, _STUB_ROOM)
        space: Space | Site
        try:
            space = site or Space(self._plan.leader, root, base, files)
        except SpaceFailed as error:
            raise RestoreFailed(str(error)) from None
        self._files = files
        try:
            return self._build_in(space, base, numbers)
        except (OSError, trace.TaskEnded) as error:
            self._end(space)
            raise RestoreFailed(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self._end(space)
            raise

    def _end(self, space: Space | Site) -> None:
        space.close(tuple(self._pids.values()))

    def _numbers(self) -> tuple[Numbers, dict[int, int]]:
        making = self._making
        theirs = [d.fd for p in self._job.processes for d in p.descriptors]
        ours = [int(name) for name in os.listdir("/proc/self/fd")]
        first = max([*theirs, *ours]) + 8
        kinds = (making.files, making.backings, making.memories, making.folders)
        numbers = Numbers(first, *(len(kind) for kind in kinds[:3]))
        every = [fd for kind in kinds for fd in kind]
        return numbers, {first + index: fd for index, fd in enumerate(every)}

    def _build_in(self, space: Space | Site, base: int, numbers: Numbers) -> RestoredJob:
        trace.seize(space.root, trace.TARGET_OPTIONS)
        trace.stop(space.root).block()
        self._pids[self._job.processes[0].pid] = space.root
        self._move_in(space.root, base)
        if isinstance(space, Site):
            self._furnish(space, numbers)
        self._give_birth()
        if isinstance(space, Site) and self._foreground:
            terminal = numbers.file(len(self._files) - 1)
            space.set_foreground(self._place_in(space.root), terminal, self._foreground)
        assemblies = [self._assembly(process) for process in self._job.processes]
        for index, one in enumerate(assemblies):
            one.map_all(numbers)
            one.fill(self._pages)
            one.settle_memory()
            one.set_process(index, numbers)
            one.set_descriptors(numbers)
            one.make_threads()
            self._pids.update(one.tids)
            one.set_threads()
            one.set_outside()
        self._end_zombies()
        for one in reversed(assemblies):
            self._finish(one)
        return RestoredJob(space, assemblies)

    def _assembly(self, process: Process) -> Assembly:
        assert self._place is not None
        pid = self._pids[process.pid]
        place = Place(pid, self._place.start, self._place.size)
        return Assembly(pid, place, process, self._job)

    def _move_in(self, pid: int, base: int) -> None:
        """Our own code and room in the stub, and everything else of it away."""
        here = proc.maps_without_flags(pid)
        taken = [*self._taken, *((m.start, m.end) for m in here)]
        start = gap(taken, SCRATCH, base + _STUB_ROOM)
        at = base + SYSCALL_AT
        inject.call(pid, at, _MMAP, start, SCRATCH, 7, 0x100022, -1, 0)
        self._place = Place(pid, start, SCRATCH)
        self._place.prepare()
        batch = inject.Batch(self._place)
        for one in here:
            if one.name not in proc.SPECIAL:
                batch.add(f"munmap {one}", _MUNMAP, one.start, one.size)
        batch.run(pid)
        wanted = self._job.machine.vdso
        if vdso_digest(pid, proc.maps_without_flags(pid)) != wanted:
            raise RestoreFailed(
                f"this kernel ({os.uname().release}) has another vDSO than the one the job"
                f" began on ({self._job.machine.kernel})"
            )

    def _place_in(self, pid: int) -> Place:
        assert self._place is not None
        return Place(pid, self._place.start, self._place.size)

    def _furnish(self, site: Site, numbers: Numbers) -> None:
        """The files of the job in the stub, the site's terminal last."""
        root = self._job.processes[0]
        if site.leads == (root.session != root.pid):
            raise RestoreFailed("the job's root leads no session here, or should not")
        if site.leads:
            self._plan.steps.remove(tree.BeginSession(root.pid))
        place = self._place_in(site.root)
        ours = list(self._files.values())
        if TERMINAL in self._making.given:
            ours.append(self._making.standard(TERMINAL))
            self._files[numbers.first + len(self._files)] = ours[-1]
        site.make_room(place, numbers.first + len(ours) + 16)
        site.send(place, numbers.first, ours)
        for index, file in enumerate(self._job.files):
            if isinstance(file.what, Terminal) and file.what.controlling:
                site.open_controlling(place, numbers.file(index), file.flags & _TTY_FLAGS)

    def _give_birth(self) -> None:
        for step in self._plan.steps:
            match step:
                case tree.Birth(tree.OUTSIDE, _):
                    continue  # the stub
                case tree.Birth(parent, pid):
                    mother = self._pids[parent]
                    place = self._place_in(mother)
                    self._pids[pid] = assemble.clone3(mother, place, 0, signal.SIGCHLD, pid)
                case tree.BeginSession(pid):
                    self._call(pid, _SETSID)
                case tree.JoinGroup(pid, group):
                    self._call(pid, _SETPGID, 0, group)
                case tree.End(_, pid):
                    self._exit(pid, 0)

    def _call(self, number: int, *arguments: int) -> None:
        pid = self._pids[number]
        inject.call(pid, self._place_in(pid).syscall, *arguments)

    def _end_zombies(self) -> None:
        for zombie in self._zombies.values():
            self._name(zombie)
            self._exit(zombie.pid, zombie.status)

    def _name(self, zombie: Zombie) -> None:
        pid = self._pids[zombie.pid]
        batch = inject.Batch(self._place_in(pid))
        batch.add("name", assemble.PRCTL, assemble.PR_SET_NAME, batch.bytes_at(zombie.name + b"\0"))
        batch.run(pid)

    def _exit(self, number: int, status: int) -> None:
        """The process ends with that wait status, and is its parent's to wait for."""
        pid = self._pids.pop(number)
        place = self._place_in(pid)
        fatal = status & 0x7F
        if fatal:
            # No core: it is ended by the signal's number alone (signal(7)).
            os.kill(pid, signal.SIGKILL if fatal == signal.SIGKILL else fatal)
            ptrace.set_signal_mask(pid, trace.ALL_BLOCKED & ~(1 << fatal - 1))
            ptrace.request(ptrace.CONT, pid)
        else:
            _begin_exit(pid, place, status >> 8 & 0xFF)
        while True:
            try:
                found = trace.next_stop(pid)
            except trace.TaskEnded:
                return
            ptrace.request(ptrace.CONT, pid, 0, found & 0x7F if not found >> 8 else 0)

    def _finish(self, one: Assembly) -> None:
        number = one.process.pid
        children = [p for p in self._job.processes if p.parent == number]
        for child in children:
            if child.stopped:
                _await_stopped(self._pids[child.pid])
        one.set_credentials()
        one.reap_stops(children)
        one.set_timers()
        one.queue_signals()
        maps = proc.maps_without_flags(one.pid)
        one.finish(taskstate.syscall_instruction(one.pid, maps))
        if one.process.stopped:
            one.go()
            one.tids = {}


def _begin_exit(pid: int, place: Place, status: int) -> None:
    inject.enter(pid, place.syscall, _EXIT_GROUP, (status,), 0)
    ptrace.request(ptrace.CONT, pid)


def _await_stopped(pid: int) -> None:
    """Its stop is complete; let go by its tracer, it stops once more, unnoticed (ptrace(2)).

    Nothing can be waited for but its state; the deadline is the restoration's.
    """
    while proc.stat(pid)[3] != "T":
        time.sleep(0.0005)


def check() -> None:
    """What this engine cannot do without (EngineUnavailable)."""
    if os.uname().machine != "x86_64":
        raise EngineUnavailable(f"no native engine for {os.uname().machine}")
    if os.geteuid() != 0:
        raise EngineUnavailable(
            "the native engine needs root: only it may choose process ids (clone3, set_tid)"
        )
