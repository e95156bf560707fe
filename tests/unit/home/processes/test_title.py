"""What ps(1) shows of a process: other words, elsewhere or in place, and all of its environment."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

CODE = """
import sys
sys.path.append({root!r})
from glunix.home.processes.title import Title, overwrite
{work}
print([open(f"/proc/self/{{name}}", "rb").read() for name in ("comm", "cmdline", "environ")])
"""


def shown(work: str) -> tuple[bytes, bytes]:
    """comm and cmdline of a process that did this; its environment is as it was."""
    command = [sys.executable, "-IS", "-c", CODE.format(root=str(ROOT), work=work)]
    env = {"MARK": "x" * 500, "LAST": "y"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=True)
    comm, cmdline, environ = (
        ast.literal_eval(word) for word in ran.stdout.strip()[1:-1].split(", ")
    )
    assert environ == b"\0".join(f"{k}={v}".encode() for k, v in env.items()) + b"\0"
    return comm.rstrip(b"\n"), cmdline


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")
@pytest.mark.parametrize("size", [1, 100, 3000, 9000])
def test_any_words(size: int) -> None:
    words = b"one\0" + b"w" * size + b"\0"
    show = "title = Title(); title.show(b'before', b'longer than that\\0'); "
    comm, cmdline = shown(f"{show}title.show(b'name', b'one\\0' + b'w' * {size} + b'\\0')")
    assert comm == b"name"
    assert cmdline == (words if size <= 3000 else words[:3071] + b"\0")


def test_in_place() -> None:
    _, cmdline = shown("overwrite(b'short')")
    assert cmdline.rstrip(b"\0") == b"short" and cmdline.endswith(b"\0")
