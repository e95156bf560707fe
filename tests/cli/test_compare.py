"""`glunix compare`: its choices, its verdicts, its three ways to show them; no cluster needed."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glunix.cli import compare, main
from glunix.compare import differences, matrix, ways
from glunix.compare.differences import Known
from glunix.compare.latency import CALLS, Latency
from glunix.compare.matrix import Cell, Matrix, Verdict
from glunix.compare.page import as_html, as_json
from glunix.compare.runner import discover
from glunix.compare.ways import Reach, Way
from glunix.errors import GlunixError

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
NOWHERE = Reach("/nonexistent", "/nonexistent/glurun")


@contextlib.contextmanager
def no_cluster(here: bool) -> Iterator[Reach]:
    yield NOWHERE


def shell_way(line: str) -> Way:
    """A way that runs the program inside a shell line."""
    return Way("changed", lambda subject, reach: lambda argv: ["sh", "-c", line, "sh", *argv])


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A way under which every program says `o.k.` for `ok`."""
    monkeypatch.setitem(ways.REGISTRY, "changed", shell_way("\"$@\" | sed 's/^ok$/o.k./'"))
    monkeypatch.setattr(compare, "_cluster", no_cluster)
    return "changed"


def run(*words: str) -> int:
    return main.main(["compare", *words])


@needs_gcc
def test_same_as_native_is_status_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_cluster", no_cluster)
    monkeypatch.setitem(ways.REGISTRY, "plain", shell_way('exec "$@"'))
    assert run("--ways", "plain", "file_append", "identity_names*") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["file_append", "same"]
    assert any(line.startswith("identity_names-static") for line in lines)


@needs_gcc
def test_a_difference_that_nobody_listed_is_status_1(
    changed: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run("--ways", changed, "--html", str(page), "file_append") == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out and "expected 'ok', got 'o.k.'" in out
    text = page.read_text()
    assert "class=unexpected" in text and "o.k." in text


@needs_gcc
def test_a_listed_difference_is_status_0(
    changed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"file_append": Known("it cannot say ok", section="7.9")}
    monkeypatch.setitem(differences.DIFFERENCES, changed, listed)
    assert run("--ways", changed, "file_append") == 0
    out = capsys.readouterr().out
    assert "differs, §7.9" in out and "paper section 7.9: it cannot say ok" in out


@needs_gcc
def test_json(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--ways", changed, "--json", "file_append") == 1
    told = json.loads(capsys.readouterr().out)
    (cell,) = told["cells"]
    assert cell["verdict"] == "differs" and cell["unexpected"] and cell["tries"] == 2
    assert told["latencies"]["native"].keys() == set(CALLS)
    assert told["guests"][0]["name"] == "file_append"


@needs_gcc
def test_a_difference_of_one_run_alone_is_told_and_forgiven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once = f'if [ -e {tmp_path}/x ]; then exec "$@"; fi; : >{tmp_path}/x; exit 3'
    monkeypatch.setitem(ways.REGISTRY, "once", shell_way(once))
    (guest,) = compare.chosen_guests(["file_append"])
    cell = matrix.one(guest, "once", lambda: NOWHERE)
    assert (cell.verdict, cell.tries, cell.unexpected) == (Verdict.SAME, 2, False)
    assert cell.line and compare.word(cell) == "same, 2nd try"


def test_what_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Way("gone", lambda subject, reach: lambda argv: argv, lambda: "no such engine here")
    monkeypatch.setitem(ways.REGISTRY, "gone", way)
    cell = matrix.one(discover()[0], "gone", lambda: NOWHERE)
    assert (cell.verdict, cell.line) == (Verdict.CANNOT, "no such engine here")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["no_such_guest"], "no program 'no_such_guest'"),
        (["--ways", "teleport"], "no way 'teleport'"),
        (["--ways", "native"], "nothing to compare"),
        (["--engine", "diesel"], "no way 'glurun-T-diesel'"),
    ],
)
def test_mistakes_are_status_2(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert complaint in capsys.readouterr().err


def test_here_needs_a_cluster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GLUNIX_DIR", str(tmp_path))
    monkeypatch.setattr(compare, "compiler", lambda: "gcc")
    assert run("--here", "file_append") == 2
    assert "no cluster is up" in capsys.readouterr().err


def test_choices() -> None:
    assert compare.chosen_ways(None, []) == ways.COMPARED
    assert compare.chosen_ways(None, ["ptrace"]) == ("glurun", "glurun-T-ptrace")
    assert compare.chosen_ways("strace,native,strace", []) == ("strace",)
    names = [guest.name for guest in compare.chosen_guests(["tty_raw", "tty_r*"])]
    assert names[0] == "tty_raw" and len(names) == len(set(names)) > 1
    with pytest.raises(GlunixError):
        compare.chosen_guests(["tty_raw", "x*"])


class _Balanced(HTMLParser):
    """Every element that has to be closed is."""

    void = {"meta", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_escapes_and_balances() -> None:
    guest = discover()[0]
    known = Known("a < b & c", section="7")
    cells = {
        (guest.name, "glurun"): Cell(guest.name, "glurun", Verdict.DIFFERS, "<script>", known),
        (guest.name, "strace"): Cell(guest.name, "strace", Verdict.CANNOT, "no <strace>"),
    }
    latencies = {"native": Latency(dict.fromkeys(CALLS, 1500)), "strace": Latency({}, "<none>")}
    found = Matrix((guest,), ("glurun", "strace"), cells, latencies)
    page = as_html(found)
    assert "<script>" not in page and "&lt;script&gt;" in page and "1.50 µs" in page
    parser = _Balanced()
    parser.feed(page)
    assert not parser.open
    assert json.loads(as_json(found))["cells"][0]["listed"]["section"] == "7"


def test_completion_offers_guests_engines_and_ways() -> None:
    args = argparse.Namespace(shell="bash")
    from glunix.cli import completion_others

    assert completion_others.run_completion(args) == 0
    text = completion_others.bash()
    for word in ("tty_raw", "ptrace-seccomp", "glurun-T-unotify"):
        assert word in text


def test_the_guests_are_part_of_the_package() -> None:
    """A wheel has what package-data matches: every guest, and the C files beside the modules."""
    import tomllib

    root = Path(compare.__file__).resolve().parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = data["tool"]["setuptools"]["package-data"]
    assert "guests/*" in patterns["glunix.compare"] and "*.c" in patterns["*"]
    assert {"homeshell.c", "latency.c"} <= {p.name for p in (root / "glunix/compare").glob("*.c")}
    assert sys.modules["glunix.compare"].__file__ is not None
