"""Shadows at home for the processes that a transparent job forks (docs/shadows.md).

Part of the unions of `glunix.msg.stream`. All numbers are home's pids, and the job's own: a process
of the job has the number of its shadow.
"""

from typing import Annotated

from msgspec import Meta

from glunix.msg.base import Message
from glunix.msg.job import U32, ErrnoField, LivePid, PidField, RealSignal

SHADOWS_MAX = 256
"""Shadows that one message is about, at most."""

WORDS_MAX = 3072
"""Bytes of a command line that a shadow shows."""

Pids = Annotated[list[LivePid], Meta(max_length=SHADOWS_MAX)]


class ShadowsWanted(Message, frozen=True, tag="shadowswanted"):
    """Node to home: make this many shadows ahead, in this process group."""

    group: PidField
    count: Annotated[int, Meta(ge=1, le=SHADOWS_MAX)]


class ShadowsMade(Message, frozen=True, tag="shadowsmade"):
    """Home to node: these, numbers in a row, stand ready in this group. None: there can be no more
    shadows."""

    group: PidField
    pids: Pids

    def __post_init__(self) -> None:
        first = self.pids[0] if self.pids else 0
        if self.pids != list(range(first, first + len(self.pids))) or first == 1:
            raise ValueError("Expected numbers in a row, from 2 on - at `$[2]`")


class ShadowsEnded(Message, frozen=True, tag="shadowsended"):
    """Node to home: no process of the job has these numbers, or is in these sessions, any more."""

    pids: Pids
    sessions: Pids = []


class ShadowNamed(Message, frozen=True, tag="shadownamed"):
    """Node to home: what ps shows of this process: its name, and its words each with a NUL."""

    pid: LivePid
    name: Annotated[bytes, Meta(max_length=64)]
    words: Annotated[bytes, Meta(max_length=WORDS_MAX)]


class ShadowStopped(Message, frozen=True, tag="shadowstopped"):
    """Node to home: this process was stopped, or goes on: so does its shadow."""

    pid: LivePid
    stopped: bool


class ShadowSignal(Message, frozen=True, tag="shadowsignal"):
    """Home to node: a shadow got this signal (was stopped or killed by it): it is its process's."""

    pid: LivePid
    signal: RealSignal


class ShadowKill(Message, frozen=True, tag="shadowkill"):
    """Node to home: a process of the job sent this signal to home's process `pid`, or (0) to all
    of process group `group`; `spared` are told of by themselves.
    """

    pid: PidField
    signal: RealSignal
    group: PidField
    spared: Pids


class ShadowMove(Message, frozen=True, tag="shadowmove"):
    """Node to home: what a process is about to do, its shadow is to do before.

    setpgid to `group`, setsid (`group` 0), or tcsetpgrp on the terminal (`pid` 0). `session` is
    where the group is; 0: not known.
    """

    ask: U32
    pid: PidField
    group: PidField
    session: PidField = 0


class ShadowMoved(Message, frozen=True, tag="shadowmoved"):
    """Answer to ShadowMove: 0 or an errno."""

    ask: U32
    error: ErrnoField
