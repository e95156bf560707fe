"""Python's own tests of signals, terminals, processes, readiness and sockets: the same of them
pass under -T as natively, on a terminal.

A selection in its short form; GLUNIX_LONG=1: the whole modules, also without a terminal.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .compare import NATIVE, PYTHON, TRANSPARENT, Both

LONG = bool(os.environ.get("GLUNIX_LONG"))
DEADLINE = 900.0 if LONG else 60.0
RUNNER = Path(__file__).parent / "guests" / "suite.py"

SHORT = {
    "test_epoll": (),
    "test_fcntl": (),
    "test_getpass": (),
    "test_ioctl": (),
    "test_openpty": (),
    "test_popen": (),
    "test_pty": (),
    "test_select": (),
    "test_selectors": ("EpollSelectorTestCase",),
    "test_signal": (
        "PosixTests", "RaiseSignalTest", "StressTest", "WakeupFDTests", "WakeupSocketSignalTests",
    ),
    "test_socket": (
        "BasicSocketPairTest", "BasicTCPTest", "NonBlockingTCPTests", "RecvmsgSCMRightsStreamTest",
        "SendRecvFdsTests", "SendmsgUnixStreamTest", "TestUnixDomain",
    ),
    "test_subprocess": ("CommandsWithSpaces", "ContextManagerTests", "MiscTests"),
    "test_threadsignals": (),
    "test_tty": (),
}  # fmt: skip
"""Which classes of each module; none: all of it."""

WHOLE = (
    "test_eintr", "test_fork1", "test_pipes", "test_poll", "test_posix", "test_readline",
    "test_wait3", "test_wait4",
)  # fmt: skip
"""More modules of the long form."""

WITHOUT = {"test_socket": ("-VSOCK",)}
"""Virtual machines only: waits for ever where there is no host to answer."""

AT_A_TERMINAL = ("test_ioctl",)
"""Skipped as a whole where there is none."""

CASES = [
    (module, where)
    for where in ("terminal", "files")
    for module in (*SHORT, *WHOLE)
    if (LONG or (where == "terminal" and module in SHORT))
    and (where == "terminal" or module not in AT_A_TERMINAL)
]


def outcomes(both: Both, level: str, module: str, where: str) -> dict[str, str]:
    """What became of each test, by its name."""
    words = (*(() if LONG else SHORT[module]), *WITHOUT.get(module, ()))
    command = f"$G $PYTHON {RUNNER} out {module} {' '.join(words)}"
    if where == "terminal":
        command = f'script -qec "{command}" /dev/null'
    seen = both.run(f"{command} </dev/null >log 2>&1; cat out; tail -n 40 log >&2", level, DEADLINE)
    rows = [line.split("\t") for line in seen.text.splitlines()]
    found = {name: outcome for name, outcome, _ in rows}
    assert "passed" in found.values(), seen.complaint
    return found


def differences(both: Both, module: str, where: str) -> dict[str, tuple[str | None, str | None]]:
    """Tests that did not end the same: (natively, under -T)."""
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(outcomes, both, level, module, where) for level in LEVELS]
        native, ours = (run.result() for run in runs)
    names = native.keys() | ours.keys()
    return {n: (native.get(n), ours.get(n)) for n in names if native.get(n) != ours.get(n)}


@functools.cache
def has_tests() -> bool:
    """Whether the interpreter that runs them (the tested user's) has them."""
    words = [PYTHON, "-c", "import test.test_signal"]
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0


LEVELS = (NATIVE, TRANSPARENT)


@pytest.mark.timeout(4 * DEADLINE + 30)
@pytest.mark.parametrize(("module", "where"), CASES, ids=lambda word: word)
def test_same_tests_pass(both: Both, module: str, where: str) -> None:
    if not has_tests():
        pytest.skip("this Python comes without its tests (Debian: libpython3-testsuite)")
    if shutil.which("script") is None:
        pytest.skip("script is not installed (Debian: bsdutils)")
    found = differences(both, module, where)
    if found:  # some depend on time: what differs by itself differs again
        again = differences(both, module, where)
        found = {name: how for name, how in found.items() if again.get(name) == how}
    assert not found
