"""Tools whose standard output is full or closed: a line and a status, never a traceback."""

import os
import subprocess
import sys

import pytest
from fakedaemon import FakeDaemon
from test_tools import answering

MODULES = {"glunix": "main"}


def shell(words: str, redirections: str) -> "subprocess.CompletedProcess[str]":
    """A tool by sh(1), which opens and closes descriptors as users do."""
    tool, *options = words.split()
    code = (
        f"import sys; from glunix.cli.{MODULES.get(tool, tool)} import main; sys.argv = "
        f"{[tool, *options]!r}; sys.exit(main())"
    )
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, code],
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "words",
    ["glustat", "glustat --json", "glups", "glurun --help", "glukill -l", "glunix --help"],
)
def test_no_room_is_one_line(daemon: FakeDaemon, words: str) -> None:
    answering(daemon)
    told = shell(words, ">/dev/full")
    tool = words.split()[0]
    assert told.stderr == f"{tool}: cannot write output: No space left on device\n"
    assert told.returncode == (125 if tool == "glurun" else 1)
    closed = shell(words, ">&-")
    assert (closed.returncode, closed.stderr) == (0, "")
