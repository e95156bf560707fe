"""Every conformance guest on every engine, under a policy that catches the calls it uses.

Native is the oracle. The guests and their runner are in tests/conformance; this file only adds
the engines. `ARTEFACTS` are differences that the mechanism itself makes, now and then, each told in
the docstring of its engine.
"""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from conformance.guest import Guest  # noqa: E402
from conformance.runner import compare, discover, run, unmet, variants  # noqa: E402
from conformance.wraps import Subject  # noqa: E402

from slic.engine import engines  # noqa: E402

DEADLINE = 60.0
LONG = bool(os.environ.get("GLUNIX_LONG"))
WORKS = [name for name, engine in engines().items() if engine.unavailable() is None]
WAYS = [(name, "passthrough:{calls}") for name in WORKS]
if LONG:
    WAYS += [(name, "passthrough") for name in WORKS]
    WAYS += [(name, "trace:out=/dev/null") for name in WORKS]
ARTEFACTS = {("ptrace", "socket_pair"), ("ptrace-seccomp", "socket_pair")}


@cache
def native(guest: Guest) -> object:
    return run(guest, deadline=DEADLINE)


@pytest.mark.slow
@pytest.mark.parametrize("guest", variants(discover()), ids=lambda guest: guest.name)
@pytest.mark.parametrize(("name", "policy"), WAYS, ids=lambda text: text.split(":")[0])
def test_same_as_native(name: str, policy: str, guest: Guest) -> None:
    if lacking := unmet(guest):
        pytest.skip(lacking)
    interposer = policy.format(calls=",".join(sorted(set(Subject.of(guest).calls))))
    slic = [sys.executable, "-m", "slic.cli", "run", "-e", name, "-i", interposer, "--"]
    got = run(
        guest, lambda argv: [*slic, *argv], deadline=DEADLINE, extra={"PYTHONPATH": str(ROOT)}
    )
    differences = compare(native(guest), got)  # type: ignore[arg-type]
    if (name, guest.name) not in ARTEFACTS:
        assert not differences
