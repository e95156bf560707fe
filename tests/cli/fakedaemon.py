"""A daemon of our own for the tools' tests: it speaks glunix.msg on a real Unix socket."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from glunix.ids import CONTROL
from glunix.msg import client as wire
from glunix.msg import stream as flow
from glunix.msg.base import Message, encode
from glunix.msg.frame import Deframer, encode_frame

DEADLINE = 10.0


class FakeLink:
    """One accepted connection, seen by the daemon."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        conn.settimeout(DEADLINE)
        self._frames: list[tuple[int, bytes]] = []
        self._deframer = Deframer()

    def send(self, message: Message, stream: int = CONTROL) -> None:
        self.conn.sendall(encode_frame(stream, encode(message)))

    def receive(self) -> tuple[int, Message] | None:
        """Next message with its stream; None when the client hung up."""
        while not self._frames:
            data = self.conn.recv(65536)
            if not data:
                return None
            self._frames += self._deframer.feed(data)
        stream, body = self._frames.pop(0)
        decoder = wire.client_to_daemon if stream == CONTROL else flow.home_to_node
        return stream, decoder.decode(body)

    def expect(self, kind: type) -> Message:
        """Next message, which must be of `kind`."""
        got = self.receive()
        assert got is not None, f"client hung up, expected {kind.__name__}"
        assert isinstance(got[1], kind), got
        return got[1]


Script = Callable[[FakeLink], object]


class FakeDaemon:
    """Runs `script` for every connection; its errors surface when the test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script: Script = lambda link: None
        self.errors: list[BaseException] = []
        self.listener = socket.socket(socket.AF_UNIX)
        holder = os.open(folder, os.O_PATH)
        try:
            self.listener.bind(f"/proc/self/fd/{holder}/home.sock")
        finally:
            os.close(holder)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with conn:
                try:
                    self.script(FakeLink(conn))
                except (AssertionError, OSError) as error:
                    self.errors.append(error)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "the fake daemon hangs"
        assert not self.errors, self.errors
