"""Pids from home for what a transparent job forks (docs/shadows.md).

Owns which numbers the kernel gives next, and who has one. Home makes shadows ahead, whose pids are
in a row, and sends them; here the number after which the kernel goes on (ns_last_pid) is set to
the beginning of a row. So a fork is not held up, and cannot be: a call that waits can be
interrupted, which fork never is natively. Each process, and each thread, says that it has begun
(set_robust_list(2), whose result nobody looks at), so the next row is begun before one ends.

Numbers are home's and the job's own, except where said.
"""

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from glunix.msg import shadows
from glunix.msg.base import Message
from glunix.msg.move import Place, State
from glunix.node.dispatch import Handlers
from glunix.node.processes.agent import AgentGone, Ended, Named, NamespaceAgent, Stopped
from glunix.node.processes.forkwatch import ForkWatch
from glunix.node.processes.group_membership import GroupMembership
from glunix.node.processes.program_title import ProgramName
from glunix.node.processes.tree import descendants
from glunix.node.reactor import Reactor
from slic.budget import Budget
from slic.kernel.pidfd import status_fields

BLOCK, LONGEST_BLOCK = 32, 64
"""Shadows asked for at a time: at first, and in the end by a job that goes on forking."""

SHARE = 8
"""Of a user's limit of processes (RLIMIT_NPROC), the part that a row may be: shadows count too."""

LOW = 10
"""Numbers left in a row when the next is begun: as many can be forked meanwhile."""

PATIENCE = 1.0
"""Seconds that a job waits for its first row: home makes it at once, or says that it cannot."""

SWEEP = 0.02
"""Seconds after a fork until it is looked whether the process is still there: most are not."""

SWEEPS = 8
"""Looks that find nobody, as in a script, of which one tells home who has ended."""


class Space(Protocol):
    """What glunix.node.processes.namespace tells of the job's namespace."""

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
    def hire(self, asks: socket.socket, news: socket.socket, run: range, own: int) -> None: ...


class PidAllocator:
    """Does nothing until home has `made` shadows and the namespace is there (`open`)."""

    def __init__(
        self,
        npid: int,
        send: Callable[[Message], None],
        reactor: Reactor,
        processes: int | None = None,
    ) -> None:
        """`send` sends home; `processes`: the program's limit of them (ulimit -u)."""
        most = LONGEST_BLOCK if processes is None else max(2, processes // SHARE)
        self._longest = min(LONGEST_BLOCK, most)
        self._npid = npid
        self._send = send
        self._reactor = reactor
        self._space: Space | None = None
        self._agent: NamespaceAgent | None = None
        self._is_off = False
        self._has_strays = False
        self._run = range(0)
        """The row that the kernel is in."""
        self._left = 0
        """How many of it can at least be given without a look."""
        self._blocks: deque[range] = deque()
        self._asked = False
        self._block = min(BLOCK, self._longest)
        """How many to ask for next."""
        self._shadows: set[int] = set()
        """Every number that has a shadow, given or not."""
        self._whereabouts = GroupMembership()
        self.program_name = ProgramName(send, reactor)
        self._begun: set[int] = set()
        """Threads (pids of the node) that had begun something when the next sweep was arranged."""
        self._since: set[int] = set()
        """Those that have since then."""
        self._sweeping = False
        self._in_vain = 0
        """Sweeps that found nobody."""
        self.budget = Budget()
        """See slic.interposers.home.forks: so many may begin until the row is to be looked at, but
        the first makes us look soon who has come."""
        self._given: list[int] = []
        """Numbers of processes that came from another node."""
        self._forks: ForkWatch | None = None
        self._depth = 0
        """Which of a process's numbers is that in the job (proc(5), NSpid)."""

    # -- the beginning -------------------------------------------------------------------------

    def first(self, turn: Callable[[], None]) -> int:
        """The first number for what the program forks; 0: whatever the kernel gives.

        Home makes shadows while the job gets ready: `turn` hears of it.
        """
        late = self._reactor.call_later(PATIENCE, self._turn_off, "home sends no pids")
        while not self._blocks and not self._is_off:
            turn()
        late.cancel()
        if self._is_off:
            return 0
        self._run = self._blocks.popleft()
        self._left = len(self._run)
        return self._run[0]

    def open(self, space: Space, forks: ForkWatch) -> None:
        """The namespace is there, and the program about to begin in it."""
        self._space = space
        self._forks = forks
        self._depth = len(status_fields(space.init)["NSpid"].split()) - 1

    def give_up(self) -> None:
        """There is no namespace: nobody gets a number from home."""
        self._is_off = True
        if self._shadows:
            self._send(shadows.ShadowsEnded(sorted(self._shadows)))
            self._shadows.clear()

    @property
    def has_strays(self) -> bool:
        """Whether some process of the job may have no shadow."""
        return self._is_off or self._has_strays

    @property
    def can_move(self) -> bool:
        """Whether home is to hear of groups and sessions."""
        return self._space is not None and not self._is_off

    def has_shadow(self, number: int) -> bool:
        """Whether this process, the program or another, has one."""
        return number in self._shadows or (self._space is not None and number == self._space.number)

    def number_of(self, tid: int) -> int:
        """The number of a thread's process (pid of the node); 0 when it is gone."""
        return self._status(tid)[0]

    def number_and_session(self, tid: int) -> tuple[int, int]:
        """The same, and its session's, 0 when that was not made in the namespace."""
        number, _, session = self._status(tid)
        return number, session

    def _status(self, tid: int) -> tuple[int, int, int]:
        """Its process's number, group and session."""
        try:
            found = status_fields(tid)
            own, group, session = (
                int(found[name].split()[self._depth]) for name in ("NStgid", "NSpgid", "NSsid")
            )
        except (OSError, IndexError, KeyError):
            return 0, 0, 0
        return own, group, session

    # -- forks (slic.interposers.home.forks.PidSource) -------------------------------------------

    def begun(self, tid: int, is_new: bool = True) -> tuple[int, int] | None:
        """A process or thread has begun, or executed a program. None: it may go on; else its
        shadow (number) is to move to another group first. Not `is_new`: it was there before."""
        space = self._space
        if space is not None and tid == space.program:
            self.program_name.look_later()
        if self._is_off or space is None or tid == space.program:
            return None
        self._note_unseen()
        if self._sweeping:
            self._since.add(tid)
        else:
            self._begun.add(tid)
            self._sweep_later()
        self._left -= is_new
        if self._left <= self._low or self._agent is None:
            self._look()
        self._grant()
        if not is_new:
            return None
        try:
            if os.getpgid(tid) == space.group:
                return None
        except ProcessLookupError:
            return None
        number, group, session = self._status(tid)
        if number not in self._shadows or self._whereabouts.known(number, group, session):
            return None
        return number, group

    def _note_unseen(self) -> None:
        """Those that have begun without a word of the engine's."""
        if seen := self.budget.seen:
            self._since.update(seen)
            self._left -= len(seen)
            seen.clear()

    def _grant(self) -> None:
        space = self._space
        if space is None or self._agent is None or self._is_off or not self._sweeping:
            self.budget.grant(0, 0, 0)
        else:
            self.budget.grant(max(0, self._left - self._low), space.group, space.program)

    def catch_up(self) -> None:
        """Hear of all that has begun by now."""
        if self._forks is not None:
            self._forks.catch_up()

    @property
    def spare(self) -> int:
        """How many may begin unheard."""
        if self._is_off:
            return LONGEST_BLOCK
        return self._left - self._low if self._whereabouts.is_simple else 0

    def look_at_row(self) -> None:
        """Much may have begun unseen."""
        if self._agent is not None and not self._is_off:
            self._look()

    @property
    def _low(self) -> int:
        return min(LOW, len(self._run) // 2)

    def moved(self, number: int, group: int, session: int) -> None:
        """The shadow is, or will be, in this group of this session."""
        self._whereabouts.moved(number, group, session)

    def _look(self) -> None:
        """Where is the kernel? If the row is nearly used up, begin the next."""
        if not self._agent_is_there() or self._agent is None:
            return
        self._note_unseen()
        try:
            last = self._agent.last()
            self._left = self._run[-1] - last if self._run[0] - 1 <= last <= self._run[-1] else 0
            if self._left == 0 and not self._has_strays:
                self._has_strays = True
                print(f"job {self._npid}: it forked faster than home made shadows", flush=True)
            if self._left <= self._low and self._blocks:
                self._next_run()
        except AgentGone as error:
            self._turn_off(str(error))
        if sum(map(len, self._blocks)) < min(BLOCK, self._longest) and not self._asked:
            self._asked = True
            self._send(shadows.ShadowsWanted(self._group_number(), self._block))
            self._block = min(2 * self._block, self._longest)

    def _next_run(self) -> None:
        assert self._agent is not None
        old, self._run = self._run, self._blocks.popleft()
        last = self._agent.jump(self._run[0], len(self._run))
        self._left = len(self._run)
        unused = [number for number in old if number > last >= old[0] - 1]
        self._shadows.difference_update(unused)
        if unused:
            self._send(shadows.ShadowsEnded(unused))

    def _group_number(self) -> int:
        return 0 if self._space is None else self._space.group_number

    # -- home ----------------------------------------------------------------------------------

    def handlers(self) -> Handlers:
        """Which method takes which answer of home's."""
        return {shadows.ShadowsMade: self.made}

    def made(self, message: shadows.ShadowsMade) -> None:
        """Home has made some, with numbers in a row."""
        self._asked = False
        pids = message.pids
        if not pids:
            self._turn_off("home can make no shadows")
            return
        self._shadows.update(pids)
        self._blocks.append(range(pids[0], pids[-1] + 1))
        self._note_unseen()
        if self._agent is not None and self._left <= self._low:
            self._look()
            self._grant()

    def signal(self, number: int, signal_number: int) -> bool:
        """A shadow got a signal; False when it stands for nobody."""
        # Who is stopped before his first act has never begun.
        if number not in self._shadows or not self._agent_is_there() or self._agent is None:
            return False
        try:
            self._agent.kill(number, signal_number)
        except AgentGone as error:
            self._turn_off(str(error))
        return True

    def look(self, stopped: int = 0) -> None:
        """Somebody may have been stopped, or go on; `stopped` (a pid of the node) was."""
        if self._agent is None or self._is_off:
            return
        try:
            if number := stopped and self.number_of(stopped):
                self._agent.stopped(number)
            else:
                self._agent.look()
        except AgentGone as error:
            self._turn_off(str(error))

    # -- a move to another node ----------------------------------------------------------------

    def state(self) -> dict[str, object]:
        """What another node has to know to go on (fields of glunix.msg.move.State)."""
        last = self._run.start - 1
        if self._agent is not None and not self._is_off:
            last = max(last, self._agent.last())
        rest = range(max(self._run.start, last + 1), self._run.stop)
        rows = [(row.start, row.stop) for row in (rest, *self._blocks) if len(row)]
        return {
            "shadows": sorted(self._shadows),
            "rows": rows,
            "asked": self._asked,
            "row": self._block,
            "strays": self._has_strays,
            "off": self._is_off,
            "places": [Place(*place) for place in self._whereabouts.places()],
            "sessions": self._whereabouts.sessions(),
        }

    def adopt(self, state: State) -> None:
        """Go on where another node stopped; the job is about to be here."""
        self._shadows = set(state.shadows)
        self._blocks = deque(range(*row) for row in state.rows)
        self._asked, self._block, self._has_strays = state.asked, state.row, state.strays
        for place in state.places:
            self._whereabouts.moved(place.number, place.group, place.session)
        for session in state.sessions:
            self._whereabouts.has_made(session)
        self._given = sorted(self._shadows - {n for row in self._blocks for n in row})
        if state.off or not self._blocks:
            self._turn_off("the node it came from had none left")
            return
        self._run = self._blocks.popleft()
        if self._agent_is_there(own=self._run[0]):
            self._left = len(self._run) - 1

    def watch(self) -> None:
        """The job is here: who of those that came has ended on the way?"""
        if self._agent is not None and not self._is_off:
            self._agent.watch(self._given)

    # -- ends, names ---------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        self._sweeping = True
        self._reactor.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self.catch_up()
        self._sweeping = False
        self._note_unseen()
        alive = [tid for tid in self._begun if _is_there(tid)]
        self._begun, self._since = self._since, set()
        if self._begun:
            self._sweep_later()
        self._grant()
        if self._forks is not None:
            self._forks.lives(alive)
        self._in_vain += 1
        if self._agent is None or self._is_off:
            return
        if not alive and self._sweeping and self._in_vain < SWEEPS:
            return
        self._in_vain = 0
        try:
            self._agent.sweep()
            for tid in alive:
                if number := self.number_of(tid):
                    self._agent.name(number)
        except AgentGone as error:
            self._turn_off(str(error))

    def _agent_is_there(self, own: int = 0) -> bool:
        if self._agent is None and self._space is not None and not self._is_off:
            try:
                self._agent = NamespaceAgent(self._space, self._run, own)
            except (OSError, AgentGone) as error:
                self._turn_off(f"no helper inside: {error}")
                return False
            self._space.helper(self._agent.pid)
            self._reactor.add_reader(self._agent.fileno(), self._hear)
        return self._agent is not None

    def _hear(self) -> None:
        assert self._agent is not None
        try:
            news = self._agent.read()
        except AgentGone as error:
            self._turn_off(str(error))
            return
        ended: list[int] = []
        for one in news:
            if isinstance(one, Ended):
                ended += [number for number in one.numbers if number in self._shadows]
            elif isinstance(one, Named) and one.number in self._shadows:
                self._send(shadows.ShadowNamed(one.number, one.name, one.words))
            elif isinstance(one, Stopped) and one.number in self._shadows:
                self._send(shadows.ShadowStopped(one.number, one.is_stopped))
        self._shadows.difference_update(ended)
        for at in range(0, len(ended), shadows.SHADOWS_MAX):
            self._send(shadows.ShadowsEnded(ended[at : at + shadows.SHADOWS_MAX]))
        if left := self._whereabouts.ended(ended):
            # One who was forked in it, and has not said so, may be there.
            left -= {self._status(pid)[2] for pid in descendants()}
            self._whereabouts.over(left)
            for session in left:
                self._send(shadows.ShadowsEnded([], [session]))

    def hears_nothing(self, why: str) -> None:
        """By glunix.node.processes.forkwatch."""
        self._turn_off(why)

    def _turn_off(self, why: str) -> None:
        """Processes made from now on have numbers of the namespace, and no shadows."""
        if not self._is_off:
            print(f"job {self._npid}: forks have pids of this node: {why}", flush=True)
        self._is_off = True
        self._grant()
        if self._agent is not None:
            self._reactor.remove_reader(self._agent.fileno())

    def close(self) -> None:
        """The job is over."""
        self._is_off = True
        if self._agent is not None:
            self._reactor.remove_reader(self._agent.fileno())
            self._agent.close()
            self._agent = None


def _is_there(tid: int) -> bool:
    """Whether this thread has not ended (and been waited for)."""
    try:
        os.kill(tid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
