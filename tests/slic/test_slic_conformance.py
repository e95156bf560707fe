"""Every conformance guest on every engine with every call caught, and under trace; long form only.

The short form (a pass-through policy on the calls a guest uses) is tests/conformance itself.
`ARTEFACTS` are differences that the mechanism makes, now and then, told in its engine's docstring.
"""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

if not os.environ.get("GLUNIX_LONG"):
    pytest.skip("the long form only: GLUNIX_LONG=1", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from glunix.compare.guest import Guest  # noqa: E402
from glunix.compare.runner import compare, discover, run, unmet, variants  # noqa: E402
from slic.registry import ANSWERING, engines  # noqa: E402

DEADLINE = 60.0
WORKS = [name for name in ANSWERING if engines()[name].unavailable() is None]
WAYS = [(name, policy) for name in WORKS for policy in ("passthrough", "trace:out=/dev/null")]
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
    slic = [sys.executable, "-m", "slic.cli", "run", "-e", name, "-i", policy, "--"]
    got = run(
        guest, lambda argv: [*slic, *argv], deadline=DEADLINE, extra={"PYTHONPATH": str(ROOT)}
    )
    differences = compare(native(guest), got)  # type: ignore[arg-type]
    if (name, guest.name) not in ARTEFACTS:
        assert not differences
