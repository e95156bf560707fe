"""Verdicts: the closed set of answers an interposer can give to a call, and what each needs.

Owns `Capability`, because a verdict is what needs one. Never performs anything. Structs of msgspec:
one is built per caught call, and a frozen dataclass takes several times as long to build.
"""

from collections.abc import Callable, Generator, Mapping
from enum import Flag, auto
from typing import Any

from msgspec import Struct, field


class Capability(Flag):
    """What an engine can do to a caught call; the prose is in `slic.engine`.

    Without HOLD an engine tells of calls, results and signals while the program goes on: nothing
    can be replaced, and of the caller's memory there is what was copied.
    """

    NONE = 0
    INSPECT = auto()  # see the call, its arguments and the caller's memory before it runs
    RETURN = auto()  # answer the call instead of the kernel
    ADD_FD = auto()  # put a descriptor of the supervisor into the caller as the answer
    REWRITE = auto()  # change the call's arguments, then let the kernel run it
    EXIT = auto()  # see, and replace, what the kernel answered
    INJECT = auto()  # make the caller perform another call first
    PROCESS = auto()  # see fork, exec and exit
    SIGNAL = auto()  # see, replace or drop a signal on its way to the process
    HOLD = auto()  # the caller waits meanwhile: what is read of it is as its call finds it


class Continue(Struct, frozen=True):
    """Not answered here: the next interposer decides, finally the kernel. Carries why."""

    reason: str = ""


class Return(Struct, frozen=True):
    """The call is answered with this value (signed 64 bits); the kernel never runs it."""

    value: int


class Fail(Struct, frozen=True):
    """The call is answered with -1 and this errno (positive)."""

    errno: int


class ReturnFd(Struct, frozen=True):
    """The call is answered with a new descriptor: a duplicate of the supervisor's `fd`.

    `cloexec` sets FD_CLOEXEC in the caller. `at` asks for this very number (closing what was
    there, as dup2 does). With `close` the engine closes the supervisor's copy afterwards, also
    when the call has gone meanwhile.
    """

    fd: int
    cloexec: bool = False
    at: int | None = None
    close: bool = True


class Rewrite(Struct, frozen=True):
    """The kernel runs the call with some arguments replaced (argument name to raw value)."""

    args: Mapping[str, int] = field(default_factory=dict)


Verdict = Continue | Return | Fail | ReturnFd | Rewrite

NEEDS: dict[type, Capability] = {
    Continue: Capability.INSPECT,
    Return: Capability.RETURN,
    Fail: Capability.RETURN,
    ReturnFd: Capability.ADD_FD,
    Rewrite: Capability.REWRITE,
}

PASS = Continue()


class Blocking(Struct, frozen=True):
    """A question the engine itself answers: run `work` in a helper thread.

    For what may block the supervisor (open of a FIFO, connect). The generator receives `work`'s
    result; what `work` raises is raised at the yield. If the call has gone when `work`
    ends, its result is given to `undo` (os.close for a descriptor) instead.
    """

    work: Callable[[], Any]
    undo: Callable[[Any], object] | None = None


class Inject(Struct, frozen=True):
    """A question an engine with INJECT answers: the caller performs call `name` with `args`.

    The generator receives the kernel's raw result (negative errno on error). The caught call
    stays pending and is decided afterwards.
    """

    name: str
    args: tuple[int, ...] = ()


class Below(Struct, frozen=True):
    """A question the policy itself answers: what do the interposers below say to this call?

    The generator receives their verdict; Continue if they leave the call to the kernel. With
    `tracee` (a Tracee) they see the caller through it, so that what they do on its behalf can be
    confined. Without this a layer that answers a call hides it from the layers below.
    """

    tracee: Any = None


Question = object
Asking = Generator[Question, Any, Verdict]
