"""Real programs give the same output, status and files under every way to run as natively."""

from __future__ import annotations

from functools import cache

import pytest
from conformance import systems, wraps
from conformance.judge import judge

from glunix.compare.launch import Late
from glunix.compare.ways import REGISTRY, Subject

from .programs import PROGRAMS, Program
from .run import Result, compare, run


@cache
def oracle(program: Program) -> Result:
    return run(program)


def require(program: Program) -> None:
    reason = program.missing()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_native_run_is_good_and_repeatable(program: Program) -> None:
    require(program)
    first = oracle(program)
    assert first.status == program.status, first.output + first.errors
    assert first.left == 0
    assert first.output or first.artefacts
    assert not compare(first, run(program))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@pytest.mark.parametrize("way", wraps.present())
def test_same_as_native(way: str, program: Program) -> None:
    require(program)
    wrap = systems.wrap(way, Subject(program.name, program.calls))
    try:
        got = run(program, wrap, patience=REGISTRY[way].patience)
    except Late as late:
        differences = [str(late)]
    else:
        differences = compare(oracle(program), got)
    judge(way, program.name, differences)


def test_a_program_that_says_something_else_is_noticed() -> None:
    """The comparison can fail: a wrap that changes one byte of the output."""
    program = next(p for p in PROGRAMS if p.name == "python-line")
    changed = run(program, lambda argv: ["sh", "-c", '"$@" | sed s/true/false/', "sh", *argv])
    assert compare(oracle(program), changed)
