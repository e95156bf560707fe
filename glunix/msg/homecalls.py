"""What a transparent job asks of home, beyond reads, seeks and the ioctls that a table knows.

Part of the unions of `glunix.msg.stream`. Addresses are those of the asking program.
"""

from typing import Annotated

from msgspec import Meta

from glunix.msg.base import Message, Record
from glunix.msg.frame import CHUNK
from glunix.msg.job import I64, U32, U63, ErrnoField

HomeFd = Annotated[int, Meta(ge=0, le=1023)]
U64 = Annotated[int, Meta(ge=0)]
"""A word of the program's, an address or not: MessagePack itself ends at 2**64 - 1."""
Data = Annotated[bytes, Meta(max_length=CHUNK)]

PAGES_MAX = 64
"""Pages that one ioctl carries at most."""


class Memory(Record, frozen=True):
    """A piece of the program's memory: where, and what is there."""

    address: U63
    data: Data


Memories = Annotated[list[Memory], Meta(max_length=PAGES_MAX)]


class IoctlPages(Message, frozen=True, tag="ioctlpages"):
    """Do this ioctl on this home descriptor with the program's pages at their own addresses."""

    ask: U32
    fd: HomeFd
    command: U32
    argument: U64
    pages: Memories


class PagesDone(Message, frozen=True, tag="pagesdone"):
    """Answer to IoctlPages: the raw result (-errno), and the memory that it changed."""

    ask: U32
    value: Annotated[int, Meta(ge=-4095, le=2**63 - 1)]
    changed: Annotated[list[Memory], Meta(max_length=PAGES_MAX * 4096)]


Path = Annotated[bytes, Meta(min_length=1, max_length=4096)]


class HomeCall(Message, frozen=True, tag="homecall"):
    """Make this call on a path of home (`fd` -1), or on a descriptor that one has opened.

    `call` names it as the table of glunix.home.calls.files does; `numbers` are its other arguments.
    """

    ask: U32
    call: Annotated[str, Meta(min_length=1, max_length=32)]
    fd: Annotated[int, Meta(ge=-1, le=1023)]
    paths: Annotated[list[Path], Meta(max_length=2)]
    numbers: Annotated[list[I64], Meta(max_length=8)]
    data: Data
    umask: Annotated[int, Meta(ge=0, le=0o777)]


class HomeDone(Message, frozen=True, tag="homedone"):
    """Answer to HomeCall: its value or an errno, and what else it gives."""

    ask: U32
    value: I64
    error: ErrnoField
    numbers: Annotated[list[I64], Meta(max_length=32)]
    data: Data


class HomeClose(Message, frozen=True, tag="homeclose"):
    """No process of the job has this descriptor any more."""

    fd: HomeFd
