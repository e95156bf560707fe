"""The guests themselves: valid, deterministic, truthful about their calls, able to fail.

Native Linux is the oracle of every other run, so what is checked here is that the oracle is one.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glunix.compare import ways
from glunix.compare.guest import Area, Guest, HeaderError, parse
from glunix.compare.runner import compare, discover, oracle, problems, run, unmet, variants

GUESTS = discover()
ALL = variants(GUESTS)
MUTATIONS = [(guest, expression) for guest in GUESTS for expression in guest.broken_by]
MARK = 'PR_SET_NAME, "guest"'


def require(guest: Guest) -> None:
    reason = unmet(guest)
    if reason:
        pytest.skip(reason)


def require_strace() -> None:
    reason = ways.strace_missing()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("guest", ALL, ids=lambda guest: guest.name)
def test_passes_and_says_the_same_twice(guest: Guest) -> None:
    require(guest)
    first = oracle(guest)
    assert not problems(guest, first), "\n".join(problems(guest, first))
    assert not compare(first, run(guest))


@pytest.mark.parametrize(
    "guest", [guest for guest in GUESTS if not guest.tty], ids=lambda guest: guest.name
)
def test_passes_with_its_output_on_a_terminal(guest: Guest) -> None:
    require(guest)
    outcome = run(guest, tty=True)
    assert not problems(guest, outcome), "\n".join(problems(guest, outcome))


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
def test_makes_the_calls_it_names_and_bears_an_interposer(guest: Guest, tmp_path: Path) -> None:
    require(guest)
    require_strace()
    log = tmp_path / "trace"
    outcome = run(guest, ways.strace(str(log)), deadline=30)
    assert not compare(oracle(guest), outcome)
    lines = log.read_text(errors="replace").splitlines()
    # What the loader did before the program's first statement does not count.
    start = next((i for i, line in enumerate(lines) if MARK in line), -1)
    made = {m[1] for line in lines[start + 1 :] if (m := re.search(r"^\d+\s+(\w+)\(", line))}
    silent = [choice for choice in guest.choices if not made.intersection(choice)]
    assert not silent, f"named but never called: {silent}"


@pytest.mark.parametrize(
    ("guest", "expression"), MUTATIONS, ids=[f"{g.name}-{e}" for g, e in MUTATIONS]
)
def test_fails_when_its_behaviour_is_broken(guest: Guest, expression: str) -> None:
    require(guest)
    require_strace()
    broken = run(guest, ways.strace("/dev/null", "-e", f"inject={expression}"), deadline=30)
    assert broken.status == 1
    assert re.search(r"expected .*got", broken.stdout + broken.stderr)


def test_there_are_enough_guests_of_every_area() -> None:
    assert len(GUESTS) >= 60
    for area in Area:
        assert sum(guest.area is area for guest in GUESTS) >= 4, area


def test_most_guests_are_proved_able_to_fail() -> None:
    proved = sum(bool(guest.broken_by) for guest in GUESTS)
    assert proved >= 0.8 * len(GUESTS)


HEADER = """/* guest: x
 * area: files
 * source: read(2)
 * calls: read, clone|clone3
"""


def test_header_is_read() -> None:
    text = (
        HEADER + ' * on: go -> type "a\\n"\n * on: stopped -> fg\n * status: SIGTERM\n */\nint x;'
    )
    guest = parse(Path("x.c"), text)
    assert guest.calls == ("read", "clone", "clone3")
    assert guest.choices == (("read",), ("clone", "clone3"))
    assert [step.value for step in guest.steps] == [b"a\n", b""]
    assert guest.status == -15


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("area: files", "given twice"),
        ("colour: red", "unknown key"),
        ("needs: luck", "unknown need"),
        ("stdin: tty", "needs: tty"),
        ("stdin: pipe abc", "double quotes"),
        ("stdin: null x", "takes no text"),
        ("status: SIGNONE", "no signal"),
        ("on: go", "TRIGGER -> ACTION"),
        ("on: go -> dance", "unknown action"),
        ("on: go -> resize big", "ROWSxCOLUMNS"),
        ("no key here", "not a `key: value` line"),
    ],
)
def test_bad_header_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(HeaderError, match=complaint):
        parse(Path("x.c"), HEADER + f" * {line}\n */\n")


@pytest.mark.parametrize("missing", ["guest", "area", "source", "calls"])
def test_missing_key_is_refused(missing: str) -> None:
    text = "\n".join(line for line in HEADER.splitlines() if f"{missing}: " not in line)
    with pytest.raises(HeaderError, match=f"{missing} is missing"):
        parse(Path("x.c"), text if text.startswith("/*") else "/* " + text[3:] + "\n */\n")
