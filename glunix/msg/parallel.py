"""The parallel half on the wire: a job's process and its node's daemon, daemons among each other.

A process says nothing of itself: which job and VNN it is, the daemon finds out
(glunix.daemon.parallel). Barriers travel on stream 0 of the links between daemons, along the tree
of glunix.state.barrier (paper 4.4); the master takes no part.
"""

from typing import Annotated, Literal

from msgspec import Meta

from glunix.ids import DEGREE_MAX
from glunix.msg.base import Decoder, Message, Record
from glunix.msg.client import Refused
from glunix.msg.job import U32, DegreeField, NameField, NpidField, TextField, VnnField


class Place(Record, frozen=True):
    """Where processes of a job are: a node, where it can be dialled, and which VNNs."""

    node: NameField
    address: Annotated[str, Meta(max_length=256)]
    vnns: Annotated[list[VnnField], Meta(min_length=1, max_length=DEGREE_MAX)]


Kind = Literal["library", "pmi"]
"""Who waits: processes by Glib_Barrier, or MPI ranks. A job has a barrier of each kind."""

Space = Annotated[
    dict[
        Annotated[str, Meta(max_length=64)],
        Annotated[str, Meta(max_length=1024)],
    ],
    Meta(max_length=1 << 20),
]
"""Keys and values of MPI ranks (glunix.state.pmi)."""

Places = Annotated[list[Place], Meta(max_length=DEGREE_MAX)]


# -- a process to its node's daemon ----------------------------------------------------------------


class WhoAmI(Message, frozen=True, tag="whoami"):
    """Which job am I of? (Glib_Initialize)"""

    request: U32


class EnterBarrier(Message, frozen=True, tag="barrier"):
    """Say `Passed` when every process of my job has asked this (Glib_Barrier)."""

    request: U32


ProcessToDaemon = WhoAmI | EnterBarrier


# -- the daemon to a process -----------------------------------------------------------------------


class Member(Message, frozen=True, tag="member"):
    """Answer to WhoAmI. `nodes[vnn]` is the node of that VNN."""

    request: U32
    npid: NpidField
    vnn: VnnField
    degree: DegreeField
    home: NameField
    nodes: Annotated[list[NameField], Meta(max_length=DEGREE_MAX)]


class Passed(Message, frozen=True, tag="passed"):
    """Answer to EnterBarrier: all are there. What breaks a barrier is a Refused."""

    request: U32


daemon_to_process = Decoder(Member | Passed | Refused, "daemon to process")


# -- between daemons -------------------------------------------------------------------------------


class BarrierAsk(Message, frozen=True, tag="barrierask"):
    """To parent and children, once: somebody waits, so say if a process here has ended."""

    npid: NpidField
    kind: Kind = "library"


class BarrierUp(Message, frozen=True, tag="barrierup"):
    """To the parent in the job's tree: all at and below this node have entered barrier `turn`."""

    npid: NpidField
    turn: U32
    kind: Kind = "library"
    data: Space = {}
    """What those below have put since the last one."""


class BarrierDown(Message, frozen=True, tag="barrierdown"):
    """To a child: everybody has entered."""

    npid: NpidField
    turn: U32
    kind: Kind = "library"
    data: Space = {}
    """What all have put since the last one."""


class BarrierBroken(Message, frozen=True, tag="barrierbroken"):
    """To parent and children: there will be no barrier in this job any more, and why."""

    npid: NpidField
    text: TextField
    kind: Kind = "library"
    status: Annotated[int, Meta(ge=0, le=255)] = 0
    """Of an MPI job: all its processes are to be ended, and this is its exit status; 0: they are
    not."""


BarrierMessage = BarrierAsk | BarrierUp | BarrierDown | BarrierBroken
