"""`.ci/vm`: what a machine lacks for virtual machines is said, and is no failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAID = "!!!! NOT TESTED ON VIRTUAL MACHINES: "


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for PATH with hardly a command, for one who is not root: nothing is installed."""
    for name in ("sh", "env", "dirname", "timeout"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    return tmp_path


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GLUNIX")}
    environment = {**clean, "PYTHON": sys.executable, "PYTHONPATH": f"{ROOT}:{ROOT}/tests", **env}
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_missing_tool_is_said(bare: Path) -> None:
    done = run(str(ROOT / ".ci/vm"), PATH=str(bare))
    assert done.returncode == 0, done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(SAID)]
    assert "qemu-system-x86_64" in line and "mmdebstrap" in line


def test_an_image_that_cannot_be_built_is_said(bare: Path, tmp_path: Path) -> None:
    """Tools that fail, as without a mirror: the step is named, with what it said."""
    tools = run(sys.executable, "-m", "vagrant", "tools", "quick").stdout.split()
    for pair in tools:
        command = pair.partition(":")[2]
        if "/" not in command:
            (bare / command).unlink(missing_ok=True)
            (bare / command).write_text("#!/bin/sh\necho no such mirror >&2\nexit 100\n")
            (bare / command).chmod(0o755)
    cache = {"PATH": str(bare), "GLUNIX_LAB_CACHE": str(tmp_path / "cache")}
    check = run(sys.executable, "-m", "vagrant", "check", "quick", **cache)
    done = run(str(ROOT / ".ci/vm"), **cache)
    assert done.returncode == 0, done
    assert [line for line in done.stderr.splitlines() if line.startswith(SAID)], done
    if check.returncode == 0:  # else this machine lacks what is no command: /dev/net/tun, root
        assert "no such mirror" in done.stderr and "cannot be built here" in done.stderr


def test_machines_that_cannot_be_started_end_the_run() -> None:
    """With a status that is neither a failure's nor a success's."""
    words = ["-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    tests = "tests/lab/test_machines.py::test_names"
    how = {"GLUNIX_LAB": "qemu", "GLUNIX_LAB_CACHE": "/dev/null/here"}
    done = run(sys.executable, *words, tests, **how)
    assert done.returncode == os.EX_UNAVAILABLE, done
    assert "no qemu lab: " in done.stdout + done.stderr
