"""Questions about files of home that a program opened there, and their answers. Pure values."""

from typing import NamedTuple

from msgspec import Struct

from slic.interposers.homefds import StandIn


class CallHome(Struct, frozen=True):
    """Question: this call on `paths` of home, or on home's `fd`. `umask` is the caller's.

    Answer: (value, numbers, bytes), or for "open" `Opened`; OSError for an errno.
    """

    call: str
    fd: int = -1
    paths: tuple[bytes, ...] = ()
    numbers: tuple[int, ...] = ()
    data: bytes = b""


class HavePlace(Struct, frozen=True):
    """Question: let there be this directory on the node, if that can be. Answer: anything."""

    path: bytes


class BreakPipe(Struct, frozen=True):
    """Question: SIGPIPE for the caller, whose write fails with EPIPE. Answer: anything."""


class Opened(NamedTuple):
    """A path of home was opened: the supervisor's descriptor of its stand-in, to be handed in."""

    fd: int
    stand_in: StandIn
