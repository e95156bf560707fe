"""The barrier of a job as one node's daemon keeps it (paper 4.4). Pure.

The daemons of a job's nodes are a binary tree, in the order of the smallest VNN on each: node i has
the parent (i-1)//2. Processes of one node combine here. When all of them and every child below have
entered, the parent hears it; at the root everybody is released, down the same way. The master takes
no part. A process that ends, or a node that is lost, breaks the barrier for good: those who wait,
and those who come later, get the reason, and nobody hangs.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from glunix.msg.parallel import (
    BarrierAsk,
    BarrierBroken,
    BarrierDown,
    BarrierMessage,
    BarrierUp,
    Kind,
    Place,
)

TURNS = 1 << 32


@dataclass(frozen=True)
class Release:
    """Answer a process that waits; `why` empty: the barrier is passed."""

    waiter: Hashable
    why: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    """What all have brought to this barrier."""


@dataclass(frozen=True)
class Say:
    """Send to the daemon of a node."""

    node: str
    message: BarrierMessage


Effect = Release | Say


def relatives(places: Sequence[Place], node: str) -> tuple[str, list[str]]:
    """(parent, children) of a node in the tree of a job's nodes; the root's parent is empty."""
    names = [place.node for place in sorted(places, key=lambda place: min(place.vnns))]
    at = names.index(node)
    return names[(at - 1) // 2] if at else "", names[2 * at + 1 : 2 * at + 3]


class Barrier:
    """One job's barrier at one node. `waiter` is what the caller wants back in a Release."""

    def __init__(
        self, npid: int, places: Sequence[Place], node: str, kind: Kind = "library"
    ) -> None:
        """`places`: all nodes of the job, of which `node` is one. ValueError when it is not."""
        self.npid = npid
        self.kind: Kind = kind
        self.parent, self.children = relatives(places, node)
        self._vnns = {vnn for place in places if place.node == node for vnn in place.vnns}
        self._turn = 0
        self._entered: dict[int, Hashable] = {}
        self._below: set[str] = set()
        """Children of which all have entered this turn."""
        self._told = False
        """The parent has heard that all have entered here."""
        self._has_asked = False
        """Parent and children know that somebody waits."""
        self._brought: dict[str, str] = {}
        """What those here and below have brought to this turn."""
        self.broken = ""
        self.status = 0
        """With `broken`: see BarrierBroken."""

    def enter(
        self, vnn: int, waiter: Hashable, brings: Mapping[str, str] | None = None
    ) -> list[Effect]:
        """A process of this node enters; it is answered by a Release, now or later. What each
        `brings` all of them get."""
        if self.broken:
            return [Release(waiter, self.broken)]
        if vnn not in self._vnns:
            return [Release(waiter, f"no process {self.npid}.{vnn} is on this node")]
        if vnn in self._entered:
            return [Release(waiter, f"process {self.npid}.{vnn} waits at the barrier already")]
        self._entered[vnn] = waiter
        self._brought.update(brings or {})
        return [*self._ask(), *self._combine()]

    def _ask(self, heard_from: str = "") -> list[Effect]:
        """Have all nodes of the job keep this barrier, so that they say who has ended."""
        if self._has_asked:
            return []
        self._has_asked = True
        ask = BarrierAsk(self.npid, self.kind)
        return [Say(node, ask) for node in self._relatives(heard_from)]

    def _relatives(self, but: str = "") -> list[str]:
        return [node for node in (self.parent, *self.children) if node not in ("", but)]

    def hear(self, node: str, message: BarrierMessage) -> list[Effect]:
        """Another daemon says. What comes from no relative, or out of turn, breaks nothing."""
        if message.npid != self.npid or message.kind != self.kind:
            return []
        if isinstance(message, BarrierAsk):
            if node not in self._relatives():
                return []
            return [Say(node, self._news())] if self.broken else self._ask(node)
        if isinstance(message, BarrierUp):
            if self.broken and node in self.children:  # it had not dialled when it broke
                return [Say(node, self._news())]
            if (
                self.broken
                or node not in self.children
                or message.turn != self._turn
                or node in self._below
            ):
                return []
            self._below.add(node)
            self._brought.update(message.data)
            return [*self._ask(node), *self._combine()]
        if isinstance(message, BarrierDown):
            good = node == self.parent and message.turn == self._turn and self._told
            return self._pass(message.data) if good and not self.broken else []
        if node != self.parent and node not in self.children:
            return []
        return self.break_up(message.text, message.status, node)

    def ended(self, vnn: int, why: str) -> list[Effect]:
        """A process of this node has ended, or waits no more: the others would wait for ever."""
        if vnn not in self._vnns:
            return []
        return self.break_up(f"process {self.npid}.{vnn} {why}")

    def lost(self, node: str) -> list[Effect]:
        """The link to the daemon of a relative is lost."""
        if node != self.parent and node not in self.children:
            return []
        return self.break_up(f"node {node} is lost", heard_from=node)

    def _news(self) -> BarrierBroken:
        return BarrierBroken(self.npid, self.broken, self.kind, self.status)

    def break_up(self, why: str, status: int = 0, heard_from: str = "") -> list[Effect]:
        """There are no barriers in this job any more. `status`: see BarrierBroken."""
        if self.broken:
            return []
        self.broken, self.status = why, status
        waiting, self._entered = self._entered, {}
        news = self._news()
        told = self._relatives(heard_from) if self._has_asked or status else []
        return [
            *(Release(waiter, why) for waiter in waiting.values()),
            *(Say(node, news) for node in told),
        ]

    def _combine(self) -> list[Effect]:
        if len(self._entered) < len(self._vnns) or len(self._below) < len(self.children):
            return []
        if self._told:
            return []
        if not self.parent:
            return self._pass(self._brought)
        self._told = True
        return [Say(self.parent, BarrierUp(self.npid, self._turn, self.kind, self._brought))]

    def _pass(self, data: Mapping[str, str]) -> list[Effect]:
        waiting, self._entered = self._entered, {}
        self._brought = {}
        down = BarrierDown(self.npid, self._turn, self.kind, dict(data))
        self._turn = (self._turn + 1) % TURNS
        self._below.clear()
        self._told = False
        return [
            *(Say(child, down) for child in self.children),
            *(Release(waiter, data=data) for waiter in waiting.values()),
        ]

    def check(self) -> None:
        """AssertionError when what is known does not fit together."""
        assert set(self._entered) <= self._vnns
        assert self._below <= set(self.children)
        assert not self.broken or not self._entered
        full = len(self._entered) == len(self._vnns) and len(self._below) == len(self.children)
        assert self.broken or full == self._told
