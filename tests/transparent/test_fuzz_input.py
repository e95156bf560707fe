"""Random writers and readers over each kind of standard input, signals meanwhile: nothing is lost,
doubled or reordered, and what the program did not read is left at home.

Seconds in its short form; GLUNIX_LONG=1: a million bytes a kind. GLUNIX_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import string
import subprocess
import tempfile
import termios
import time
from dataclasses import dataclass

import pytest
from e2e.cluster import Cluster, ended

from .compare import NATIVE, PYTHON, TRANSPARENT

LONG = bool(os.environ.get("GLUNIX_LONG"))
SEED = int(os.environ.get("GLUNIX_SEED", "0")) or random.randrange(1 << 32)
DEADLINE = 900.0 if LONG else 60.0

SIZES = {"pipe": 300_000, "socket": 300_000, "file": 300_000, "raw": 20_000, "canonical": 20_000}
"""Bytes in the short form."""

READER = """
import os, random, select, signal, sys, time, tty
kind, seed, left = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dice = random.Random(seed)
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
    signal.siginterrupt(number, number != signal.SIGUSR1)
if kind == "raw":
    tty.setraw(0)
os.write(2, b"ready\\n")
copy = os.dup(0)
def one(want):
    how, fd = dice.randrange(8), dice.choice((0, copy))
    if how == 0:
        select.select([fd], [], [], dice.choice((0, 0.001, 0.01)))
    if how == 1:
        parts = [bytearray(want // 2), bytearray(want - want // 2)]
        size = os.readv(fd, parts)
        return b"".join(parts)[:size]
    if how == 2:
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)
        try:
            return os.read(fd, want)
        except BlockingIOError:
            return None
        finally:
            os.set_blocking(fd, blocking)
    if how == 3 and kind != "file" and not select.select([fd], [], [], 0)[0]:
        return None
    return os.read(fd, want)
while left:
    data = one(min(left, dice.choice((1, 30, 800, 4096, 9000, 70000))))
    if data == b"" and kind != "file":
        sys.exit("end of input")
    if data:
        left -= len(data)
        while data:
            data = data[os.write(1, data):]
    elif kind == "file":
        time.sleep(0.002)
os._exit(0)  # handlers to the end
"""


@dataclass
class Input:
    """One standard input: the job's end, and where we write. `keep` stays open at home."""

    kind: str
    theirs: int
    ours: int

    def write(self, data: bytes) -> int:
        """What it takes now."""
        try:
            return os.write(self.ours, data)
        except BlockingIOError:
            return 0

    def left(self, size: int) -> bytes:
        """What can still be read at home."""
        if self.kind == "canonical":  # a part of a line cannot be read elsewise
            mode = termios.tcgetattr(self.theirs)
            mode[3] &= ~termios.ICANON
            termios.tcsetattr(self.theirs, termios.TCSANOW, mode)
        os.set_blocking(self.theirs, False)
        data, end = b"", time.monotonic() + 5
        while len(data) < size and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                data += os.read(self.theirs, size + 1)
        return data


def make(kind: str, stack: contextlib.ExitStack) -> Input:
    """A fresh one; everything is closed with the stack."""
    if kind == "pipe":
        theirs, ours = os.pipe()
    elif kind == "socket":
        theirs, ours = (s.detach() for s in socket.socketpair())
    elif kind == "file":
        file = stack.enter_context(tempfile.NamedTemporaryFile())
        theirs, ours = os.open(file.name, os.O_RDONLY), os.open(file.name, os.O_WRONLY)
    else:
        ours, theirs = os.openpty()
        mode = termios.tcgetattr(theirs)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, mode)
    stack.callback(os.close, theirs)
    stack.callback(os.close, ours)
    os.set_blocking(ours, False)
    return Input(kind, theirs, ours)


def bytes_for(kind: str, dice: random.Random, size: int) -> bytes:
    """What is written: on a canonical terminal, lines of what is no special character."""
    if kind != "canonical":
        return dice.randbytes(size)
    letters = string.ascii_letters + string.digits + "\n" * 4
    return "".join(dice.choices(letters, k=size)).encode() + b"\n"


class Play:
    """One run. The job's output is what it has read."""

    def __init__(
        self, way: Input, whole: bytes, process: subprocess.Popen[bytes], dice: random.Random
    ) -> None:
        self.way, self.whole, self.process, self.dice = way, whole, process, dice
        self.sent = 0
        self.got = b""
        self.signals = 0

    def run(self) -> None:
        """Until the job's output has ended."""
        assert self.process.stdout is not None
        out, end = self.process.stdout.fileno(), time.monotonic() + DEADLINE
        poll = select.poll()
        poll.register(out, select.POLLIN)
        while True:
            assert time.monotonic() < end, f"{len(self.got)} bytes came, {self.sent} were sent"
            if poll.poll(1):
                data = os.read(out, 65536)
                if not data:
                    return
                self.got += data
            if self.dice.random() < 0.3:
                size = self.dice.choice((1, 30, 600, 4000, 60000))
                self.sent += self.way.write(self.whole[self.sent : self.sent + size])
            if self.dice.random() < 0.1 or not self.signals:
                self.signal()

    def signal(self) -> None:
        """One that is handled, or a stop that the shell sees."""
        self.signals += 1
        number = self.dice.choice((signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTSTP))
        if number != signal.SIGTSTP:
            self.process.send_signal(number)
        elif self.way.kind not in ("raw", "canonical") and self.dice.random() < 0.1:
            self.process.send_signal(number)
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self.process.pid, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    self.process.send_signal(signal.SIGCONT)
                else:
                    self.process.returncode = os.waitstatus_to_exitcode(status)


@pytest.mark.timeout(DEADLINE + 60)
@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
@pytest.mark.parametrize("kind", SIZES)
def test_every_byte_once_and_in_order(shared: Cluster, kind: str, level: str) -> None:
    print(f"GLUNIX_SEED={SEED}")
    dice = random.Random(f"{SEED} {kind}")
    size = 1_000_000 if LONG else SIZES[kind]
    whole = bytes_for(kind, dice, size + 700)
    words = [*level.split(), PYTHON, "-c", READER, kind, str(dice.randrange(1 << 30)), str(size)]
    with contextlib.ExitStack() as stack:
        way = make(kind, stack)
        process = stack.enter_context(ended(shared.start(*words, stdin=way.theirs)))
        assert process.stderr is not None
        assert process.stderr.readline() == b"ready\n"
        play = Play(way, whole, process, dice)
        play.run()
        status = process.wait(DEADLINE) if process.returncode is None else process.returncode
        said = process.stderr.read()
        assert status == 0, said
        assert first_difference(play.got, whole[:size]) is None
        assert way.left(play.sent - size) == whole[size : play.sent]
    assert play.signals


def first_difference(got: bytes, expected: bytes) -> str | None:
    """Where and how; None when they are equal."""
    if got == expected:
        return None
    pairs = zip(got, expected, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(got), len(expected)))
    found = expected.find(got[at : at + 40])
    return f"{len(got)} of {len(expected)} bytes; at {at}: what stands at {found} natively"
