"""Interposers: classes whose marked methods answer system calls.

Owns the declarations (`on`, `after`, `on_event`, `on_signal`) and checks them when the class is
defined: an unknown call, argument or restriction is refused there, not at run time. Pure: what a
handler wants from outside it yields as a question, so the same code runs on every engine and is
tested with canned answers. The 1996 prototype called this an extension.

    class Identity(Interposer):
        @on("uname")
        def uname(self, tracee: Tracee, buf: int) -> Verdict:
            tracee.write(buf, ...)
            return Return(0)

Handlers take `tracee` first; every other parameter is the name of an argument of the call
(`slic.syscalls`), decoded as the kernel reads it: int is signed, a pointer is an int address,
structures are not decoded. A handler for several calls gives a default to a parameter that some
of them lack. The parameter name `call` gets the whole `Call`.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Self, TypeVar

from msgspec import Struct

from slic.budget import Budget
from slic.objects import Objects
from slic.syscalls import BY_NAME, Syscall
from slic.verdict import Capability

EVERY = "*"
_MARK = "__slic_handlers__"
_Method = TypeVar("_Method", bound=Callable[..., Any])


class DeclarationError(TypeError):
    """A handler names a call, argument or restriction that does not exist."""


class ProcessEvent(Enum):
    """What can happen to a process besides calls (capability PROCESS)."""

    FORK = "fork"  # also vfork, clone, clone3: `other` is the new task, `value` 1 for a thread
    EXEC = "exec"  # `other` is the thread that called execve
    EXIT = "exit"  # `value` is the wait status of this task
    STOP = "stop"  # group-stop began; `value` is the stopping signal


@dataclass(frozen=True, slots=True)
class Event:
    """One process event of task `tid`; `other` and `value` as told at `ProcessEvent`."""

    what: ProcessEvent
    tid: int
    other: int = 0
    value: int = 0


class Call(Struct, frozen=True):
    """One caught call: its table entry, its six raw registers, an id unique in the session."""

    syscall: Syscall
    args: tuple[int, ...]
    id: int = 0

    @property
    def name(self) -> str:
        return self.syscall.name

    def arg(self, name: str) -> int:
        """The decoded value of an argument; ValueError if the call has none such."""
        index = self.syscall.index(name)
        return self.syscall.arguments[index].kind.decode(self.args[index])

    def named(self) -> dict[str, int]:
        """Every argument by name, decoded."""
        pairs = zip(self.syscall.arguments, self.args, strict=False)
        return {a.name: a.kind.decode(raw) for a, raw in pairs}


@dataclass(frozen=True, slots=True)
class Bits:
    """An argument test: `argument & mask` is one of `values`; with `negate`, none of them.

    For "any of these flags" see `any_of`.
    """

    mask: int
    values: frozenset[int]
    negate: bool = False


def any_of(mask: int) -> Bits:
    """The test that at least one bit of `mask` is set."""
    return Bits(mask, frozenset({0}), negate=True)


Where = Mapping[str, Collection[int] | Bits]


class Kind(Enum):
    """What a handler is called for."""

    CALL = "on"
    RESULT = "after"
    EVENT = "event"
    SIGNAL = "signal"


@dataclass(slots=True)
class Count:
    """How often a call was made, how often in vain, and the nanoseconds that it took."""

    calls: int = 0
    errors: int = 0
    time: int = 0


@dataclass(frozen=True, slots=True)
class Handler:
    """One declaration. Drives the filter, the dispatch, `slic list` and the support table.

    `calls` are call names (EVERY alone means all), `events` and `signals` for the other kinds;
    `where` and `about` restrict a CALL handler, and `budgeted` may; `optional` ones are left out
    where an engine cannot.
    """

    kind: Kind
    method: str
    needs: Capability
    calls: tuple[str, ...] = ()
    where: tuple[tuple[str, Bits], ...] = ()
    events: frozenset[ProcessEvent] = frozenset()
    signals: frozenset[int] = frozenset()
    optional: bool = False
    about: str = ""
    budgeted: bool = False
    parameters: tuple[str, ...] = field(default=())

    @property
    def every(self) -> bool:
        return self.calls == (EVERY,)


def argument_tests(where: Where) -> tuple[tuple[str, Bits], ...]:
    """`where` as a Handler carries it; for `declarations` that narrow a handler at run time."""
    return tuple(
        (name, test if isinstance(test, Bits) else Bits(-1, frozenset(test)))
        for name, test in where.items()
    )


def _mark(handler: Handler) -> Callable[[_Method], _Method]:
    def mark(method: _Method) -> _Method:
        marks: list[Handler] = list(getattr(method, _MARK, ()))
        setattr(method, _MARK, [*marks, handler])
        return method

    return mark


def on(
    *calls: str,
    where: Where | None = None,
    needs: Capability = Capability.RETURN,
    about: str = "",
    budgeted: bool = False,
    observes: bool = False,
) -> Callable[[_Method], _Method]:
    """Mark a method that is asked before these calls run, and returns (or yields to) a Verdict.

    `where` maps argument names to the values (a collection of ints, or `Bits`) for which the
    handler is wanted; engines with a filter test it in the kernel. `needs` names what its
    verdicts need: RETURN for Return and Fail (the default), ADD_FD for ReturnFd, REWRITE for
    Rewrite, INSPECT for a handler that only looks; a verdict beyond that is an error. `about`
    names an argument that is a descriptor: the handler leaves the call to the kernel unless
    it leads to one of `Interposer.objects`. An engine may find that out without asking it.
    `budgeted`: as long as `Interposer.budget` allows, an engine may leave the call to the kernel
    and say so there. `observes`, with INSPECT alone: the handler returns Continue whatever it sees,
    and is content with an engine that tells of calls while they go on (no HOLD): it may read the
    text that arguments lead to, and gets BadAddress for other memory.
    """
    tests = argument_tests(where or {})
    needs |= Capability.INSPECT
    if needs == Capability.INSPECT and not observes:
        needs |= Capability.HOLD
    return _mark(Handler(Kind.CALL, "", needs, calls, tests, about=about, budgeted=budgeted))


def after(
    *calls: str, optional: bool = False, observes: bool = False
) -> Callable[[_Method], _Method]:
    """Mark a method that is shown results: parameter `result` is the raw result (-errno).

    It is called when an interposer at or below this one answered, or (capability EXIT) when the
    kernel did. It returns None to leave the result, or an int that replaces it. With `optional`
    an engine without EXIT is accepted and shows only the answers of interposers. With `observes` it
    never replaces a result, and needs no HOLD.
    """
    needs = Capability.EXIT if observes else Capability.EXIT | Capability.HOLD
    return _mark(Handler(Kind.RESULT, "", needs, calls, optional=optional))


def on_event(*events: ProcessEvent, optional: bool = False) -> Callable[[_Method], _Method]:
    """Mark a method `(self, event: Event) -> None` that is told of process events."""
    return _mark(
        Handler(Kind.EVENT, "", Capability.PROCESS, events=frozenset(events), optional=optional)
    )


def on_signal(
    *signals: int, optional: bool = False, observes: bool = False
) -> Callable[[_Method], _Method]:
    """Mark a method `(self, tid: int, signal: int) -> int` asked before a signal is delivered.

    It returns the signal to deliver instead (the same one to leave it, 0 to drop it). No signals
    named means all. SIGKILL cannot be seen. With `observes` it returns the same signal whatever it
    sees, and needs no HOLD.
    """
    needs = Capability.SIGNAL if observes else Capability.SIGNAL | Capability.HOLD
    return _mark(Handler(Kind.SIGNAL, "", needs, signals=frozenset(signals), optional=optional))


class Interposer:
    """Base of every interposer. `handlers` is filled from the marked methods of the class."""

    handlers: ClassVar[tuple[Handler, ...]] = ()
    # Does the policy refuse things? Then a program of the 32-bit ABI is refused, not passed.
    confines: ClassVar[bool] = True
    # Are its optional handlers an extra, for which no dearer engine is worth choosing?
    undemanding: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found: list[Handler] = []
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            for handler in getattr(method, _MARK, ()):
                found.append(_checked(cls, name, method, handler))
        cls.handlers = tuple(found)

    @property
    def name(self) -> str:
        """The name in messages and lists."""
        return type(self).__name__.lower()

    def declarations(self) -> Iterable[Handler]:
        """The handlers of this very instance; override to leave some out or narrow them."""
        return type(self).handlers

    def objects(self) -> Objects | None:
        """What a descriptor leads to when handlers with `about` may want it; None: anything."""
        return None

    def budget(self) -> Budget | None:
        """How many calls that are handlers' with `budgeted` may go on unseen; None: none."""
        return None

    def tally(self) -> dict[str, Count] | None:
        """Where calls are counted, when counting is all that `on` and `after` handlers do: an
        engine that counts by itself leaves these out and fills it before `finished`; None: no."""
        return None

    def started(self, capabilities: Capability) -> None:
        """Told once which engine will drive: what it can do, before the program starts."""

    def finished(self) -> None:
        """Told once that no process under the policy is left (not if the supervisor is killed)."""

    @classmethod
    def from_argument(cls, text: str) -> Self:
        """Build one from the ARGS of `-i NAME:ARGS`; ValueError tells the user what is wrong."""
        if text:
            raise ValueError(f"{cls.__name__} takes no argument, got {text!r}")
        return cls()


# Parameters that are not arguments of the call, per kind of handler.
_OWN = {
    Kind.CALL: {"tracee", "call"},
    Kind.RESULT: {"tracee", "call", "result"},
    Kind.EVENT: {"event"},
    Kind.SIGNAL: {"tid", "signal"},
}


def _checked(cls: type, name: str, method: Callable[..., Any], handler: Handler) -> Handler:
    """The handler with its method and parameters filled in, or DeclarationError."""
    place = f"{cls.__module__}.{cls.__qualname__}.{name}"
    given = list(inspect.signature(method).parameters.values())[1:]
    names = tuple(p.name for p in given)
    if handler.kind in (Kind.CALL, Kind.RESULT):
        _check_calls(place, handler, given)
    elif unexpected := set(names) ^ _OWN[handler.kind]:
        raise DeclarationError(f"{place}: parameters must be {_OWN[handler.kind]}: {unexpected}")
    return Handler(
        handler.kind,
        name,
        handler.needs,
        handler.calls,
        handler.where,
        handler.events,
        handler.signals,
        handler.optional,
        handler.about,
        handler.budgeted,
        names,
    )


def _check_calls(place: str, handler: Handler, given: list[inspect.Parameter]) -> None:
    if not handler.calls:
        raise DeclarationError(f"{place}: names no call")
    if not given or given[0].name != "tracee":
        raise DeclarationError(f"{place}: the first parameter must be `tracee`")
    if EVERY in handler.calls and not handler.every:
        raise DeclarationError(f"{place}: {EVERY!r} stands alone")
    calls = [] if handler.every else [_known(place, call) for call in handler.calls]
    for parameter in given:
        if parameter.name in _OWN[handler.kind]:
            continue
        _check_argument(place, parameter.name, calls, parameter.default is not parameter.empty)
    if handler.about:
        _check_argument(place, handler.about, calls, optional=False)
    for argument, test in handler.where:
        _check_argument(place, argument, calls, optional=False)
        if not test.values:
            raise DeclarationError(f"{place}: where={argument!r} allows no value")


def _known(place: str, call: str) -> Syscall:
    if call not in BY_NAME:
        raise DeclarationError(f"{place}: there is no call {call!r}")
    return BY_NAME[call]


def _check_argument(place: str, argument: str, calls: list[Syscall], optional: bool) -> None:
    having = [c for c in calls if any(a.name == argument for a in c.arguments)]
    if not having or (len(having) < len(calls) and not optional):
        lacking = next((c for c in calls if c not in having), None)
        of = f"{lacking.name}({', '.join(a.name for a in lacking.arguments)})" if lacking else EVERY
        hint = "; give it a default" if having else ""
        raise DeclarationError(f"{place}: {argument!r} is no argument of {of}{hint}")
