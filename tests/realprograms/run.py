"""Runs a real program, native or wrapped, and gives what can be compared."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path

from glunix.compare.guest import StdinKind
from glunix.compare.launch import Launch, Wrap, launch, scratch
from glunix.compare.runner import environment, native

from .programs import Program


@dataclass(frozen=True)
class Result:
    """status: as subprocess's. output, errors: normalised text. artefacts: what it made."""

    status: int
    output: str
    errors: str
    artefacts: str
    left: int


def run(program: Program, wrap: Wrap = native, *, patience: float = 1.0) -> Result:
    """Prepares `program` in an empty folder and runs `wrap(argv)` there.

    patience: how many times its deadline it may take.
    """
    with scratch() as folder:
        argv = program.prepare(folder)
        outcome = launch(
            Launch(
                argv=wrap(argv),
                cwd=folder,
                environment=environment(folder),
                stdin=StdinKind.PATTERN if program.input else StdinKind.NULL,
                input=program.input,
                deadline=program.deadline * patience,
            )
        )

        def normal(text: str) -> str:
            return program.normalise(text.replace(str(folder), "FOLDER"))

        good = outcome.status == program.status
        return Result(
            status=outcome.status,
            output=normal(outcome.stdout),
            errors=normal(outcome.stderr),
            artefacts=program.artefacts(Path(folder)) if good else "",
            left=outcome.left,
        )


def compare(expected: Result, got: Result) -> list[str]:
    """How `got` differs from `expected`: a line for each field, with its first differing line."""
    found = []
    for part in fields(Result):
        want, have = getattr(expected, part.name), getattr(got, part.name)
        if want == have:
            continue
        if isinstance(want, str):
            pairs = zip_longest(want.splitlines(), have.splitlines(), fillvalue="(nothing)")
            want, have = next((a, b) for a, b in pairs if a != b)
        found.append(f"{part.name}: expected {want!r}, got {have!r}")
    return found
