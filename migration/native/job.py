"""The image of a job: everything of migration.native.model put together, read and checked."""

from __future__ import annotations

import os
import pwd
from typing import Annotated

import msgspec
from msgspec import Meta

from migration.image import BadImage, Opened
from migration.native import checking
from migration.native.files import AnyFile, Pipe
from migration.native.model import Backing, Machine, Memory, Process, Record, Signed32, Zombie

ENGINE = "native"


class File(Record, frozen=True):
    """An open file: flags of open(2) without O_CLOEXEC, position, what it is."""

    flags: Annotated[int, Meta(ge=0, le=0x7FFFFFFF)]
    position: Annotated[int, Meta(ge=0, le=1 << 62)]
    what: AnyFile


class Job(Record, frozen=True):
    """Processes parents first. Places in lists are what other records count."""

    machine: Machine
    processes: Annotated[list[Process], Meta(min_length=1, max_length=65536)]
    zombies: Annotated[list[Zombie], Meta(max_length=65536)]
    files: Annotated[list[File], Meta(max_length=1 << 20)]
    pipes: Annotated[list[Pipe], Meta(max_length=1 << 20)]
    memories: Annotated[list[Memory], Meta(max_length=1 << 20)]
    backings: Annotated[list[Backing], Meta(max_length=1 << 20)]
    root_parent: Signed32
    """The number of the root's parent where it was frozen; 0: not of its namespace."""


# Made before a job is frozen: looking at all these types takes 40 ms.
_DECODER = msgspec.msgpack.Decoder(Job)


def decode(opened: Opened) -> Job:
    """The job of an image, checked in itself and against `migration.native.checking`."""
    if opened.engine != ENGINE:
        raise BadImage(f"made by the engine {opened.engine!r}, not by {ENGINE!r}")
    try:
        job = _DECODER.decode(opened.record)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise BadImage(f"not as an image should be: {error}") from None
    checking.check(job, opened.pages_size, opened.owner, _groups_of(opened.owner))
    return job


def _groups_of(uid: int) -> frozenset[int]:
    """All groups of a user; of one without an account the group of the same number."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return frozenset((uid,))
    return frozenset(os.getgrouplist(account.pw_name, account.pw_gid))
