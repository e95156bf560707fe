"""The barrier of a job as one node's daemon keeps it (paper 4.4). Pure.

The daemons of a job's nodes are a binary tree, in the order of the smallest VNN on each: node i has
the parent (i-1)//2. Processes of one node combine here. When all of them and every child below have
entered, the parent hears it; at the root everybody is released, down the same way. The master takes
no part. A process that ends, or a node that is lost, breaks the barrier for good: those who wait,
and those who come later, get the reason, and nobody hangs.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from glunix.msg.parallel import BarrierBroken, BarrierDown, BarrierMessage, BarrierUp, Place

TURNS = 1 << 32


@dataclass(frozen=True)
class Release:
    """Answer a process that waits; `why` empty: the barrier is passed."""

    waiter: Hashable
    why: str = ""


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

    def __init__(self, npid: int, places: Sequence[Place], node: str) -> None:
        """`places`: all nodes of the job, of which `node` is one. ValueError when it is not."""
        self.npid = npid
        self.parent, self.children = relatives(places, node)
        self._vnns = {vnn for place in places if place.node == node for vnn in place.vnns}
        self._turn = 0
        self._entered: dict[int, Hashable] = {}
        self._below: set[str] = set()
        """Children of which all have entered this turn."""
        self._told = False
        """The parent has heard that all have entered here."""
        self.broken = ""

    def enter(self, vnn: int, waiter: Hashable) -> list[Effect]:
        """A process of this node enters; it is answered by a Release, now or later."""
        if self.broken:
            return [Release(waiter, self.broken)]
        if vnn not in self._vnns:
            return [Release(waiter, f"no process {self.npid}.{vnn} is on this node")]
        if vnn in self._entered:
            return [Release(waiter, f"process {self.npid}.{vnn} waits at the barrier already")]
        self._entered[vnn] = waiter
        return self._combine()

    def hear(self, node: str, message: BarrierMessage) -> list[Effect]:
        """Another daemon says. What comes from no relative, or out of turn, breaks nothing."""
        if message.npid != self.npid:
            return []
        if isinstance(message, BarrierUp):
            if self.broken and node in self.children:  # it had not dialled when it broke
                return [Say(node, BarrierBroken(self.npid, self.broken))]
            if (
                self.broken
                or node not in self.children
                or message.turn != self._turn
                or node in self._below
            ):
                return []
            self._below.add(node)
            return self._combine()
        if isinstance(message, BarrierDown):
            good = node == self.parent and message.turn == self._turn and self._told
            return self._pass() if good and not self.broken else []
        if node != self.parent and node not in self.children:
            return []
        return self.break_up(message.text, node)

    def ended(self, vnn: int, why: str) -> list[Effect]:
        """A process of this node has ended, or waits no more: the others would wait for ever."""
        if vnn not in self._vnns:
            return []
        return self.break_up(f"process {self.npid}.{vnn} {why}")

    def lost(self, node: str) -> list[Effect]:
        """The link to the daemon of a relative is lost."""
        if node != self.parent and node not in self.children:
            return []
        return self.break_up(f"node {node} is lost", node)

    def break_up(self, why: str, heard_from: str = "") -> list[Effect]:
        """There are no barriers in this job any more."""
        if self.broken:
            return []
        self.broken = why
        waiting, self._entered = self._entered, {}
        news = BarrierBroken(self.npid, why)
        told = [node for node in (self.parent, *self.children) if node not in ("", heard_from)]
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
            return self._pass()
        self._told = True
        return [Say(self.parent, BarrierUp(self.npid, self._turn))]

    def _pass(self) -> list[Effect]:
        waiting, self._entered = self._entered, {}
        down = BarrierDown(self.npid, self._turn)
        self._turn = (self._turn + 1) % TURNS
        self._below.clear()
        self._told = False
        return [
            *(Say(child, down) for child in self.children),
            *(Release(waiter) for waiter in waiting.values()),
        ]

    def check(self) -> None:
        """AssertionError when what is known does not fit together."""
        assert set(self._entered) <= self._vnns
        assert self._below <= set(self.children)
        assert not self.broken or not self._entered
        full = len(self._entered) == len(self._vnns) and len(self._below) == len(self.children)
        assert self.broken or full == self._told
