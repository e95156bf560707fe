"""A stub turned into the process of an image: its memory, files and threads, all by injected calls.

Order matters: memory while root, then descriptors, threads, credentials last of what can fail,
then what makes it run: timers, pending signals, registers.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Sequence
from pathlib import Path

from migration.native import areas, calls, credentials, inject, pages, proc, taskstate, trace
from migration.native.files import Standard, kind_of_record
from migration.native.inject import Batch, Place
from migration.native.job import Job
from migration.native.model import Area, Process, Thread
from slic.kernel import memory, ptrace, regset
from slic.kernel.regset import R

READ, MMAP, MPROTECT, MUNMAP, SIGACTION, MREMAP, MADVISE = 0, 9, 10, 11, 13, 25, 28
SETITIMER, UMASK, FCHDIR, SIGALTSTACK, PERSONALITY, MLOCK = 38, 95, 81, 131, 135, 149
PRCTL, SET_TID_ADDRESS, TIMER_CREATE, TIMER_SETTIME = 157, 218, 222, 223
SIGTIMEDWAIT, SIGQUEUEINFO, TGSIGQUEUEINFO = 128, 129, 297
WAITID, SET_ROBUST_LIST, DUP3, RSEQ, CLONE3, CLOSE_RANGE, MSEAL = 247, 273, 292, 334, 435, 436, 462
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_TIMERSLACK = 1, 4, 15, 29
PR_SET_MM, PR_SET_MM_MAP, PR_SET_CHILD_SUBREAPER, PR_SET_THP_DISABLE = 35, 14, 36, 41
PR_TIMER_CREATE_RESTORE_IDS = 77
PRLIMIT = 302
SCRATCH = 1 << 18
_FIXED_NEW, _PRIVATE, _SHARED, _ANONYMOUS = 0x100000, 2, 1, 0x20
_GROWSDOWN, _NORESERVE = 0x100, 0x4000
_MAYMOVE_FIXED = 3
_GUARD_INSTALL = 102
_THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000  # VM FS FILES SIGHAND THREAD SYSVSEM
_ROOM_BETWEEN = 0x20000
_FIRST_GAP = 0x10000000


def gap(taken: Sequence[tuple[int, int]], size: int, start: int = _FIRST_GAP) -> int:
    """An address with so much room that nothing of `taken` is there or near."""
    at = start
    for begin, end in sorted(taken):
        if begin - at >= size + _ROOM_BETWEEN:
            return at
        at = max(at, end + _ROOM_BETWEEN)
    return at


class Numbers:
    """Where the stub has the mover's descriptors."""

    def __init__(self, first: int, files: int, backings: int, memories: int) -> None:
        self.first = first
        self._starts = (first, first + files, first + files + backings)
        self._folders = first + files + backings + memories

    def file(self, index: int) -> int:
        return self._starts[0] + index

    def backing(self, index: int) -> int:
        return self._starts[1] + index

    def memory(self, index: int) -> int:
        return self._starts[2] + index

    def folder(self, index: int) -> int:
        return self._folders + index


class Assembly:
    """One process. `pid` is the mover's number; all its threads are stopped all the time."""

    def __init__(self, pid: int, place: Place, process: Process, job: Job) -> None:
        self.pid = pid
        self.place = place
        self.process = process
        self.job = job
        self.tids = {process.pid: pid}
        self._final_at = 0

    # -- calls -----------------------------------------------------------------------------------

    def batch(self) -> Batch:
        return Batch(self.place)

    def run(self, batch: Batch, tid: int = 0, tolerant: bool = False) -> list[int]:
        return batch.run(tid or self.pid, tolerant=tolerant)

    def call(self, number: int, *arguments: int) -> int:
        return inject.call(self.pid, self.place.syscall, number, *arguments)

    # -- memory ----------------------------------------------------------------------------------

    def map_all(self, numbers: Numbers) -> None:
        """The kernel's mappings moved to their places, and all others made."""
        self._place_special()
        batch = self.batch()
        for area in self.process.areas:
            if area.special:
                continue
            if batch.full:
                self.run(batch)
            batch.add(f"mmap {area.start:x}", MMAP, *_mmap(area, numbers))
        self.run(batch)

    def _place_special(self) -> None:
        wanted = {a.special: a for a in self.process.areas if a.special}
        here = {m.name: m for m in proc.maps_without_flags(self.pid) if m.name in proc.SPECIAL}
        sizes = {name: one.size for name, one in here.items()}
        if sizes != {name: one.end - one.start for name, one in wanted.items()}:
            raise OSError(8, "this kernel's vDSO is another one")
        taken = [(a.start, a.end) for p in self.job.processes for a in p.areas]
        taken += [(m.start, m.end) for m in proc.maps_without_flags(self.pid)]
        at = gap(taken, sum(sizes.values()), self.place.start + SCRATCH + _ROOM_BETWEEN)
        batch = self.batch()
        first: list[tuple[int, int]] = []
        for name, one in here.items():
            batch.add(f"move {name}", MREMAP, one.start, one.size, one.size, _MAYMOVE_FIXED, at)
            first.append((at, one.size))
            at += one.size
        for (name, _), (now, size) in zip(here.items(), first, strict=True):
            batch.add(f"move {name}", MREMAP, now, size, size, _MAYMOVE_FIXED, wanted[name].start)
        self.run(batch)

    def fill(self, source: int) -> None:
        pages.fill(self.pid, self.process.pages, source)

    def settle_memory(self) -> None:
        """Protections and advice, once the pages are there."""
        batch = self.batch()
        for start, end in self.process.guards:
            batch.add("guard", MADVISE, start, end - start, _GUARD_INSTALL)
        for area in self.process.areas:
            if area.special:
                continue
            size = area.end - area.start
            if batch.full:
                self.run(batch)
            if not area.shared and area.protection != area.protection | 3:
                batch.add("mprotect", MPROTECT, area.start, size, area.protection)
            for flag in area.flags:
                if flag in areas.MADVISE:
                    batch.add(f"madvise {flag}", MADVISE, area.start, size, areas.MADVISE[flag])
            if areas.LOCKED in area.flags:
                batch.add("mlock", MLOCK, area.start, size)
            if areas.SEALED in area.flags:
                batch.add("mseal", MSEAL, area.start, size, 0)
        self.run(batch)

    # -- the process -----------------------------------------------------------------------------

    def set_process(self, index: int, numbers: Numbers) -> None:
        """Signal actions, layout, folder, mask of modes, and what else belongs to a process."""
        process = self.process
        batch = self.batch()
        for number, action in process.actions.items():
            if number == signal.SIGTRAP:
                continue  # a batch ends with one: see `finish`
            batch.add(f"sigaction {number}", SIGACTION, number, batch.bytes_at(action), 0, 8)
        batch.add("umask", UMASK, process.umask)
        batch.add("fchdir", FCHDIR, numbers.folder(index))
        batch.add("personality", PERSONALITY, process.personality)
        auxv = batch.bytes_at(process.layout.auxv)
        layout = struct.pack("=11Q", *process.layout.places) + struct.pack(
            "=QII", auxv, len(process.layout.auxv), numbers.backing(process.executable)
        )
        batch.add("PR_SET_MM_MAP", PRCTL, PR_SET_MM, PR_SET_MM_MAP, batch.bytes_at(layout), 104)
        if process.subreaper:
            batch.add("subreaper", PRCTL, PR_SET_CHILD_SUBREAPER, 1)
        if process.thp_disabled:
            batch.add("no huge pages", PRCTL, PR_SET_THP_DISABLE, 1)
        self.run(batch)

    def set_descriptors(self, numbers: Numbers) -> None:
        """Each to its number, ours closed, and what has descriptors in it."""
        batch = self.batch()
        for one in self.process.descriptors:
            if batch.full:
                self.run(batch)
            cloexec = os.O_CLOEXEC if one.cloexec else 0
            batch.add(f"descriptor {one.fd}", DUP3, numbers.file(one.file), one.fd, cloexec)
        batch.add("close_range", CLOSE_RANGE, numbers.first, 0xFFFFFFFF, 0)
        self.run(batch)
        for one in self.process.descriptors:
            record = self.job.files[one.file].what
            if isinstance(record, Standard):
                continue
            if batch.full:
                self.run(batch)
            kind_of_record(record).finish(record, batch, one.fd, self.process.pid)
        self.run(batch)

    def make_threads(self) -> None:
        for thread in self.process.threads[1:]:
            new = clone3(self.pid, self.place, _THREAD, 0, thread.tid)
            self.tids[thread.tid] = new

    # -- threads ---------------------------------------------------------------------------------

    def set_threads(self) -> None:
        for thread in self.process.threads:
            tid = self.tids[thread.tid]
            ptrace.set_signal_mask(tid, trace.ALL_BLOCKED)
            self._set_thread(thread, tid)

    def _set_thread(self, thread: Thread, tid: int) -> None:
        batch = self.batch()
        batch.add("set_tid_address", SET_TID_ADDRESS, thread.clear_tid)
        if thread.robust[0]:
            batch.add("set_robust_list", SET_ROBUST_LIST, *thread.robust)
        if thread.rseq[0]:
            address, size, signature, flags = thread.rseq
            batch.add("rseq", RSEQ, address, size, flags, signature)
        stack = thread.altstack
        if stack.size:
            flags = stack.flags & ~3  # SS_ONSTACK and SS_DISABLE are states, not settings
            packed = struct.pack("=Qi4xQ", stack.pointer, flags, stack.size)
            batch.add("sigaltstack", SIGALTSTACK, batch.bytes_at(packed), 0)
        batch.add("name", PRCTL, PR_SET_NAME, batch.bytes_at(thread.name + b"\0"))
        batch.add("timer slack", PRCTL, PR_SET_TIMERSLACK, thread.timer_slack)
        self.run(batch, tid)

    def set_outside(self) -> None:
        """What the mover sets without the process: limits, priorities, processors."""
        process = self.process
        self._set_limits()
        spared = Path(f"/proc/{self.pid}/oom_score_adj")
        if int(spared.read_text()) != process.oom_score_adj:
            spared.write_text(str(process.oom_score_adj))
        Path(f"/proc/{self.pid}/coredump_filter").write_text(hex(process.core_filter))
        here = os.sched_getaffinity(0)
        for thread in process.threads:
            tid, how = self.tids[thread.tid], thread.scheduling
            if os.sched_getscheduler(tid) != how.policy or how.priority:
                os.sched_setscheduler(tid, how.policy, os.sched_param(how.priority))
            if os.getpriority(os.PRIO_PROCESS, tid) != how.nice:
                os.setpriority(os.PRIO_PROCESS, tid, how.nice)
            wanted = here & set(how.processors) or here
            if os.sched_getaffinity(tid) != wanted:
                os.sched_setaffinity(tid, wanted)

    def _set_limits(self) -> None:
        """By the process itself: of another user's only CAP_SYS_RESOURCE can (prlimit(2)). The job
        of a user gets no more than its stub has."""
        process = self.process
        now = taskstate.limits(self.pid)
        batch = self.batch()
        for number, ((soft, hard), (_, most)) in enumerate(zip(process.limits, now, strict=True)):
            if process.threads[0].credentials.uids[0]:
                soft, hard = min(soft, most), min(hard, most)
            data = batch.bytes_at(struct.pack("=QQ", soft, hard))
            batch.add(f"prlimit {number}", PRLIMIT, 0, number, data, 0)
        self.run(batch)

    def set_credentials(self) -> None:
        """Of each thread by itself: the calls of the kernel change one thread."""
        for thread in self.process.threads:
            tid = self.tids[thread.tid]
            batch = self.batch()
            credentials.add(batch, thread.credentials, self.pid)
            dumpable = int(self.process.dumpable == 1)
            batch.add("dumpable", PRCTL, PR_SET_DUMPABLE, dumpable)
            if thread.parent_death:
                batch.add("parent death", PRCTL, PR_SET_PDEATHSIG, thread.parent_death)
            self.run(batch, tid)

    # -- to run ----------------------------------------------------------------------------------

    def reap_stops(self, children: Sequence[Process]) -> None:
        """Stops that the parent has heard of before are heard of, and their signals are taken."""
        batch = self.batch()
        for child in children:
            if child.stopped and child.stop_reported:
                batch.add("waitid", WAITID, 1, child.pid, 0, 2 | 1, 0)
        self.run(batch, tolerant=True)
        mask = batch.bytes_at(struct.pack("=Q", 1 << signal.SIGCHLD - 1))
        nothing = batch.bytes_at(bytes(16))
        for _ in range(2):
            batch.add("sigtimedwait", SIGTIMEDWAIT, mask, 0, nothing, 8)
        self.run(batch, tolerant=True)

    def set_timers(self) -> None:
        process = self.process
        batch = self.batch()
        if process.timers:
            batch.add("restore ids", PRCTL, PR_TIMER_CREATE_RESTORE_IDS, 1)
        for one in process.timers:
            event = struct.pack("=QiiI44x", one.value, one.signal, one.notify, one.tid)
            wanted = batch.bytes_at(struct.pack("=i", one.id))
            batch.add(f"timer {one.id}", TIMER_CREATE, one.clock, batch.bytes_at(event), wanted)
            batch.add(f"timer {one.id}", TIMER_SETTIME, one.id, 0, batch.bytes_at(one.setting), 0)
            if batch.full:
                self.run(batch)
        if process.timers:
            batch.add("restore ids", PRCTL, PR_TIMER_CREATE_RESTORE_IDS, 0)
        for which, setting in enumerate(process.itimers):
            if any(setting):
                setting = _still_armed(setting) if which == 0 else setting
                batch.add(f"itimer {which}", SETITIMER, which, batch.bytes_at(setting), 0)
        self.run(batch)

    def queue_signals(self) -> None:
        process = self.process
        batch = self.batch()
        for info in process.pending:
            number = int.from_bytes(info[:4], "little")
            batch.add("queue", SIGQUEUEINFO, process.pid, number, batch.bytes_at(info))
            if batch.full:
                self.run(batch)
        self.run(batch)
        for thread in process.threads:
            batch = self.batch()
            for info in thread.pending:
                number = int.from_bytes(info[:4], "little")
                at = batch.bytes_at(info)
                batch.add("queue", TGSIGQUEUEINFO, process.pid, thread.tid, number, at)
                if batch.full:
                    self.run(batch, self.tids[thread.tid])
            self.run(batch, self.tids[thread.tid])

    def finish(self, vdso_syscall: int) -> None:
        """Calls in progress, then nothing of ours is left, then the registers."""
        registers = {}
        for thread in self.process.threads:
            tid = self.tids[thread.tid]
            registers[thread.tid] = calls.rearm(tid, thread, vdso_syscall, self.place.data)
        if trap := self.process.actions.get(signal.SIGTRAP):
            memory.write(self.pid, self.place.data, trap)
            inject.call(self.pid, vdso_syscall, SIGACTION, signal.SIGTRAP, self.place.data, 0, 8)
        inject.call(self.pid, vdso_syscall, MUNMAP, self.place.start, SCRATCH)
        for thread in self.process.threads:
            tid = self.tids[thread.tid]
            first = list(registers[thread.tid])
            first[R.ORIG_RAX] = ptrace.WORD
            regset.set_general(tid, first)
            regset.set_extended(tid, thread.extended)
            trace.trap_again(tid)
        if self.process.stopped:
            self._stop_as_before()
        for thread in self.process.threads:
            tid = self.tids[thread.tid]
            ptrace.set_signal_mask(tid, thread.mask)
            regset.set_general(tid, registers[thread.tid])

    def _stop_as_before(self) -> None:
        """Into a group-stop, with everything else blocked, so that no signal comes before it."""
        os.kill(self.pid, signal.SIGSTOP)
        tids = list(self.tids.values())
        ptrace.request(ptrace.CONT, tids[0])
        if trace.next_stop(tids[0]) != signal.SIGSTOP:
            raise RuntimeError(f"process {self.process.pid} did not get its stop")
        ptrace.request(ptrace.CONT, tids[0], 0, signal.SIGSTOP)
        for tid in tids[1:]:
            ptrace.request(ptrace.CONT, tid)
        for tid in tids:
            found = trace.next_stop(tid)
            if found != (regset.EVENT_STOP << 8 | signal.SIGSTOP):
                raise RuntimeError(f"task {tid} stopped with {found:#x} for its stop")

    def go(self) -> None:
        for tid in self.tids.values():
            trace.let_go(tid)


def _still_armed(setting: bytes) -> bytes:
    """ITIMER_REAL begins its next interval when its signal is taken: until then nothing is left of
    this one, and a setting of nothing would disarm it. Its pending signal comes once all the same.
    """
    seconds, microseconds, left, rest = struct.unpack("=4q", setting)
    return struct.pack("=4q", seconds, microseconds, left, rest or (0 if left else 1))


def _mmap(area: Area, numbers: Numbers) -> tuple[int, ...]:
    flags = _FIXED_NEW
    protection = area.protection
    if area.shared:
        flags |= _SHARED
    else:
        flags |= _PRIVATE
        protection |= 3  # written to first
    if areas.GROWS_DOWN in area.flags:
        flags |= _GROWSDOWN
    if areas.NO_RESERVE in area.flags:
        flags |= _NORESERVE
    fd = -1
    if area.file >= 0:
        fd = numbers.backing(area.file)
    elif area.memory >= 0:
        fd = numbers.memory(area.memory)
    else:
        flags |= _ANONYMOUS
    return area.start, area.end - area.start, protection, flags, fd, area.offset


def clone3(tid: int, place: Place, flags: int, exit_signal: int, number: int) -> int:
    """A task with that number made by `tid`, stopped; its id for the mover (clone3(2), set_tid)."""
    batch = Batch(place)
    wanted = batch.bytes_at(struct.pack("=Q", number))
    arguments = struct.pack("=11Q", flags, 0, 0, 0, exit_signal, 0, 0, 0, wanted, 1, 0)
    where = batch.bytes_at(arguments)
    batch.run(tid)  # only the data
    made, new = inject.clone(tid, place.syscall, CLONE3, where, len(arguments))
    if made != number or not new:
        raise RuntimeError(f"task {number} was born as {made}")
    while trace.next_stop(new) >> 8 != regset.EVENT_STOP:
        ptrace.request(ptrace.CONT, new)
    ptrace.set_signal_mask(new, trace.ALL_BLOCKED)
    return new
