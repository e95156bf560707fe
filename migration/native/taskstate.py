"""What only the process itself can tell, asked by injected calls; and what makes a thread."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from migration.engine import Reason, Refused
from migration.native import calls, proc, trace
from migration.native import inject as injection
from migration.native.held import Held
from migration.native.inject import Batch, Place
from migration.native.model import (
    AltStack,
    Credentials,
    MemoryLayout,
    Scheduling,
    Thread,
    Timer,
)
from migration.native.proc import Map
from migration.native.trace import Task
from slic.kernel import memory, ptrace, regset
from slic.kernel.regset import R

MMAP, MUNMAP, BRK, SIGACTION = 9, 11, 12, 13
GETITIMER, SIGALTSTACK, PRCTL, TIMER_GETTIME, WAITID = 36, 131, 157, 224, 247
PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_GET_SECUREBITS, PR_GET_TIMERSLACK = 2, 3, 27, 30
PR_GET_CHILD_SUBREAPER, PR_GET_TID_ADDRESS, PR_GET_THP_DISABLE = 37, 40, 42
_SCRATCH = 1 << 18
_PRIVATE_ANONYMOUS = 0x22
_SIGTRAP_BIT = 1 << 4
_WAIT_STOPPED = 0x01000000 | 2 | 1  # WNOWAIT, WSTOPPED, WNOHANG
_NOTIFY = {"signal": 0, "none": 1, "thread": 2}
_TID = 4
_RSEQ_CS = struct.Struct("=IIQQQ")


@dataclass
class Inner:
    """The answers."""

    threads: list[Thread]
    actions: dict[int, bytes]
    pending: list[bytes]
    timers: list[Timer]
    itimers: list[bytes]
    brk: int
    dumpable: int
    subreaper: bool
    thp_disabled: bool


def syscall_instruction(pid: int, maps: list[Map]) -> int:
    """The address of one in the vDSO."""
    for one in maps:
        if one.name == "[vdso]":
            found = memory.read(pid, one.start, one.size).find(injection.SYSCALL)
            if found >= 0:
                return one.start + found
    raise Refused(Reason(pid, "", "has no vDSO to make system calls by"))


def ask(held: Held, maps: list[Map]) -> Inner:
    """Everything, of a stopped process, which afterwards is as it was.

    Should the mover end meanwhile, the process ends, too, and does not run on with our registers.
    """
    try:
        for task in held.tasks:
            regset.set_options(task.tid, trace.SOURCE_OPTIONS | ptrace.O_EXITKILL)
            task.block()
        return _ask(held, maps)
    finally:
        for task in held.tasks:
            trace.put_back(task)
            regset.set_options(task.tid, trace.SOURCE_OPTIONS)


def _ask(held: Held, maps: list[Map]) -> Inner:
    pid = held.pid
    at = syscall_instruction(pid, maps)
    try:
        start = injection.call(pid, at, MMAP, 0, _SCRATCH, 7, _PRIVATE_ANONYMOUS, -1, 0)
    except OSError as error:
        why = f"lets no code be injected ({error.strerror})"
        raise Refused(Reason(pid, "", why)) from None
    place = Place(pid, start, _SCRATCH)
    try:
        place.prepare()
        return _Asked(held, place, maps).inner()
    finally:
        injection.call(pid, at, MUNMAP, start, _SCRATCH)


class _Asked:
    """Questions to one process; answers are read from where the kernel wrote them."""

    def __init__(self, held: Held, place: Place, maps: list[Map]) -> None:
        self._held = held
        self._pid = held.pid
        self._place = place
        self._status = proc.status(held.pid)
        self._singly = bool(int(self._status["SigIgn"], 16) & _SIGTRAP_BIT)
        self._numbers = {
            task.tid: proc.own_number(proc.status(task.tid)["NSpid"]) for task in held.tasks
        }

    def inner(self) -> Inner:
        pending = regset.pending(self._pid, True)
        numbers = [int.from_bytes(info[:4], "little") for info in pending]
        return Inner(
            threads=[self._thread(task, numbers) for task in self._held.tasks],
            actions=self._actions(),
            pending=pending,
            timers=self._timers(),
            **self._of_process(),  # type: ignore[arg-type]
        )

    def _run(self, batch: Batch, tid: int, tolerant: bool = False) -> list[int]:
        return batch.run(tid, tolerant=tolerant, singly=self._singly)

    def _actions(self) -> dict[int, bytes]:
        """Of signals that are not at their default."""
        set_ones = int(self._status["SigCgt"], 16) | int(self._status["SigIgn"], 16)
        wanted = [number for number in range(1, 65) if set_ones >> (number - 1) & 1]
        batch = Batch(self._place)
        where = {}
        for number in wanted:
            where[number] = batch.bytes_at(bytes(32))
            batch.add(f"sigaction {number}", SIGACTION, number, 0, where[number], 8)
        self._run(batch, self._pid)
        return {number: memory.read(self._pid, at, 32) for number, at in where.items()}

    def _of_process(self) -> dict[str, object]:
        batch = Batch(self._place)
        itimers = [batch.bytes_at(bytes(32)) for _ in range(3)]
        flag = batch.bytes_at(bytes(16))
        brk = batch.add("brk", BRK, 0)
        dumpable = batch.add("prctl", PRCTL, PR_GET_DUMPABLE)
        thp = batch.add("prctl", PRCTL, PR_GET_THP_DISABLE)
        batch.add("prctl", PRCTL, PR_GET_CHILD_SUBREAPER, flag)
        for which, at in enumerate(itimers):
            batch.add("getitimer", GETITIMER, which, at)
        results = self._run(batch, self._pid)
        self._ask_of_stopped_children()
        return {
            "brk": results[brk],
            "dumpable": results[dumpable],
            "thp_disabled": bool(results[thp]),
            "subreaper": any(memory.read(self._pid, flag, 4)),
            "itimers": [memory.read(self._pid, at, 32) for at in itimers],
        }

    def _ask_of_stopped_children(self) -> None:
        for child in self._held.children_stopped:
            number = proc.own_number(proc.status(child.pid)["NSpid"])
            batch = Batch(self._place)
            info = batch.bytes_at(bytes(128))
            batch.add("waitid", WAITID, 1, number, info, _WAIT_STOPPED, 0)
            results = self._run(batch, self._pid, tolerant=True)
            told = any(memory.read(self._pid, info, 4))
            child.stop_reported = results[0] != 0 or not told

    def _timers(self) -> list[Timer]:
        known = proc.timers(self._pid)
        batch = Batch(self._place)
        where = []
        for one in known:
            where.append(batch.bytes_at(bytes(32)))
            batch.add("timer_gettime", TIMER_GETTIME, one.id, where[-1])
        self._run(batch, self._pid)
        return [
            Timer(
                id=one.id,
                clock=one.clock,
                signal=one.signal,
                value=one.value,
                notify=_NOTIFY[one.notify] | (_TID if one.tid in self._numbers else 0),
                tid=self._numbers.get(one.tid, 0) if one.tid else 0,
                setting=memory.read(self._pid, at, 32),
            )
            for one, at in zip(known, where, strict=True)
        ]

    def _thread(self, task: Task, process_pending: list[int]) -> Thread:
        tid = task.tid
        batch = Batch(self._place)
        stack, clear, death = (batch.bytes_at(bytes(32)) for _ in range(3))
        batch.add("sigaltstack", SIGALTSTACK, 0, stack)
        batch.add("prctl", PRCTL, PR_GET_TID_ADDRESS, clear)
        batch.add("prctl", PRCTL, PR_GET_PDEATHSIG, death)
        securebits = batch.add("prctl", PRCTL, PR_GET_SECUREBITS)
        slack = batch.add("prctl", PRCTL, PR_GET_TIMERSLACK)
        results = self._run(batch, tid)
        pending = regset.pending(tid, False)
        numbers = [int.from_bytes(info[:4], "little") for info in pending] + process_pending
        rseq = regset.rseq(tid)
        registers = calls.at_dump(task, calls.unblocked(numbers, task.mask))
        pointer, flags, size = struct.unpack("=Qi4xQ", memory.read(self._pid, stack, 24))
        return Thread(
            tid=self._numbers[tid],
            registers=_out_of_sequence(self._pid, rseq[0], registers),
            extended=regset.extended(tid),
            mask=task.mask,
            pending=pending,
            altstack=AltStack(pointer=pointer, flags=flags, size=size),
            clear_tid=int.from_bytes(memory.read(self._pid, clear, 8), "little"),
            robust=regset.robust_list(tid),
            rseq=rseq,
            name=os.fsencode(proc.text(tid, "comm").rstrip("\n"))[:15],
            credentials=credentials(tid, results[securebits]),
            scheduling=scheduling(tid),
            parent_death=int.from_bytes(memory.read(self._pid, death, 4), "little"),
            timer_slack=results[slack],
        )


def _out_of_sequence(pid: int, rseq: int, registers: list[int]) -> list[int]:
    """Inside a restartable sequence (rseq(2)): at its abort handler, as after any interruption."""
    if not rseq:
        return registers
    descriptor = int.from_bytes(memory.read(pid, rseq + 8, 8), "little")
    if not descriptor:
        return registers
    try:
        _, _, start, size, abort = _RSEQ_CS.unpack(memory.read(pid, descriptor, _RSEQ_CS.size))
    except (OSError, struct.error):
        return registers
    if start <= registers[R.RIP] < start + size:
        registers = list(registers)
        registers[R.RIP] = abort
    return registers


def credentials(tid: int, securebits: int) -> Credentials:
    """A thread's, from /proc."""
    status = proc.status(tid)
    return Credentials(
        uids=[int(word) for word in status["Uid"].split()],
        gids=[int(word) for word in status["Gid"].split()],
        groups=[int(word) for word in status["Groups"].split()],
        inheritable=int(status["CapInh"], 16),
        permitted=int(status["CapPrm"], 16),
        effective=int(status["CapEff"], 16),
        bounding=int(status["CapBnd"], 16),
        ambient=int(status["CapAmb"], 16),
        securebits=securebits,
        no_new_privs=status["NoNewPrivs"] == "1",
    )


def scheduling(tid: int) -> Scheduling:
    """A thread's, from the kernel."""
    policy = os.sched_getscheduler(tid) & 0xF
    return Scheduling(
        policy=policy,
        priority=os.sched_getparam(tid).sched_priority,
        nice=os.getpriority(os.PRIO_PROCESS, tid),
        processors=sorted(os.sched_getaffinity(tid)),
    )


def layout(pid: int, stat: list[str], brk: int) -> MemoryLayout:
    """struct prctl_mm_map of PR_SET_MM_MAP (prctl(2))."""
    code, data, heap = (26, 27), (45, 46), 47
    places = [int(stat[n]) for n in (*code, *data, heap)]
    places += [brk, *(int(stat[n]) for n in (28, 48, 49, 50, 51))]
    with open(f"/proc/{pid}/auxv", "rb") as file:
        return MemoryLayout(places=places, auxv=file.read())


def limits(pid: int) -> list[tuple[int, int]]:
    """All 16 of getrlimit(2), in the kernel's order; unlimited is all ones.

    Read from /proc: prlimit(2) of another user's process needs CAP_SYS_RESOURCE.
    """
    lines = proc.text(pid, "limits").splitlines()[1:]
    found = []
    for line in lines:
        soft, hard = line[26:].split()[:2]  # proc(5): the name has 26 columns
        found.append((_limit(soft), _limit(hard)))
    return found


def _limit(word: str) -> int:
    return ptrace.WORD if word == "unlimited" else int(word)
