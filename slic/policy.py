"""A policy: an ordered stack of interposers.

Owns what is caught (`subscription`), what that needs (`needs`) and who decides (`decide`): the
first verdict that is not Continue wins, and its result passes back up through the interposers
above the winner. Pure; engines drive it.
"""

import errno
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any, NamedTuple

from msgspec import Struct

from slic.budget import Budget
from slic.interposer import Bits, Call, Event, Handler, Interposer, Kind, ProcessEvent
from slic.objects import Objects
from slic.syscalls import BY_NAME, IO_URING_CAN, Syscall
from slic.tracee import BadAddress, Tracee
from slic.verdict import NEEDS, PASS, Asking, Below, Capability, Continue, Fail, Question, Verdict


class UndeclaredVerdict(TypeError):
    """A handler returned a verdict that its declaration's `needs` does not cover.

    `handler` is the method: its code is not in the traceback, because it has returned.
    """

    def __init__(self, message: str, handler: object) -> None:
        super().__init__(message)
        self.handler = handler


class HookFailed(RuntimeError):
    """An `on_event` or `on_signal` handler raised an OSError: there is no call to fail with it."""


class Need(NamedTuple):
    """One capability that one handler of the policy cannot do without."""

    capability: Capability
    interposer: str
    method: str
    calls: tuple[str, ...]


class Decision(Struct, frozen=True):
    """A verdict and the position in the stack of who gave it (len(stack) for the kernel)."""

    verdict: Verdict
    depth: int


@dataclass(frozen=True, slots=True)
class Test:
    """One compiled argument test: register position, width in bits, and what it must be."""

    register: int
    bits: int
    test: Bits
    mask: int = field(init=False, repr=False, compare=False)
    values: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mask = self.test.mask & ((1 << self.bits) - 1)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "values", frozenset(v & mask for v in self.test.values))

    def holds(self, args: Sequence[int]) -> bool:
        return (args[self.register] & self.mask in self.values) != self.test.negate


Alternative = tuple[Test, ...]  # every test must hold


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an engine must catch. `calls`: number to alternatives, () among them means always."""

    calls: Mapping[int, frozenset[Alternative]]
    results: frozenset[int]
    events: frozenset[ProcessEvent]
    signals: frozenset[int] | None  # None: no signal; empty: every signal
    confines: bool

    @property
    def io_uring_bypasses(self) -> bool:
        """Could a program do a subscribed call through io_uring, unseen?"""
        return any(BY_NAME[name].number in self.calls for name in IO_URING_CAN if name in BY_NAME)


Invoke = Callable[[Tracee, Call], Any]
Ask = Callable[[Tracee, Call, int], int | None]


class _Step(NamedTuple):
    """One interposer's handler for one call number."""

    depth: int
    invoke: Invoke
    alternatives: frozenset[Alternative]
    verdicts: frozenset[type]  # what its declaration allows it to return
    place: str
    about: int  # the register of its `about`, -1 without
    objects: Objects | None
    budget: Budget | None
    method: object


class About(NamedTuple):
    """What all handlers of a call are about: the register of a descriptor, and what it leads to
    when any of them is concerned."""

    register: int
    objects: tuple[Objects, ...]

    def concerns(self, seen: os.stat_result) -> bool:
        """Whether any handler wants the call when its descriptor leads to this."""
        return any(seen in objects for objects in self.objects)


Deciding = Generator[Question, Any, Decision]


class Policy:
    """The stack, first interposer first asked. Immutable once built."""

    def __init__(self, interposers: Sequence[Interposer]) -> None:
        self.interposers = tuple(interposers)
        self._kernel = Decision(PASS, len(self.interposers))
        self._steps: dict[int, list[_Step]] = {}
        self._results: dict[int, list[tuple[int, Ask]]] = {}
        self._events: dict[ProcessEvent, list[Callable[[Event], None]]] = {}
        self._signals: list[tuple[frozenset[int], Callable[[int, int], int]]] = []
        for depth, interposer in enumerate(self.interposers):
            for handler in interposer.declarations():
                self._add(depth, interposer, handler)
        for asks in self._results.values():
            asks.reverse()  # results travel up: the lowest interposer sees them first
        self._subscription = self._subscribe()
        self.about = {
            number: about
            for number, steps in self._steps.items()
            if (about := _about(steps)) is not None
        }
        """Call numbers that are the kernel's unless somebody is concerned with a descriptor."""
        self.budgets = {
            number: steps[0].budget
            for number, steps in self._steps.items()
            if len(steps) == 1 and steps[0].budget is not None
        }
        """Call numbers of which some may go on unseen."""

    # -- what is wanted ----------------------------------------------------------------------
    def handlers(self) -> Iterator[tuple[Interposer, Handler]]:
        for interposer in self.interposers:
            for handler in interposer.declarations():
                yield interposer, handler

    def subscription(self) -> Subscription:
        return self._subscription

    def needs(self) -> list[Need]:
        """Capabilities no handler can do without, one entry per capability and handler."""
        return [
            Need(capability, interposer.name, handler.method, handler.calls)
            for interposer, handler in self.handlers()
            if not handler.optional
            for capability in handler.needs
        ]

    def started(self, capabilities: Capability) -> None:
        for interposer in self.interposers:
            interposer.started(capabilities)

    def finished(self) -> None:
        for interposer in self.interposers:
            interposer.finished()

    # -- dispatch ----------------------------------------------------------------------------
    def decide(self, call: Call, tracee: Tracee) -> Decision | Deciding:
        """The decision, or a generator that yields questions and returns it.

        A handler's BadAddress becomes EFAULT and its OSError that errno; a handler that may not
        answer (no RETURN) then leaves the call to the kernel. CallGone passes through.
        """
        steps = self._steps.get(call.syscall.number, ())
        for position, step in enumerate(steps):
            verdict = self._ask(step, call, tracee)
            if type(verdict) is Continue:
                continue
            if type(verdict) is GeneratorType:
                return self._deciding(verdict, step, steps[position + 1 :], call, tracee)
            return Decision(_covered(verdict, step), step.depth)
        return self._kernel

    def result(self, call: Call, tracee: Tracee, value: int, depth: int) -> int:
        """Pass a result (raw, -errno) up from `depth`; the result the program shall see.

        A handler's BadAddress or OSError leaves the result as it is: the call has been made.
        """
        for position, ask in self._results.get(call.syscall.number, ()):
            if position <= depth:
                try:
                    replaced = ask(tracee, call, value)
                except (BadAddress, OSError):
                    continue
                value = value if replaced is None else replaced
        return value

    def wants_result(self, number: int) -> bool:
        return number in self._results

    def event(self, event: Event) -> None:
        for told in self._events.get(event.what, ()):
            try:
                told(event)
            except OSError as error:
                raise HookFailed(f"{event}: {error}") from error

    def signal(self, tid: int, signal: int) -> int:
        """The signal to deliver for `signal`; 0 for none."""
        for wanted, ask in self._signals:
            if signal and (not wanted or signal in wanted):
                try:
                    signal = ask(tid, signal)
                except OSError as error:
                    raise HookFailed(f"signal {signal} for {tid}: {error}") from error
        return signal

    # -- inside ------------------------------------------------------------------------------
    @staticmethod
    def _ask(step: _Step, call: Call, tracee: Tracee) -> Any:
        if step.alternatives and not any(
            all(test.holds(call.args) for test in tests) for tests in step.alternatives
        ):
            return PASS
        try:
            return step.invoke(tracee, call)
        except (BadAddress, OSError) as error:
            return _failed(error, step)

    def _deciding(
        self, asking: Any, step: _Step, rest: Sequence[_Step], call: Call, tracee: Tracee
    ) -> Deciding:
        below: Decision | None = None  # what the layers below said, once they were asked
        guarded = _guarded(asking, step)
        try:
            question = next(guarded)
            while True:
                if type(question) is Below:
                    seen = tracee if question.tracee is None else question.tracee
                    below = yield from self._descend(rest, call, seen)
                    question = guarded.send(below.verdict)
                    continue
                try:
                    value = yield question
                except BaseException as thrown:  # handed on, as `yield from` would
                    question = guarded.throw(thrown)
                else:
                    question = guarded.send(value)
        except StopIteration as stop:
            verdict: Verdict = stop.value
        if isinstance(verdict, Continue):
            return below or (yield from self._descend(rest, call, tracee))
        if below is not None and verdict is below.verdict:
            return below
        return Decision(_covered(verdict, step), step.depth)

    def _descend(self, steps: Sequence[_Step], call: Call, tracee: Tracee) -> Deciding:
        """Ask the given steps in order; the kernel's decision if all continue."""
        for position, step in enumerate(steps):
            verdict = self._ask(step, call, tracee)
            if type(verdict) is GeneratorType:
                rest = steps[position + 1 :]
                return (yield from self._deciding(verdict, step, rest, call, tracee))
            if type(verdict) is not Continue:
                return Decision(_covered(verdict, step), step.depth)
        return self._kernel

    def _add(self, depth: int, interposer: Interposer, handler: Handler) -> None:
        method = getattr(interposer, handler.method)
        place = f"{interposer.name}.{handler.method}"
        if handler.kind is Kind.EVENT:
            for event in handler.events:
                self._events.setdefault(event, []).append(method)
        elif handler.kind is Kind.SIGNAL:
            self._signals.append((handler.signals, method))
        for name in BY_NAME if handler.every else handler.calls:
            syscall = BY_NAME[name]
            if handler.kind is Kind.RESULT:
                asks = self._results.setdefault(syscall.number, [])
                asks.append((depth, _bind_result(method, handler, syscall)))
            else:
                tests = tuple(
                    Test(i := syscall.index(arg), syscall.arguments[i].kind.bits, test)
                    for arg, test in handler.where
                )
                alternatives = frozenset({tests}) if tests else frozenset()
                allowed = frozenset(v for v, need in NEEDS.items() if need in handler.needs)
                about = syscall.index(handler.about) if handler.about else -1
                invoke = _bind(method, handler, syscall)
                objects = interposer.objects()
                budget = interposer.budget() if handler.budgeted else None
                step = _Step(
                    depth, invoke, alternatives, allowed, place, about, objects, budget, method
                )
                self._steps.setdefault(syscall.number, []).append(step)

    def _subscribe(self) -> Subscription:
        calls: dict[int, frozenset[Alternative]] = {}
        for number, steps in self._steps.items():
            always = any(not step.alternatives for step in steps)
            tests = frozenset(t for step in steps for t in step.alternatives)
            calls[number] = frozenset({()}) if always else tests
        wanted = [signals for signals, _ in self._signals]
        signals = None if not wanted else frozenset().union(*wanted)
        if any(not w for w in wanted):
            signals = frozenset()
        return Subscription(
            calls,
            frozenset(self._results),
            frozenset(self._events),
            signals,
            any(interposer.confines for interposer in self.interposers),
        )


def _about(steps: Sequence[_Step]) -> About | None:
    register = steps[0].about
    if register < 0 or any(s.about != register or s.objects is None for s in steps):
        return None
    kept = {id(s.objects): s.objects for s in steps if s.objects is not None}
    return About(register, tuple(kept.values()))


def _covered(verdict: Verdict, step: _Step) -> Verdict:
    if type(verdict) not in step.verdicts:
        raise UndeclaredVerdict(
            f"{step.place} returned {verdict!r}, which the `needs` of its declaration do not cover",
            step.method,
        )
    return verdict


def _failed(error: Exception, step: _Step) -> Verdict:
    if Fail not in step.verdicts:
        return Continue(f"{step.place}: {error}")
    if isinstance(error, OSError) and error.errno:
        return Fail(error.errno)
    return Fail(errno.EFAULT)


def _guarded(asking: Asking, step: _Step) -> Asking:
    try:
        return (yield from asking)
    except (BadAddress, OSError) as error:
        return _failed(error, step)


def _decoders(handler: Handler, syscall: Syscall, own: int) -> list[tuple[str, int, Any]]:
    """(parameter, register, decode) for the parameters after the `own` first ones it has."""
    found = []
    for parameter in handler.parameters[own:]:
        for index, argument in enumerate(syscall.arguments):
            if argument.name == parameter:
                found.append((parameter, index, argument.kind.decoder()))
    return found


def _bind(method: Callable[..., Any], handler: Handler, syscall: Syscall) -> Invoke:
    """Bind the call's arguments to the handler's parameters, once, before anything runs."""
    plan = _decoders(handler, syscall, 1)
    wants_call = "call" in handler.parameters
    if not plan:
        if wants_call:
            return lambda tracee, call: method(tracee, call=call)
        return lambda tracee, call: method(tracee)

    def invoke(tracee: Tracee, call: Call) -> Any:
        registers = call.args
        named: dict[str, Any] = {name: decode(registers[index]) for name, index, decode in plan}
        if wants_call:
            named["call"] = call
        return method(tracee, **named)

    return invoke


def _bind_result(method: Callable[..., Any], handler: Handler, syscall: Syscall) -> Ask:
    plan = _decoders(handler, syscall, 1)
    wants_call = "call" in handler.parameters
    wants_result = "result" in handler.parameters

    def ask(tracee: Tracee, call: Call, result: int) -> int | None:
        named: dict[str, Any] = {name: decode(call.args[index]) for name, index, decode in plan}
        if wants_call:
            named["call"] = call
        if wants_result:
            named["result"] = result
        replaced: int | None = method(tracee, **named)
        return replaced

    return ask
