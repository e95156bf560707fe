"""The structures of jobs.bpf.h, lives.bpf.c and calls.bpf.c as Python packs and unpacks them.

Plain data; a test holds the sizes against the object's own BTF.
"""

import struct
from enum import IntEnum, IntFlag

CALLS = 512
LEVELS = 8
NONE = 255


class Kind(IntEnum):
    """What an event in the ring is."""

    FORK = 1
    EXEC = 2
    EXIT = 3
    STOP = 4
    CONTINUE = 5
    SIGNAL = 6
    DELIVER = 7
    ENTER = 8
    RESULT = 9


class Want(IntFlag):
    """What a watch is to be told."""

    LIVES = 1
    STOPS = 2
    SIGNALS = 4
    DELIVERIES = 8
    COUNTS = 16
    CALLS = 32


JOB = struct.Struct(f"=3I{CALLS}s")
MARK = struct.Struct("=8IQ2I")
HEAD = struct.Struct("=Q4I")
FORKED = struct.Struct(f"=4I{LEVELS}i")
EXECUTED = struct.Struct("=2I16s")
ENDED = struct.Struct("=iI")
STOPPED = struct.Struct("=2I")
SIGNALLED = struct.Struct("=4I6i2Q")
CALLED = struct.Struct("=2I6QqQ2I2I")
COUNT = struct.Struct("=3Q")
TROUBLE = struct.Struct("=3Q")
SHAPE = struct.Struct("=4B")
ADOPTION = struct.Struct("=4I")
WALKED = struct.Struct("=6I")

SIZES = {
    "adoption": ADOPTION.size,
    "called": HEAD.size + CALLED.size,
    "count": COUNT.size,
    "ended": HEAD.size + ENDED.size,
    "executed": HEAD.size + EXECUTED.size,
    "forked": HEAD.size + FORKED.size,
    "head": HEAD.size,
    "job": JOB.size,
    "mark": MARK.size,
    "shape": SHAPE.size,
    "signalled": HEAD.size + SIGNALLED.size,
    "stopped": HEAD.size + STOPPED.size,
    "trouble": TROUBLE.size,
    "walked": WALKED.size,
}
"""Bytes of each structure by its name in C."""
