"""The engine that docs/slic.md shows: it keeps the contract, and knows nothing but the contract."""

from __future__ import annotations

import ast
import errno
import re
import select
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from slic_fake import FakeTracee, call

from slic.engine import Engine, MissingCapability
from slic.interposer import Interposer, on
from slic.policy import Policy
from slic.tracee import Tracee
from slic.verdict import Capability, Fail, Return, Rewrite, Verdict

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "slic.md").read_text()


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    (code,) = re.findall(r"### An engine of one's own\n.*?```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/slic.md", "exec"), names)
    names["code"] = code
    return names


class Answers(Interposer):
    @on("getpid")
    def getpid(self, tracee: Tracee) -> Verdict:
        return Return(7)

    @on("close")
    def close(self, tracee: Tracee, fd: int) -> Verdict:
        return Fail(errno.EBADF)

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Generator[object, Any, Verdict]:
        return Return((yield "whose child?"))


class Rewrites(Interposer):
    @on("close", needs=Capability.REWRITE)
    def close(self, tracee: Tracee, fd: int) -> Verdict:
        return Rewrite({"fd": 0})


class Host:
    def __init__(self) -> None:
        self.asked: list[tuple[int, object]] = []
        self.gone: list[int] = []

    def ask(self, call_id: int, question: object, tracee: Tracee) -> None:
        self.asked.append((call_id, question))

    def cancelled(self, call_id: int) -> None:
        self.gone.append(call_id)


def calls(*names: str) -> list[tuple[Any, FakeTracee]]:
    return [(call(name, id=number), FakeTracee()) for number, name in enumerate(names, 1)]


def test_calls_are_answered_and_questions_asked(example: dict[str, Any]) -> None:
    engine: Engine = example["Replay"](calls("getpid", "close", "getppid", "read"))
    launch = engine.prepare(Policy([Answers()]))
    launch.install()
    host: Any = Host()
    with launch.session(host) as session:
        poll = select.poll()
        poll.register(session.fileno(), select.POLLIN)
        while poll.poll(0) and session.step():
            pass
        answered: Any = session
        assert answered.answered == {1: 7, 2: -errno.EBADF, 4: 0}
        assert host.asked == [(3, "whose child?")]
        assert session.still_valid(3)
        assert not session.ended
        assert session.answer(3, 99)
        assert answered.answered[3] == 99
        assert not session.answer(3, 99)
        session.serve()
        assert session.ended
    assert host.gone == []


def test_a_waiting_call_is_cancelled_once(example: dict[str, Any]) -> None:
    host: Any = Host()
    launch = example["Replay"](calls("getppid")).prepare(Policy([Answers()]))
    with launch.session(host) as session:
        session.step()
        session.close()
    assert host.gone == [1]


def test_an_exception_is_raised_where_the_handler_asked(example: dict[str, Any]) -> None:
    host: Any = Host()
    session = example["Replay"](calls("getppid")).prepare(Policy([Answers()])).session(host)
    session.step()
    assert session.answer(1, OSError(errno.ESRCH, "gone"))
    assert session.answered == {1: -errno.ESRCH}
    session.close()


def test_what_it_cannot_is_said_before_anything_runs(example: dict[str, Any]) -> None:
    with pytest.raises(MissingCapability, match=r"rewrites\.close .*REWRITE: engine replay"):
        example["Replay"]([]).prepare(Policy([Rewrites()]))


def test_the_contract_is_all_that_it_imports(example: dict[str, Any]) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(example["code"]))
        if isinstance(node, ast.ImportFrom)
    }
    assert {name for name in imported if str(name).startswith("slic")} == {"slic.engine"}


def test_the_contract_knows_no_registry() -> None:
    import slic.engine

    source = Path(slic.engine.__file__).read_text()
    imported = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"slic.registry", "slic.engines", "slic.engines.builtin"}
