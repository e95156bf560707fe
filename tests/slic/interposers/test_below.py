"""`Below`: a layer asks the layers under it before it answers, and may narrow what they see."""

import errno
from contextlib import suppress
from typing import Any

from slic_fake import FakeTracee, call

from slic.interposer import Interposer, on
from slic.policy import Decision, Policy
from slic.tracee import BadAddress, Tracee
from slic.verdict import PASS, Asking, Below, Continue, Fail, Return, Verdict


class Upper(Interposer):
    """Asks below with the tracee it is given, then answers what it is told to."""

    def __init__(self, answer: Verdict | None, narrowed: Any = None) -> None:
        self.answer = answer
        self.narrowed = narrowed
        self.heard: list[Verdict] = []

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Asking:
        below = yield Below(self.narrowed)
        self.heard.append(below)
        return below if self.answer is None else self.answer


class Lower(Interposer):
    def __init__(self, answer: Verdict | BaseException) -> None:
        self.answer = answer
        self.callers: list[int] = []

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Verdict:
        self.callers.append(tracee.pid)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Asks(Interposer):
    @on("getppid")
    def getppid(self, tracee: Tracee) -> Asking:
        return Return((yield "what?"))


def decide(*stack: Interposer, answers: tuple[Any, ...] = ()) -> Decision:
    decided = Policy(stack).decide(call("getppid"), FakeTracee())
    if isinstance(decided, Decision):
        return decided
    found: list[Decision] = []

    def driven() -> Any:
        found.append((yield from decided))

    asking = driven()
    next(asking, None)
    for answer in answers:
        with suppress(StopIteration):
            asking.throw(answer) if isinstance(answer, BaseException) else asking.send(answer)
    return found[0]


def test_the_verdict_below_is_heard_and_keeps_its_depth() -> None:
    upper = Upper(None)
    assert decide(upper, Lower(PASS), Lower(Return(7))) == Decision(Return(7), 2)
    assert upper.heard == [Return(7)]


def test_the_upper_layer_may_answer_otherwise() -> None:
    assert decide(Upper(Fail(1)), Lower(Return(7))) == Decision(Fail(1), 0)


def test_nobody_below() -> None:
    upper = Upper(None)
    decision = decide(upper)
    assert (type(decision.verdict), decision.depth) == (Continue, 1)
    assert isinstance(upper.heard[0], Continue)


def test_a_layer_below_is_asked_once() -> None:
    lower = Lower(Return(3))
    assert decide(Upper(Continue("yours")), lower).verdict == Return(3)
    assert lower.callers == [100]


def test_layers_below_see_the_narrowed_caller() -> None:
    narrowed = FakeTracee()
    narrowed.pid = 7
    lower = Lower(Return(3))
    decide(Upper(None, narrowed), lower)
    assert lower.callers == [7]


def test_errors_and_questions_below() -> None:
    assert decide(Upper(None), Lower(OSError(errno.EIO, ""))).verdict == Fail(errno.EIO)
    assert decide(Upper(None), Lower(BadAddress())).verdict == Fail(errno.EFAULT)
    assert decide(Upper(None), Asks(), answers=(5,)) == Decision(Return(5), 1)
    failed = decide(Upper(None), Asks(), answers=(OSError(errno.EINTR, ""),))
    assert failed == Decision(Fail(errno.EINTR), 1)


def test_two_layers_ask_below() -> None:
    assert decide(Upper(None), Upper(None), Lower(Return(9))) == Decision(Return(9), 2)
