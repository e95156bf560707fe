"""What a key throws away: `^C`, `^\\`, `^Z` and tcflush empty all of the queue to the terminal."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from e2e.cluster import Cluster, as_tested_user

from .compare import NATIVE, PYTHON, TRANSPARENT

RATE = 200_000
"""Bytes that the terminal shows in a second."""

LEVELS = [NATIVE, "glurun", TRANSPARENT]

FEW = {NATIVE: 12_000, "glurun": 64_000, TRANSPARENT: 64_000}
"""Bytes after the key: a read of the terminal or two natively. Ours are the same and what passes
until the node has said that it has heard, a twentieth of a second; it was a megabyte once."""

MANY = {NATIVE: 12_000, TRANSPARENT: 200_000}
"""Bytes of a queue that is not thrown away."""

PROMPT = b"@@ "


class Slow:
    """A shell at a terminal that is read slowly."""

    def __init__(self, cluster: Cluster, level: str, folder: Path) -> None:
        words, prepare = as_tested_user(["bash", "--norc", "--noprofile", "-i"])
        env = cluster.environment(
            {"G": level, "PS1": PROMPT.decode(), "PYTHON": PYTHON, "HISTFILE": "", "TERM": "dumb"}
        )
        self.child = pexpect.spawn(
            words[0], words[1:], env=env, cwd=str(folder), preexec_fn=prepare, echo=True
        )
        self.fd = self.child.child_fd
        self.shown()

    def read(self, seconds: float) -> bytes:
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        data = os.read(self.fd, 4096)
        time.sleep(len(data) / RATE)
        return data

    def read_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.1)

    def shown(self, word: bytes = PROMPT) -> int:
        """Bytes until this word comes."""
        count, tail, end = 0, b"", time.monotonic() + 20
        while word not in tail:
            assert time.monotonic() < end, tail
            data = self.read(0.2)
            count += len(data)
            tail = tail[-200:] + data
        return count

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture
def slow(shared: Cluster, place: Path) -> Iterator[Callable[[str], Slow]]:
    made: list[Slow] = []

    def make(level: str) -> Slow:
        made.append(Slow(shared, level, place))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("key", [b"\x03", b"\x1c", b"\x1a"], ids=["INT", "QUIT", "TSTP"])
def test_a_key(slow: Callable[[str], Slow], level: str, key: bytes) -> None:
    terminal = slow(level)
    terminal.type(b"ulimit -c 0; $G yes\n")
    terminal.read_for(1.0)
    terminal.type(key)
    assert terminal.shown() < FEW[level]
    if key == b"\x1a":
        terminal.type(b"fg\n")
        terminal.read_for(0.5)
        terminal.type(b"\x03")
        assert terminal.shown() < FEW[level]
    terminal.type(b"echo af''ter\n")
    terminal.shown(b"after\r\n")


@pytest.mark.parametrize("level", LEVELS)
def test_a_shell_inside(slow: Callable[[str], Slow], level: str) -> None:
    """The group that the key is for is not the program's."""
    terminal = slow(level)
    terminal.type(b"$G bash --norc --noprofile -i\n")
    terminal.shown()
    for _ in range(2):
        terminal.type(b"yes\n")
        terminal.read_for(0.7)
        terminal.type(b"\x03")
        assert terminal.shown() < FEW[level]
    terminal.type(b"exit\n")
    terminal.shown()


@pytest.mark.parametrize("level", LEVELS)
def test_tcflush(slow: Callable[[str], Slow], place: Path, level: str) -> None:
    program = (
        "import os, termios, time; os.set_blocking(1, False); n = 0; end = time.time() + 1\n"
        "while time.time() < end:\n"
        " try: os.write(1, b'.' * 999 + b'\\n')\n"
        " except BlockingIOError: time.sleep(.001)\n"
        "termios.tcflush(1, termios.TCOFLUSH); os.set_blocking(1, True); open('mark', 'w')\n"
        "os.write(1, b'the end\\n')"
    )
    terminal = slow(level)
    terminal.type(f'cat >f.py <<E\n{program}\nE\n$G $PYTHON f.py; echo do""ne\n'.encode())
    while not (place / "mark").exists():
        terminal.read(0.05)
    assert terminal.shown(b"done\r\n") < FEW[level]


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
@pytest.mark.parametrize("line", ["stty noflsh; $G yes", "timeout -s INT 1 $G yes"])
def test_what_throws_nothing_away(slow: Callable[[str], Slow], level: str, line: str) -> None:
    """NOFLSH (termios(3)), and the same signal from elsewhere."""
    terminal = slow(level)
    terminal.type(line.encode() + b"\n")
    terminal.read_for(0.9)
    if "timeout" not in line:
        terminal.type(b"\x03")
    assert terminal.shown() > MANY[level]
