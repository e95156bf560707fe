"""A file on fds 0-2 answers as a file: a table of calls on it, native beside -T."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.cluster import users_own

from .compare import NATIVE, TRANSPARENT, Both

TABLE = Path(__file__).parent / "guests" / "filecalls.py"


def ran(both: Both, place: Path, number: str, redirections: str) -> str:
    """Assert that every call says the same; returns what they said natively."""
    users_own(Path(shutil.copy(TABLE, place / "filecalls.py")))
    run = f"{{ $G $PYTHON {place}/filecalls.py {number} {redirections}; }}"
    line = f"echo some text >in; {run} 9>told; cat told"
    native, ours = both.run(line, NATIVE, 60), both.run(line, TRANSPARENT, 60)
    assert (ours.status, ours.err) == (native.status, native.err)
    assert ours.text.splitlines() == native.text.splitlines()
    return native.text


@pytest.mark.parametrize("redirections", [">out", ">>out", "1<>out", ">out 2>&1", "<in >out"])
def test_an_output_that_is_a_file(both: Both, place: Path, redirections: str) -> None:
    told = ran(both, place, "1", redirections)
    assert "1 epoll_ctl 1: EPERM" in told and "1 F_GETPIPE_SZ: EBADF" in told
    assert "openat2 1073741824: E2BIG" in told


@pytest.mark.parametrize("redirections", ["<in", "<in >out", "<in | cat"])
def test_an_input_that_is_a_file(both: Both, place: Path, redirections: str) -> None:
    told = ran(both, place, "0", redirections)
    assert "0 epoll_ctl 1: EPERM" in told and "0 F_GET_SEALS: " in told


@pytest.mark.parametrize("redirections", [">/dev/null", "1<>/dev/zero", "| cat"])
def test_other_outputs(both: Both, place: Path, redirections: str) -> None:
    ran(both, place, "1", redirections)
