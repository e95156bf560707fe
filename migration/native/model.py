"""The types of an image: a job at one moment. One class per thing; sizes and ranges are bounded.

What one field means for another (a thread's process, a range's area) is checked by
`migration.native.checking`. Kinds of open files are in migration/native/files, one a file.
Numbers of processes and threads are those of the job's innermost namespace.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

VERSION = 1
PAGE = 4096
TOP = 0x7FFF_FFFF_F000

Word = Annotated[int, Meta(ge=0)]  # msgpack's integers have 64 bits at most
Address = Annotated[int, Meta(ge=0, le=TOP)]
Count = Annotated[int, Meta(ge=0, le=1 << 32)]
Signed32 = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Number = Annotated[int, Meta(ge=1, le=1 << 22)]
NumberOrNone = Annotated[int, Meta(ge=0, le=1 << 22)]
Fd = Annotated[int, Meta(ge=0, le=1 << 20)]
Id = Annotated[int, Meta(ge=0, le=(1 << 32) - 2)]
Signal = Annotated[int, Meta(ge=1, le=64)]
Path = Annotated[bytes, Meta(min_length=1, max_length=4095)]
Name = Annotated[bytes, Meta(max_length=255)]
SigInfo = Annotated[bytes, Meta(min_length=128, max_length=128)]
Size = Annotated[int, Meta(ge=0, le=1 << 46)]
Registers = Annotated[list[Word], Meta(min_length=27, max_length=27)]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all: what is not known is refused."""


class Run(Record, array_like=True, frozen=True):
    """Pages `start` to `end`, their bytes one after another from `at` in the file of pages."""

    start: Address
    end: Address
    at: Size


class Backing(Record, frozen=True):
    """A file that memory is mapped from, by path; `size` and `mtime` tell if it is the same."""

    path: Path
    size: Size
    mtime: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
    writable: bool  # opened for writing too: a shared mapping may become writable


class Memory(Record, frozen=True):
    """A nameless file of memory (memfd, shared anonymous memory) or a deleted file, with bytes."""

    name: Name  # what /proc shows after /memfd:
    size: Size
    pages: list[Run]
    seals: Annotated[int, Meta(ge=-1, le=0x3F)]  # -1: no memfd
    deleted: Annotated[bytes, Meta(max_length=4095)]  # the path it had; b"": memory
    mode: Annotated[int, Meta(ge=0, le=0o7777)]


class Area(Record, frozen=True):
    """A mapping. `file` counts backings, `memory` memories; -1: anonymous."""

    start: Address
    end: Address
    protection: Annotated[int, Meta(ge=0, le=7)]
    shared: bool
    offset: Size
    file: Annotated[int, Meta(ge=-1, le=1 << 20)]
    memory: Annotated[int, Meta(ge=-1, le=1 << 20)]
    special: Annotated[str, Meta(max_length=16)]  # "[vdso]" and its like; "": none
    flags: list[Annotated[str, Meta(min_length=2, max_length=2)]]  # VmFlags that are set again


class AltStack(Record, frozen=True):
    """sigaltstack(2); size 0: none."""

    pointer: Word
    flags: Signed32
    size: Size


class Credentials(Record, frozen=True):
    """A task's ids and privileges (credentials(7), capabilities(7))."""

    uids: Annotated[list[Id], Meta(min_length=4, max_length=4)]  # real, effective, saved, fs
    gids: Annotated[list[Id], Meta(min_length=4, max_length=4)]
    groups: Annotated[list[Id], Meta(max_length=65536)]
    inheritable: Word
    permitted: Word
    effective: Word
    bounding: Word
    ambient: Word
    securebits: Annotated[int, Meta(ge=0, le=0xFFF)]
    no_new_privs: bool


class Scheduling(Record, frozen=True):
    """sched(7): policy, priority, nice value, processors by number."""

    policy: Annotated[int, Meta(ge=0, le=7)]
    priority: Annotated[int, Meta(ge=0, le=99)]
    nice: Annotated[int, Meta(ge=-20, le=19)]
    processors: Annotated[list[Annotated[int, Meta(ge=0, le=8191)]], Meta(max_length=8192)]


class Thread(Record, frozen=True):
    """A thread. `call` says how the call it was in goes on (`migration.native.calls`)."""

    tid: Number
    registers: Registers
    extended: Annotated[bytes, Meta(min_length=512, max_length=65536)]
    mask: Word
    pending: Annotated[list[SigInfo], Meta(max_length=65536)]
    altstack: AltStack
    clear_tid: Word
    robust: tuple[Word, Size]
    rseq: tuple[Word, Count, Count, Count]
    name: Annotated[bytes, Meta(max_length=15)]
    credentials: Credentials
    scheduling: Scheduling
    parent_death: Annotated[int, Meta(ge=0, le=64)]
    timer_slack: Word


class Timer(Record, frozen=True):
    """timer_create(2): what it does, and it_interval and it_value (seconds, nanoseconds)."""

    id: Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
    clock: Signed32
    signal: Annotated[int, Meta(ge=0, le=64)]
    value: Word
    notify: Annotated[int, Meta(ge=0, le=7)]
    tid: NumberOrNone
    setting: Annotated[bytes, Meta(min_length=32, max_length=32)]


class MemoryLayout(Record, frozen=True):
    """struct prctl_mm_map: where code, data, heap, stack, arguments and environment are."""

    places: Annotated[list[Address], Meta(min_length=11, max_length=11)]
    auxv: Annotated[bytes, Meta(max_length=4096)]


class Descriptor(Record, array_like=True, frozen=True):
    """An entry of a table of descriptors; `file` counts the image's open files."""

    fd: Fd
    cloexec: bool
    file: Count


class Process(Record, frozen=True):
    """A living process."""

    pid: Number
    parent: NumberOrNone  # 0: outside the job
    group: Number
    session: Number
    threads: Annotated[list[Thread], Meta(min_length=1, max_length=65536)]
    areas: Annotated[list[Area], Meta(max_length=1 << 18)]
    pages: list[Run]
    guards: list[tuple[Address, Address]]
    layout: MemoryLayout
    executable: Count  # counts backings
    actions: dict[Signal, Annotated[bytes, Meta(min_length=32, max_length=32)]]
    pending: Annotated[list[SigInfo], Meta(max_length=65536)]
    timers: Annotated[list[Timer], Meta(max_length=65536)]
    itimers: Annotated[
        list[Annotated[bytes, Meta(min_length=32, max_length=32)]],
        Meta(min_length=3, max_length=3),
    ]
    descriptors: Annotated[list[Descriptor], Meta(max_length=1 << 20)]
    umask: Annotated[int, Meta(ge=0, le=0o777)]
    cwd: Path
    limits: Annotated[list[tuple[Word, Word]], Meta(min_length=16, max_length=16)]
    oom_score_adj: Annotated[int, Meta(ge=-1000, le=1000)]
    personality: Count
    dumpable: Annotated[int, Meta(ge=0, le=2)]
    subreaper: bool
    thp_disabled: bool
    core_filter: Count
    stopped: Annotated[int, Meta(ge=0, le=64)]  # the stop signal; 0: it runs
    stop_reported: bool


class Zombie(Record, frozen=True):
    """A process that has ended and was not waited for. `status` is the wait status."""

    pid: Number
    parent: Number
    group: Number
    session: Number
    status: Annotated[int, Meta(ge=0, le=0xFFFF)]
    name: Annotated[bytes, Meta(max_length=15)]


class Machine(Record, frozen=True):
    """What must be the same, or is compared, where the job is restored."""

    kernel: Annotated[str, Meta(max_length=256)]
    architecture: Annotated[str, Meta(max_length=32)]
    boot_id: Annotated[str, Meta(max_length=64)]
    vdso: Annotated[bytes, Meta(max_length=32)]  # SHA-256
    extended_size: Count
    monotonic: Word  # nanoseconds, at the freeze
    boottime: Word


def encode(value: Struct) -> bytes:
    """A record as msgpack."""
    return msgspec.msgpack.encode(value)
