"""What a transparent job asks of home, beyond reads, seeks and the ioctls that a table knows.

Part of the unions of `glunix.msg.stream`. Addresses are those of the asking program.
"""

from typing import Annotated

from msgspec import Meta

from glunix.msg.base import Message, Record
from glunix.msg.frame import CHUNK
from glunix.msg.job import U32

HomeFd = Annotated[int, Meta(ge=0, le=1023)]
U64 = Annotated[int, Meta(ge=0)]
Data = Annotated[bytes, Meta(max_length=CHUNK)]

PAGES_MAX = 64
"""Pages that one ioctl carries at most."""


class Memory(Record, frozen=True):
    """A piece of the program's memory: where, and what is there."""

    address: U64
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
    value: int
    changed: Annotated[list[Memory], Meta(max_length=PAGES_MAX * 4096)]
