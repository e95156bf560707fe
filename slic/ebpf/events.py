"""What a monitor reports: one class an event. Numbers are those of the owner's PID namespace.

Pure. `key` names the watch; `time` is CLOCK_MONOTONIC in nanoseconds; `tid` and `pid` are the
thread and its process, 0 where the owner's namespace has no number for it.
"""

from msgspec import Struct

from slic.ebpf import layout
from slic.ebpf.layout import Kind

SI_USER, SI_QUEUE, SI_TKILL, SI_KERNEL = 0, -1, -6, 0x80
KILL = 62


class Forked(Struct, frozen=True):
    """A new task. `numbers` are its own, of the innermost PID namespace first, the innermost eight
    at most; `level` says how deep that is. `by_tid`, `by_pid` called fork; `parent` is the new
    process's parent (CLONE_PARENT makes it another)."""

    key: int
    time: int
    tid: int
    pid: int
    by_tid: int
    by_pid: int
    parent: int
    level: int
    numbers: tuple[int, ...]
    swept: bool = False
    """Found by a sweep: the event itself was lost."""

    @property
    def thread(self) -> bool:
        """Whether it is one more thread of a process."""
        return self.tid != self.pid


class Executed(Struct, frozen=True):
    """The process has become another program. The thread `old_tid` called execve and is now the
    only one; `name` is the task's (15 bytes at most)."""

    key: int
    time: int
    tid: int
    pid: int
    old_tid: int
    name: bytes


class Exited(Struct, frozen=True):
    """A thread has ended. `of_group`: `status` (of wait(2)) is the whole process's, because
    exit_group or a signal ended it."""

    key: int
    time: int
    tid: int
    pid: int
    status: int
    of_group: bool
    swept: bool = False
    untold: bool = False
    """The event of its birth was lost."""


class Stopped(Struct, frozen=True):
    """All threads of the process have stopped."""

    key: int
    time: int
    tid: int
    pid: int
    signal: int


class Continued(Struct, frozen=True):
    """The stopped process goes on."""

    key: int
    time: int
    tid: int
    pid: int


class Signalled(Struct, frozen=True):
    """A signal was sent to `pid` (when only one thread was meant, to `tid`). `to` and `by` are the
    watches of target and sender, 0 for none. `call` and `arguments` are the sender's, when a call
    of its sent the signal (`sent_by_call`). `result`: 0 queued, 1 ignored, 2 pending already."""

    key: int
    time: int
    tid: int
    pid: int
    sender_tid: int
    sender_pid: int
    to: int
    by: int
    signal: int
    code: int
    to_process: bool
    result: int
    call: int
    arguments: tuple[int, int]

    @property
    def sent_by_call(self) -> bool:
        """Whether the sender's call says what was meant (kill, tgkill, sigqueue, ...)."""
        return self.code in (SI_USER, SI_QUEUE, SI_TKILL)

    @property
    def scope(self) -> str:
        """`thread`, `process`, `group` or `all`: whom the sender meant; `kernel` without one."""
        if not self.sent_by_call:
            return "kernel"
        if not self.to_process:
            return "thread"
        if self.call == KILL:
            given = self.arguments[0] & 0xFFFFFFFF
            number = given - (1 << 32) if given >> 31 else given
            if number == -1:
                return "all"
            return "process" if number > 0 else "group"
        return "process"


class Delivered(Struct, frozen=True):
    """A thread takes a signal: its handler runs next, or what the signal does by default."""

    key: int
    time: int
    tid: int
    pid: int
    signal: int


class Called(Struct, frozen=True):
    """A call begins, or (`returned`) has its result. `texts`: argument's index to what it led to,
    as far as the kernel had it at hand; `missed` has a bit for each argument whose text was not.
    """

    key: int
    time: int
    tid: int
    pid: int
    call: int
    arguments: tuple[int, ...]
    texts: dict[int, bytes]
    missed: int
    returned: bool
    value: int
    duration: int


Event = (
    Forked | Executed | Exited | Stopped | Continued | Signalled | Delivered | Called
)  # fmt: skip


def decoded(data: bytes) -> Event:
    """The event of a record of the ring."""
    time, kind, key, tid, pid = layout.HEAD.unpack_from(data)
    at = layout.HEAD.size
    match kind:
        case Kind.ENTER | Kind.RESULT:
            return _called(data, key, time, tid, pid, kind == Kind.RESULT)
        case Kind.FORK:
            by_tid, by_pid, parent, level, *numbers = layout.FORKED.unpack_from(data, at)
            own = tuple(numbers[: level + 1])
            return Forked(key, time, tid, pid, by_tid, by_pid, parent, level, own)
        case Kind.EXEC:
            old, _, name = layout.EXECUTED.unpack_from(data, at)
            return Executed(key, time, tid, pid, old, name.partition(b"\0")[0])
        case Kind.EXIT:
            status, flags = layout.ENDED.unpack_from(data, at)
            of_group, untold = bool(flags & 1), bool(flags & 2)
            return Exited(key, time, tid, pid, status, of_group, untold=untold)
        case Kind.STOP:
            return Stopped(key, time, tid, pid, layout.STOPPED.unpack_from(data, at)[0] & 0x7F)
        case Kind.CONTINUE:
            return Continued(key, time, tid, pid)
        case Kind.DELIVER:
            return Delivered(key, time, tid, pid, layout.STOPPED.unpack_from(data, at)[0])
        case Kind.SIGNAL:
            by_tid, by_pid, to, by, *rest, first, second = layout.SIGNALLED.unpack_from(data, at)
            signal, code, process, result, call, _ = rest
            return Signalled(
                key, time, tid, pid, by_tid, by_pid, to, by, signal, code,
                bool(process), result, call, (first, second),
            )  # fmt: skip
    raise ValueError(f"no event of kind {kind}")


def _called(data: bytes, key: int, time: int, tid: int, pid: int, returned: bool) -> Called:
    call, missed, *words = layout.CALLED.unpack_from(data, layout.HEAD.size)
    arguments, value, duration, which, sizes = (
        tuple(words[:6]), words[6], words[7], words[8:10], words[10:12],
    )  # fmt: skip
    texts = {}
    at = layout.HEAD.size + layout.CALLED.size
    for argument, size in zip(which, sizes, strict=True):
        if size:
            texts[argument] = data[at : at + size]
            at += size
    return Called(key, time, tid, pid, call, arguments, texts, missed, returned, value, duration)
