"""Compiles a guest, runs it to its barrier, has it moved, opens the gate, reads its verdict."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .mover import Mover, mover

GUESTS = Path(__file__).parent / "guests"
NAMES = sorted(path.stem for path in GUESTS.glob("*.c"))
DEADLINE = 30.0


@functools.cache
def _folder() -> Path:
    """Of this test process, which removes it at its end; a mover that was forked does not."""
    made = Path(tempfile.mkdtemp(prefix="mig-guests-"))
    made.chmod(0o755)
    atexit.register(shutil.rmtree, made)
    return made


@functools.cache
def compiled(name: str) -> Path:
    """The guest's program; skips without gcc."""
    program = _folder() / name
    words = ["gcc", "-O1", "-pthread", "-o", str(program), str(GUESTS / f"{name}.c")]
    try:
        made = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("gcc is missing")
    assert made.returncode == 0, made.stderr
    return program


class Running:
    """A program in a folder of its own, standard output a file; `gate` is what a guest waits at."""

    def __init__(self, words: list[str], folder: Path, session: bool = True) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        self._output = folder / "output"
        self._round = 0
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=session,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def await_text(self, text: str) -> None:
        """Until it is in the output, or the program has said FAIL, or time is up."""
        end = time.monotonic() + DEADLINE
        while text not in self.output:
            assert "FAIL" not in self.output, self.output
            assert time.monotonic() < end, f"no {text!r} in {self.output!r}"
            time.sleep(0.003)

    def await_ready(self) -> None:
        self.await_text(f"READY {self._round}\n")

    def open_gate(self) -> None:
        Path(f"{self.gate}.{self._round}").touch()
        self._round += 1


@contextlib.contextmanager
def running(words: list[str], folder: Path, session: bool = True) -> Iterator[Running]:
    made = Running(words, folder, session)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(made.process.pid, 9) if session else made.process.kill()
        made.process.wait()


def run_guest(name: str, folder: Path, at_barrier: Callable[[Mover], None]) -> None:
    """The guest at its barrier, then `at_barrier`, then its verdict."""
    with running([str(compiled(name)), str(folder / "gate")], folder) as guest:
        guest.await_ready()
        with mover(guest.process.pid) as moving:
            at_barrier(moving)
            assert "FAIL" not in guest.output, guest.output
            guest.open_gate()
            guest.await_text("PASS\n")
