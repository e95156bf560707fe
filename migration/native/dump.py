"""A frozen job written down: `Dump` collects what processes share, one function a process's part.

Changes nothing that is not put back. What must stay has been refused before.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from migration import image
from migration.native import areas, pages, proc, taskstate
from migration.native.files import Pipe, Standard, kind_of
from migration.native.files.pipe import read_pipe
from migration.native.held import Held
from migration.native.job import ENGINE, File, Job
from migration.native.model import (
    Area,
    Backing,
    Descriptor,
    Machine,
    Memory,
    Process,
    Run,
    Zombie,
    encode,
)
from migration.native.precopy import Precopy
from migration.native.proc import Map
from migration.native.survey import OpenFile, Seen, Survey
from slic.kernel import memory as kernel_memory
from slic.kernel import pagemap, regset

_F_GET_SEALS = 1034


class Dump:
    """One image being made; what kinds of files need of it: migration.native.files.kind.Dumping."""

    def __init__(self, survey: Survey, folder: str, before: Precopy | None = None) -> None:
        """`before`: what was copied while the job ran; its file of pages is gone on with."""
        self.survey = survey
        self.knowledge = pages.Knowledge()
        self._folder = folder
        self._before = before
        self._fd = -1
        if before is None:
            self._fd = image.create(folder, image.PAGES)
            self.page_file = pages.PageFile(self._fd)
        else:
            self.page_file = before.page_file
        self._memories: dict[tuple[int, int], int] = {}
        self._pipes: dict[int, int] = {}
        self._backings: dict[Backing, int] = {}
        self.memories: list[Memory] = []
        self.pipes: list[Pipe] = []

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def own_number(self, pid: int) -> int:
        return proc.own_number(proc.status(pid)["NSpid"])

    def pipe(self, seen: Seen) -> int:
        inode = seen.stat.st_ino
        if inode not in self._pipes:
            self._pipes[inode] = len(self.pipes)
            self.pipes.append(read_pipe(seen))
        return self._pipes[inode]

    def backing(self, one: Backing) -> int:
        return self._backings.setdefault(one, len(self._backings))

    def memory(self, seen: Seen, deleted: str) -> int:
        return self._memory(f"/proc/{seen.pid}/fd/{seen.fd}", seen.link, deleted)

    def mapped_memory(self, pid: int, one: Map) -> int:
        is_memory = one.name.startswith(("/memfd:", "/dev/zero"))
        return self._memory(f"/proc/{pid}/map_files/{one}", one.name, "" if is_memory else one.path)

    def _memory(self, path: str, link: str, deleted: str) -> int:
        found = os.stat(path)
        key = found.st_dev, found.st_ino
        if key in self._memories:
            return self._memories[key]
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            runs: list[Run] = []
            for start, piece in pages.file_pieces(fd, found.st_size):
                runs += self.page_file.keep(start, [piece])
            name = link.removeprefix("/memfd:").removesuffix(proc.DELETED)
            self.memories.append(
                Memory(
                    name=os.fsencode(name)[:200] if link.startswith("/memfd:") else b"",
                    size=found.st_size,
                    pages=runs,
                    seals=_seals(fd) if not deleted else -1,
                    deleted=os.fsencode(deleted),
                    mode=found.st_mode & 0o7777,
                )
            )
        finally:
            os.close(fd)
        self._memories[key] = len(self.memories) - 1
        return self._memories[key]

    def write(self, held: Mapping[int, Held]) -> None:
        """The whole image."""
        files = [self._file(one) for one in self.survey.files]
        processes = [self._process(held[pid]) for pid in self.survey.pids]
        job = Job(
            machine=this_machine(processes[0].areas, self.survey.root),
            processes=processes,
            zombies=[_zombie(pid) for pid in self.survey.zombies],
            files=files,
            pipes=self.pipes,
            memories=self.memories,
            backings=list(self._backings),
            root_parent=0,
        )
        image.write_job(self._folder, ENGINE, encode(job))

    def _file(self, one: OpenFile) -> File:
        seen = one.first
        flags = seen.info.flags & 0x7FFFFFFF
        kind = kind_of(seen)
        name = self.survey.standard(seen)
        if kind is None or (name and list(kind.refuse(seen, self.survey))):
            return File(flags=flags, position=0, what=Standard(name=name))  # type: ignore[arg-type]
        what = kind.dump(seen, self)
        return File(flags=flags, position=seen.info.position, what=what)  # type: ignore[arg-type]

    def _process(self, held: Held) -> Process:
        pid = held.pid
        status, stat = proc.status(pid), proc.stat(pid)
        maps = proc.maps(pid)
        inner = taskstate.ask(held, maps)
        runs, guards = self._pages(pid, maps)
        written = [areas.dump(pid, one, self.backing, self.mapped_memory) for one in maps]
        executable = proc.link(pid, "exe")
        root = pid == self.survey.root
        return Process(
            pid=proc.own_number(status["NSpid"]),
            parent=0 if root else self.own_number(int(status["PPid"])),
            group=proc.own_number(status["NSpgid"]),
            session=proc.own_number(status["NSsid"]),
            threads=inner.threads,
            areas=written,
            pages=runs,
            guards=guards,
            layout=taskstate.layout(pid, stat, inner.brk),
            executable=self.backing(
                areas.backing_of(executable, os.stat(f"/proc/{pid}/exe"), False)
            ),
            actions=inner.actions,
            pending=inner.pending,
            timers=inner.timers,
            itimers=inner.itimers,
            descriptors=self._descriptors(pid),
            umask=int(status["Umask"], 8),
            cwd=os.fsencode(proc.link(pid, "cwd")),
            limits=taskstate.limits(pid),
            oom_score_adj=int(proc.text(pid, "oom_score_adj")),
            personality=int(proc.text(pid, "personality"), 16),
            dumpable=inner.dumpable,
            subreaper=inner.subreaper,
            thp_disabled=inner.thp_disabled,
            core_filter=int(proc.text(pid, "coredump_filter") or "0", 16),
            stopped=held.stopped,
            stop_reported=held.stop_reported,
        )

    def _descriptors(self, pid: int) -> list[Descriptor]:
        found = []
        for (holder, fd), place in sorted(self.survey.number_of.items()):
            if holder == pid:
                seen = self.survey.at(pid, fd)
                assert seen is not None
                found.append(Descriptor(fd, seen.info.cloexec, place))
        return found

    def _pages(self, pid: int, maps: list[Map]) -> tuple[list[Run], list[tuple[int, int]]]:

        fd = pagemap.open_pagemap(pid)
        runs: list[Run] = []
        try:
            for one in maps:
                carry = pages.to_carry(fd, one, self.knowledge)
                if self._before is not None:
                    kept, carry = self._before.split(pid, one, carry)
                    runs += kept
                for start, end in carry:
                    pieces = pages.read(pid, start, end, one.protection)
                    runs += self.page_file.keep(start, pieces)
            return runs, pages.guards(fd, maps, self.knowledge)
        finally:
            os.close(fd)


def _seals(fd: int) -> int:

    try:
        return fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        return -1  # tmpfs without them: shared anonymous memory


def _zombie(pid: int) -> Zombie:
    status, stat = proc.status(pid), proc.stat(pid)
    parent = proc.status(int(status["PPid"]))
    return Zombie(
        pid=proc.own_number(status["NSpid"]),
        parent=proc.own_number(parent["NSpid"]),
        group=proc.own_number(status["NSpgid"]),
        session=proc.own_number(status["NSsid"]),
        status=int(stat[52]) & 0xFFFF,
        name=os.fsencode(proc.text(pid, "comm").rstrip("\n"))[:15],
    )


def vdso_digest(pid: int, where: list[Area] | list[Map]) -> bytes:
    """SHA-256 of a process's vDSO."""
    for one in where:
        name = one.special if isinstance(one, Area) else one.name
        if name == "[vdso]":
            data = kernel_memory.read(pid, one.start, one.end - one.start)
            return hashlib.sha256(data).digest()
    return b""


def this_machine(where: list[Area], pid: int) -> Machine:
    """This machine, as an image has it; `where` are the areas of process `pid`."""

    return Machine(
        kernel=os.uname().release,
        architecture=os.uname().machine,
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        vdso=vdso_digest(pid, where),
        extended_size=len(regset.extended(pid)),
        monotonic=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        boottime=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )
