"""Pids from home for what a transparent job forks (docs/shadows.md).

Owns which numbers stand ready, which is next, and who has one. Home makes shadows ahead and sends
their pids; before a process is made here, the kernel's next number is one of them. Shadows made in
one go have numbers in a row, so most forks need nothing but a look: only where a row ends does the
clerk (glunix.node.clerk) have to set the next. Threads take numbers, too: theirs come from the top
of the range, where home hardly ever has any.

Numbers are home's and the job's own, except where said.
"""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from glunix.msg import shadows
from glunix.msg.base import Message
from glunix.node.clerk import Clerk, ClerkGone, Ended, Named
from glunix.node.reactor import Reactor
from slic.kernel.pidfd import status_fields

FIRST, MORE, LOW = 4, 16, 8
"""Shadows asked for with a group's first fork, later, and when fewer are left."""

SWEEP = 0.02
"""Seconds after a fork until it is looked whether the process is still there: most are not."""

PATIENCE = 3.0
"""Seconds that a fork waits for home."""

_THREADS = -1
_ROW = 256
"""Numbers of threads that are set aside at a time."""


class Space(Protocol):
    """What glunix.node.pidspace tells of the job's namespace."""

    @property
    def init(self) -> int: ...
    @property
    def program(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def group_number(self) -> int: ...
    def helper(self, pid: int) -> None: ...


class _Run:
    """Numbers in a row that the kernel gives one after the other."""

    def __init__(self, group: int, first: int, size: int) -> None:
        self.group = group
        self.numbers = range(first, first + size)
        self.given = 0

    @property
    def left(self) -> int:
        return len(self.numbers) - self.given

    @property
    def last(self) -> int:
        """The last number that was given; 0 when none was."""
        return self.numbers[self.given - 1] if self.given else 0


class Numbers:
    """Until `open` every fork is let go as it is; so it is when there can be no shadows."""

    def __init__(
        self,
        npid: int,
        send: Callable[[Message], None],
        answer: Callable[[int], object],
        reactor: Reactor,
    ) -> None:
        """`send` sends home, `answer` lets a held call go."""
        self._npid = npid
        self._send = send
        self._answer = answer
        self._reactor = reactor
        self._space: Space | None = None
        self._clerk: Clerk | None = None
        self._is_off = True
        self._run = _Run(0, 0, 0)
        self._thread = self._threads = _top()
        self._pools: dict[int, list[int]] = {}
        """Process group -> the numbers that stand ready in it, sorted."""
        self._wanted: set[int] = set()
        self._session = 0
        """Of the program, as the node has it."""
        self._by: dict[int, int] = {}
        """Process group -> a process in it that is in another session than the program's."""
        self._waiting: deque[tuple[int, int]] = deque()
        """(call, group) of each fork that waits."""
        self._given: dict[int, int] = {}
        """Number -> the group in which it was forked."""
        self._unseen: list[int] = []
        self._executed: set[int] = set()
        """Threads (pids of the node) that execute another program."""
        self._sweeping = False
        self._depth = 0
        """Which of a process's numbers is that in the job (proc(5), NSpid)."""
        self._outer: dict[int, int] = {}
        """Process group as the node has it -> its number in the job."""

    def open(self, space: Space) -> None:
        """From now on forks get numbers from home, in this namespace."""
        self._space = space
        self._is_off = False
        self._depth = len(status_fields(space.init)["NSpid"].split()) - 1
        self._session = os.getsid(space.program)
        self._outer[space.group] = space.group_number

    @property
    def is_on(self) -> bool:
        """Whether processes that the program forked have shadows."""
        return not self._is_off and bool(self._given)

    @property
    def can_move(self) -> bool:
        """Whether home is to hear of groups and sessions."""
        return self._space is not None and not self._is_off

    def has_shadow(self, number: int) -> bool:
        """Whether this process, the program or another, has one."""
        return number in self._given or (self._space is not None and number == self._space.number)

    def number_of(self, tid: int) -> int:
        """The number of a thread's process (pid of the node); 0 when it is gone."""
        try:
            return int(status_fields(tid)["NStgid"].split()[self._depth])
        except (OSError, IndexError):
            return 0

    # -- forks (slic.interposers.forks.Numbers) ------------------------------------------------

    def take(self, tid: int, thread: bool) -> bool:
        """See slic.interposers.forks: True when the next number is settled."""
        if self._is_off:
            return True
        group = _THREADS if thread else self._group_of(tid)
        if self._run.group != group or not self._run.left or self._waiting:
            return False
        self._give()
        return True

    def execs(self, tid: int) -> None:
        """See slic.interposers.forks."""
        if self._clerk is not None:
            self._executed.add(tid)
            self._sweep_later()

    def wait(self, call: int, tid: int, thread: bool) -> None:
        """A fork that may not go on yet."""
        group = _THREADS if thread else self._group_of(tid)
        if group != _THREADS and group not in self._pools:
            self._note_session(group, tid)
        self._waiting.append((call, group))
        self._serve()
        if self._waiting and self._waiting[-1][0] == call:
            self._reactor.call_later(PATIENCE, self._lose_patience, call)

    def cancelled(self, call: int) -> None:
        """The call is gone."""
        self._waiting = deque(one for one in self._waiting if one[0] != call)

    def _lose_patience(self, call: int) -> None:
        if any(one == call for one, _ in self._waiting):
            self._turn_off("home sends no pids")

    def _group_of(self, tid: int) -> int:
        """The process group of a thread of the job."""
        assert self._space is not None
        try:
            outer = os.getpgid(tid)
            if outer not in self._outer:
                self._outer[outer] = int(status_fields(tid)["NSpgid"].split()[self._depth])
            return self._outer[outer]
        except (OSError, IndexError):
            return self._space.group_number  # it is gone

    def _note_session(self, group: int, tid: int) -> None:
        """Only a shadow of another session can make more in it; the program's own cannot."""
        try:
            foreign = os.getsid(tid) != self._session
        except ProcessLookupError:
            return
        number = self.number_of(tid) if foreign else 0
        if number in self._given:
            self._by[group] = number

    def _give(self) -> None:
        run = self._run
        number = run.numbers[run.given]
        run.given += 1
        if run.group == _THREADS:
            self._thread = number + 1
            return
        self._given[number] = run.group
        self._unseen.append(number)
        self._sweep_later()
        if run.left + len(self._pools.get(run.group, ())) < LOW:
            self._want(run.group, MORE)

    def _serve(self) -> None:
        """Let forks go that wait, in order, as far as there are numbers."""
        while self._waiting and not self._is_off:
            call, group = self._waiting[0]
            settled = self._run.group == group and self._run.left > 0
            if not settled and not (self._clerk_is_there() and self._next_run(group)):
                return
            self._waiting.popleft()
            self._give()
            self._answer(call)

    def _next_run(self, group: int) -> bool:
        """Begin another row; False while home has sent none."""
        if group == _THREADS:
            if self._thread + _ROW >= self._threads * 8 // 7:
                self._thread = self._threads
            new = _Run(group, self._thread, _ROW)
        else:
            pool = self._pools.get(group)
            if not pool:
                self._want(group, FIRST if group not in self._pools else MORE)
                return False
            size = 1
            while size < len(pool) and pool[size] == pool[0] + size:
                size += 1
            new = _Run(group, pool[0], size)
            del pool[:size]
        assert self._clerk is not None
        try:
            last = self._clerk.jump(new.numbers[0], len(new.numbers), self._run.last)
        except ClerkGone as error:
            self._turn_off(str(error))
            return False
        self._put_back(self._run, last)
        self._run = new
        return True

    def _put_back(self, run: _Run, last: int) -> None:
        """Numbers of a row that the kernel has not given stand ready again."""
        if run.group == _THREADS or not run.numbers or last > run.numbers[-1]:
            return
        left = [number for number in run.numbers if number > last]
        if last < run.numbers[0] - 1:
            left = list(run.numbers[run.given :])
        for number in left:
            self._given.pop(number, None)
        self._unseen = [number for number in self._unseen if number not in left]
        self._pools[run.group] = sorted([*left, *self._pools.get(run.group, ())])

    # -- home ----------------------------------------------------------------------------------

    def _want(self, group: int, count: int) -> None:
        if group not in self._wanted:
            self._wanted.add(group)
            by = self._by.get(group, 0)
            if by and by not in self._given:  # it has ended: another of the group
                by = next((one for one, other in self._given.items() if other == group), 0)
            self._send(shadows.ShadowsWanted(group, count, by))

    def made(self, message: shadows.ShadowsMade) -> None:
        """Home has made some."""
        if not message.pids:
            self._turn_off("home can make no shadows")
            return
        self._wanted.discard(message.group)
        taken = self._taken()
        bad = [pid for pid in message.pids if pid in taken]
        if bad:
            self._send(shadows.ShadowsEnded(bad))
        pool = self._pools.setdefault(message.group, [])
        pool += [pid for pid in message.pids if pid not in taken]
        pool.sort()
        self._serve()

    def _taken(self) -> set[int]:
        found = set(self._given)
        if self._clerk is not None:
            found.add(self._clerk.number)
        return found

    def signal(self, number: int, signal_number: int) -> bool:
        """A shadow got a signal; False when it stands for nobody."""
        if number not in self._given or self._clerk is None:
            for pool in self._pools.values():
                if signal_number == 9 and number in pool:  # SIGKILL: it is gone
                    pool.remove(number)
            return False
        try:
            self._clerk.kill(number, signal_number)
        except ClerkGone as error:
            self._turn_off(str(error))
        return True

    # -- ends, names ---------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._reactor.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        unseen, self._unseen = self._unseen, []
        executed, self._executed = self._executed, set()
        if self._clerk is None or self._space is None:
            return
        try:
            for at in range(0, len(unseen), shadows.SHADOWS_MAX):
                self._clerk.watch(unseen[at : at + shadows.SHADOWS_MAX])
            for tid in executed:
                number = self.number_of(tid)
                if number and number not in unseen:
                    self._clerk.name(number)
        except ClerkGone as error:
            self._turn_off(str(error))

    def _clerk_is_there(self) -> bool:
        if self._clerk is None and self._space is not None:
            try:
                self._clerk = Clerk(self._space.init)
            except (OSError, ClerkGone) as error:
                self._turn_off(f"no helper inside: {error}")
                return False
            self._space.helper(self._clerk.pid)
            self._reactor.add_reader(self._clerk.fileno(), self._hear)
        return self._clerk is not None

    def _hear(self) -> None:
        assert self._clerk is not None
        try:
            news = self._clerk.read()
        except ClerkGone as error:
            self._turn_off(str(error))
            return
        ended: list[int] = []
        for one in news:
            if isinstance(one, Ended):
                ended += [number for number in one.numbers if self._given.pop(number, 0)]
            elif isinstance(one, Named):
                self._send(shadows.ShadowNamed(one.number, one.name, one.words))
            else:
                self._unseen += [number for number in one.numbers if number in self._given]
        for at in range(0, len(ended), shadows.SHADOWS_MAX):
            self._send(shadows.ShadowsEnded(ended[at : at + shadows.SHADOWS_MAX]))

    def _turn_off(self, why: str) -> None:
        """Processes made from now on have numbers of the namespace, and no shadows."""
        if not self._is_off:
            print(f"job {self._npid}: forks have pids of this node: {why}", flush=True)
        self._is_off = True
        if self._clerk is not None:
            self._reactor.remove_reader(self._clerk.fileno())
        while self._waiting:
            self._answer(self._waiting.popleft()[0])

    def close(self) -> None:
        """The job is over."""
        self._is_off = True
        if self._clerk is not None:
            self._reactor.remove_reader(self._clerk.fileno())
            self._clerk.close()
            self._clerk = None


def _top() -> int:
    """Where the numbers of threads begin."""
    return int(Path("/proc/sys/kernel/pid_max").read_text()) * 7 // 8
