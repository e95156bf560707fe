"""What the master has placed here: a node starts nothing else for another machine.

A home could otherwise start processes under the number of another's job, as a user for whom the
master placed nothing, or many times: our reports of them would be taken for that job's, and the
master would end our link for them. Owns what was announced and not started yet, and the starts
that wait for the master's word.
"""

from collections.abc import Callable
from typing import NamedTuple

from glunix.comm.loop import Loop
from glunix.errors import Refused
from glunix.ids import Why
from glunix.msg.stream import Start

EXPECT_WITHIN = 5.0
"""Seconds that the master's word about a job may come after its home's."""

EXPECTED_MAX = 4096
"""Jobs of one home that are announced and not started; the oldest are forgotten first."""

UNANNOUNCED_MAX = 4096
UNANNOUNCED_BYTES = 512 * 1024 * 1024
"""Jobs of one home, and the bytes of them, for which the master's word is waited for."""


class Placed(NamedTuple):
    """What the master says, or a home: which processes here, and of which user (the cluster's uid;
    None: an earlier version does not say)."""

    vnns: tuple[int, ...]
    uid: int | None

    def covers(self, said: "Placed") -> bool:
        """Whether a home that says this may start it."""
        return self.vnns == said.vnns and self.uid in (None, said.uid)


class Announced:
    """Jobs by (home, NPID)."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._expected: dict[str, dict[int, Placed]] = {}
        self._waiting: dict[tuple[str, int], Callable[[], None]] = {}
        self._unannounced: dict[str, tuple[int, int]] = {}
        """Home -> jobs and bytes that wait for the master's word."""

    def expect(self, home: str, npid: int, what: Placed) -> None:
        """The master's word."""
        of_home = self._expected.setdefault(home, {})
        of_home[npid] = what
        if len(of_home) > EXPECTED_MAX:
            del of_home[next(iter(of_home))]
        waiting = self._waiting.pop((home, npid), None)
        if waiting is not None:
            waiting()

    def reserve(self, home: str, start: Start) -> Callable[[], None]:
        """Take in a job that was not announced yet; Refused when there are too many already.

        Returns what is to be called once it was announced, or refused.
        """
        spec = start.spec
        size = sum(map(len, spec.argv)) + sum(file.size for file in spec.staged)
        size += sum(len(name) + len(value) for name, value in spec.env.items())
        jobs, held = self._unannounced.get(home, (0, 0))
        if jobs >= UNANNOUNCED_MAX or held + size > UNANNOUNCED_BYTES:
            raise Refused(Why.BAD_REQUEST, f"{home} starts too much that was not announced")
        self._unannounced[home] = (jobs + 1, held + size)

        def release() -> None:
            jobs, held = self._unannounced.pop(home)
            if jobs > 1:
                self._unannounced[home] = (jobs - 1, held - size)

        return release

    def when_expected(
        self, home: str, npid: int, said: Placed, go: Callable[[], None], no: Callable[[], None]
    ) -> None:
        """Call `go` once the master has announced that job, `no` when it does not."""
        what = (home, npid)

        def decide() -> None:
            self._waiting.pop(what, None)
            late.cancel()
            announced = self._take(home, npid)
            (go if announced is not None and announced.covers(said) else no)()

        if what in self._waiting:
            self._loop.call_soon(no)
            return
        late = self._loop.call_later(EXPECT_WITHIN, decide)
        self._waiting[what] = decide
        if npid in self._expected.get(home, {}):
            self._loop.call_soon(decide)

    def _take(self, home: str, npid: int) -> Placed | None:
        of_home = self._expected.get(home, {})
        found = of_home.pop(npid, None)
        if not of_home:
            self._expected.pop(home, None)
        return found
