"""Transparent jobs on the engines that glurun does not take by itself; and `glunix compare`.

Short form: the guests whose stdin or terminal is home's, because nothing else of a job is caught.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.compare.guest import Guest, StdinKind
from glunix.compare.matrix import Verdict, one
from glunix.compare.runner import discover, unmet, variants
from glunix.compare.ways import REGISTRY, TRANSPARENT

from . import systems, wraps

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [way for way in wraps.OTHER_ENGINES if way != f"{TRANSPARENT}-unotify"]
GUESTS = [
    guest
    for guest in variants(discover())
    if os.environ.get("GLUNIX_LONG") or (guest.stdin is not StdinKind.NULL and not guest.static)
]


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
@pytest.mark.parametrize("way", OTHERS)
def test_same_as_native(way: str, guest: Guest) -> None:
    reason = REGISTRY[way].missing() or unmet(guest)
    if reason:
        pytest.skip(reason)
    cell = one(guest, way, systems.reach)
    assert not cell.unexpected, cell.line
    assert not cell.outdated, "no longer differs: take it off the list"
    if cell.verdict is Verdict.DIFFERS:
        assert cell.listed is not None
        pytest.xfail(f"{cell.listed.why} ({cell.line})")


def test_the_command_makes_the_matrix_on_a_cluster_of_its_own(tmp_path: Path) -> None:
    """As a user runs it: both levels, one engine, and nothing is left."""
    page = tmp_path / "page.html"
    words = ["compare", "--engine", "ptrace-seccomp", "--json", "--html", str(page)]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "from glunix.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "stdin_file_shared", "identity_home_name"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr
    told = json.loads(done.stdout)
    found = {(cell["guest"], cell["way"]): cell["verdict"] for cell in told["cells"]}
    assert found["stdin_file_shared", "glurun"] == "differs"
    assert found["stdin_file_shared", "glurun-T-ptrace-seccomp"] == "same"
    assert found["identity_home_name", "glurun-T-ptrace-seccomp"] == "same"
    assert told["unexpected"] == 0
    native = told["latencies"]["native"]
    transparent = told["latencies"]["glurun-T-ptrace-seccomp"]
    assert transparent["read"] > native["read"] > native["getpid"]
    assert "stdin_file_shared" in page.read_text()
