"""Questions about files of home that a program opened there, and their answers. Pure values."""

from typing import NamedTuple

from msgspec import Struct

from slic.interposers.home.descriptors import StandIn


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


class RaiseSignal(Struct, frozen=True):
    """Question: this signal for the caller, whose call fails: SIGPIPE with EPIPE, SIGXFSZ with
    EFBIG. Answer: anything."""

    number: int


class MayStream(Struct, frozen=True):
    """Question: may `count` bytes be written to the stand-in of home's file `fd`, to go home later?

    What was written to other files before has gone when it is answered. Answer: bool; False: they
    have to be written at home, now, because only home knows whether they can be.
    """

    fd: int
    count: int


class Opened(NamedTuple):
    """A path of home was opened: the supervisor's descriptor of its stand-in, to be handed in."""

    fd: int
    stand_in: StandIn
