"""A node that lies: a daemon of the tests' own that speaks the wire to a real `glurun -T`.

Owns a state folder with its socket, a pseudo-terminal, and the startup in its session.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from glunix.ids import StreamId
from glunix.msg import client, stream
from glunix.msg.base import Message, encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.job import JobSpec

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 20.0
NODE = StreamId(1)
_GLURUN = "import sys; from glunix.cli.glurun import main; sys.exit(main())"

M = TypeVar("M", bound=Message)


class HostileNode:
    """`with HostileNode("--allow-tiocsti") as node:` has a job placed on it, which begins."""

    def __init__(self, *options: str, prelude: str = "") -> None:
        """`prelude`: Python that the startup's process runs before it is one."""
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory("-attack")))
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.folder / "home.sock"))
        listener.listen(4)
        listener.settimeout(DEADLINE)
        self.master, slave = os.openpty()
        self._stack.callback(os.close, self.master)
        self.tty = os.ttyname(slave)
        words = [sys.executable, "-c", prelude + _GLURUN, "-T", *options, "--", "true"]
        self.startup = subprocess.Popen(
            words,
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            env={**os.environ, "GLUNIX_DIR": str(self.folder), "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.slave = slave
        self._stack.callback(os.close, slave)
        self.link, _ = listener.accept()
        self._stack.enter_context(self.link)
        self.link.settimeout(DEADLINE)
        self._deframer = Deframer()
        self._come: list[tuple[int, Any]] = []
        submit = self._control()
        assert isinstance(submit, client.Submit)
        self.spec: JobSpec = submit.spec
        placed = client.Placed(1, 7, [client.StreamOf(1, "node1", [0])])
        self.link.sendall(encode_frame(StreamId(0), encode(placed)))

    def __enter__(self) -> HostileNode:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.startup.pid, signal.SIGKILL)
        self.startup.wait(DEADLINE)
        if self.startup.stderr is not None:
            self.startup.stderr.close()
        self._stack.close()

    # -- the wire ----------------------------------------------------------------------------

    def say(self, *messages: Message) -> None:
        """Messages of the job's stream."""
        for message in messages:
            self.say_raw(encode(message))

    def say_raw(self, body: bytes) -> None:
        """Whatever this is."""
        self.link.sendall(encode_frame(NODE, body))

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        data = self.link.recv(65536)
        assert data, f"the startup has gone: {self.complaint()}"
        yield from self._deframer.feed(data)

    def _control(self) -> Message:
        while not self._come:
            for number, body in self._frames():
                decoder = client.client_to_daemon if number == 0 else stream.home_to_node
                self._come.append((number, decoder.decode(body)))
        return self._come.pop(0)[1]  # type: ignore[no-any-return]

    def hear(self, kind: type[M]) -> M:
        """The next message of this kind; others are passed over."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self._control()
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__} has come")

    def ioctl(self, command: int, data: bytes = b"", argument: int = 0) -> stream.IoctlDone:
        """What home says to an ioctl of its terminal."""
        self.say(stream.Ioctl(99, 0, command, argument, data, True))
        return self.hear(stream.IoctlDone)

    # -- what comes of it --------------------------------------------------------------------

    def typed(self) -> int:
        """Bytes that the user's terminal has to be read."""
        return int.from_bytes(fcntl.ioctl(self.slave, termios.FIONREAD, bytes(4)), "little")

    def raw(self) -> None:
        """The terminal shows each byte of its input at once."""
        modes = termios.tcgetattr(self.slave)
        modes[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def halves(self) -> list[int]:
        """Home's half: the startup's child, once it is there."""
        pid = self.startup.pid
        end = time.monotonic() + DEADLINE
        while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            assert time.monotonic() < end, "the startup has not divided"
            time.sleep(0.01)
        return [int(child) for child in found]

    def ended(self, within: float = DEADLINE) -> int:
        """The startup's status."""
        return self.startup.wait(within)

    def complaint(self) -> str:
        """What it has said on its standard error, once nobody has that any more."""
        assert self.startup.stderr is not None
        said, end = b"", time.monotonic() + DEADLINE
        while select.select([self.startup.stderr], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = os.read(self.startup.stderr.fileno(), 65536)
            if not piece:
                break
            said += piece
        return said.decode()
