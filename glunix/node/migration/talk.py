"""What a mover and its daemon say to each other, and a file on its way (see .mover)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from glunix.ids import StreamId
from glunix.msg import move
from glunix.msg.base import Decoder, Message, encode
from glunix.msg.frame import CHUNK, Deframer, encode_frame

TALK = StreamId(1)
FREEZE_SECONDS = 10.0


class Talk:
    """A blocking socket to the daemon. EOFError: it is gone."""

    def __init__(self, sock: socket.socket, decoder: Decoder) -> None:
        self._sock = sock
        self._decoder = decoder
        self._deframer = Deframer()
        self._come: list[Message] = []

    def send(self, message: Message) -> None:
        self._sock.sendall(encode_frame(TALK, encode(message)))

    def receive(self) -> Message:
        while not self._come:
            data = self._sock.recv(1 << 20)
            if not data:
                raise EOFError
            self._come += [self._decoder.decode(body) for _, body in self._deframer.feed(data)]
        return self._come.pop(0)

    def say(self, what: str, text: str = "", pid: int = 0) -> None:
        self.send(move.Said(what, text[:60000], pid))


def pieces(path: str, start: int) -> Iterator[bytes]:
    """A file from there on in pieces."""
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        while data := file.read(CHUNK):
            yield data
