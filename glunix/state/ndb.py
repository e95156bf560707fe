"""Ndb, the node database: which nodes there are, how they do, which is least loaded.

Owns node states and loads. Knows no job (Pdb does) and sends nothing. Paper 4.1.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from glunix.debug import IllegalTransition, InvariantBroken, Story
from glunix.ids import NodeName
from glunix.msg.job import NodeRow
from glunix.msg.master import NodeHello
from glunix.state.events import LinkId


class NodeState(StrEnum):
    """What the master knows about a node."""

    EXPECTED = "expected"
    """Known from the journal or from another node's report; has not said hello yet."""
    UP = "up"
    LOST = "lost"


class NodeInput(StrEnum):
    """What can happen to a node."""

    NAMED = "named by a job"
    HELLO = "said hello"
    RETURNED = "said hello again on a new link"
    LINK_DOWN = "link went down"
    SILENT = "was silent for too long"
    NOT_BACK = "did not come back"


MOVES: dict[tuple[NodeState | None, NodeInput], NodeState] = {
    (None, NodeInput.NAMED): NodeState.EXPECTED,
    (None, NodeInput.HELLO): NodeState.UP,
    (NodeState.EXPECTED, NodeInput.HELLO): NodeState.UP,
    (NodeState.EXPECTED, NodeInput.NOT_BACK): NodeState.LOST,
    (NodeState.LOST, NodeInput.HELLO): NodeState.UP,
    (NodeState.UP, NodeInput.LINK_DOWN): NodeState.LOST,
    (NodeState.UP, NodeInput.RETURNED): NodeState.UP,
    (NodeState.UP, NodeInput.SILENT): NodeState.LOST,
}
"""(state, input) -> next state; a pair that is not here is a bug. None: not known yet."""


@dataclass(slots=True)
class Node:
    """One node. Times are seconds since the epoch, memory bytes, load runnable processes."""

    name: NodeName
    state: NodeState | None = None
    link: LinkId | None = None
    boot: str = ""
    address: str = ""
    accepts_jobs: bool = False
    cpus: int = 1
    load: float = 0.0
    memory_total: int = 0
    memory_free: int = 0
    isolated: list[str] = field(default_factory=list)
    since: float = 0.0
    seen: float = 0.0
    placed: int = 0
    """Processes placed since the last load report: the report cannot know them yet."""
    turn: int = 0
    """When it was last chosen; among equal loads the one that waited longest goes first."""
    order: list[tuple[int, int, str]] = field(init=False)
    """`natural(name)`, made once: every placement sorts by it."""

    def __post_init__(self) -> None:
        self.order = natural(self.name)

    @property
    def effective_load(self) -> float:
        """The last report and what was placed since."""
        return self.load + self.placed


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts node2 before node10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    ]


class Ndb:
    """All nodes by name, and which link speaks for which."""

    def __init__(self, story: Story, epoch: float = 0.0) -> None:
        self.nodes: dict[NodeName, Node] = {}
        self.by_link: dict[LinkId, Node] = {}
        self._story = story
        self._epoch = epoch
        self._turn = 0

    def get(self, name: str) -> Node | None:
        """The node of that name, or None."""
        return self.nodes.get(NodeName(name))

    def state(self, name: str) -> NodeState | None:
        """The state of the node of that name; None when it is not known."""
        node = self.get(name)
        return node.state if node else None

    def up(self) -> list[Node]:
        """The nodes that can be talked to."""
        return list(self.by_link.values())

    def expect(self, name: NodeName, now: float) -> Node:
        """A job names a node that nobody has heard of yet."""
        node = self.nodes[name] = Node(name)
        self._move(node, NodeInput.NAMED, now)
        return node

    def hello(self, link: LinkId, hello: NodeHello, now: float) -> Node:
        """The daemon of a node is there, on this link."""
        name = NodeName(hello.node)
        node = self.nodes.setdefault(name, Node(name))
        returned = node.state is NodeState.UP
        self._move(node, NodeInput.RETURNED if returned else NodeInput.HELLO, now)
        if node.link is not None:
            del self.by_link[node.link]
        node.link = link
        node.boot = hello.boot
        node.address = hello.address
        node.accepts_jobs = hello.accepts_jobs
        node.cpus = hello.cpus
        node.memory_total = hello.memory_total
        node.isolated = list(hello.isolated)
        self.by_link[link] = node
        self.heard(node, now)
        return node

    def lost(self, node: Node, how: NodeInput, now: float) -> None:
        """The node is gone."""
        self._move(node, how, now)
        if node.link is not None:
            del self.by_link[node.link]
            node.link = None
        node.placed = 0
        node.load = 0.0

    def heard(self, node: Node, now: float) -> None:
        """A sign of life."""
        node.seen = self._epoch + now

    def report(self, node: Node, load: float, memory_free: int) -> None:
        """The node told its load, which from now on includes what was placed before."""
        node.load = load
        node.memory_free = memory_free
        node.placed = 0

    def placed(self, names: Iterable[NodeName]) -> None:
        """A process each was placed on these nodes."""
        self._turn += 1
        for name in names:
            node = self.nodes[name]
            node.placed += 1
            node.turn = self._turn

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are no node's, once each, in their order."""
        return [name for name in dict.fromkeys(names) if NodeName(name) not in self.nodes]

    def least_loaded(
        self, n: int, wanted: Collection[str] = (), excluded: Collection[str] = ()
    ) -> list[Node]:
        """At most `n` nodes that accept jobs, least effective load first.

        `wanted`, unless empty, are the only ones to choose from; `excluded` are never chosen.
        """
        only, never = set(wanted), set(excluded)
        fit = [
            node
            for node in self.by_link.values()
            if node.accepts_jobs and node.name not in never and (not only or node.name in only)
        ]
        fit.sort(key=lambda node: (node.effective_load, node.turn, node.order))
        return fit[:n]

    def rows(self, procs: Mapping[NodeName, int]) -> list[NodeRow]:
        """Every node as glustat shows it; `procs` is the number of live processes on each."""
        return [
            NodeRow(
                name=node.name,
                state=str(node.state),
                accepts_jobs=node.accepts_jobs,
                cpus=node.cpus,
                load=node.load,
                memory_total=node.memory_total,
                memory_free=node.memory_free,
                procs=procs.get(node.name, 0),
                since=node.since,
                seen=node.seen,
                isolated=node.isolated,
            )
            for node in sorted(self.nodes.values(), key=lambda node: node.order)
        ]

    def _move(self, node: Node, how: NodeInput, now: float) -> None:
        key = f"node {node.name}"
        after = MOVES.get((node.state, how))
        if after is None:
            raise IllegalTransition(f"{key} is {node.state} and {how}", self._story.story(key))
        self._story.note(key, now, f"{how}: {node.state or 'unknown'} -> {after}")
        if node.state is not after:
            node.since = self._epoch + now
        node.state = after

    def check(self) -> None:
        """Raise InvariantBroken when nodes and links do not agree."""
        for name, node in self.nodes.items():
            good = (
                node.name == name
                and node.state is not None
                and (node.state is NodeState.UP) == (node.link is not None)
                and (node.link is None or self.by_link.get(node.link) is node)
                and node.placed >= 0
                and not math.isnan(node.load)
            )
            if not good:
                raise InvariantBroken(f"bad node {node}", self._story.story(f"node {name}"))
        if len(self.by_link) != sum(node.state is NodeState.UP for node in self.nodes.values()):
            raise InvariantBroken(f"links of no node: {sorted(self.by_link)}")
