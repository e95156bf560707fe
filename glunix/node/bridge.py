"""The bridge: the supervisor's link to the daemon beside it, and through it to home.

Stream RELAY carries bodies of the job's stream, which the daemon passes on undecoded. Stream
REPORT carries what the daemon itself must know: from the supervisor the life of the process, from
the daemon signals. Both keep their order on this one socket.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg.base import Body, Message, encode
from glunix.msg.frame import CHUNK, Deframer, encode_frame, frame_head
from glunix.node.reactor import Reactor

RELAY = StreamId(1)
REPORT = StreamId(2)
MOVE = StreamId(3)
"""Between daemon and supervisor only (glunix.node.migration.migrating)."""


def complain(why: str) -> None:
    """One line in the daemon's log."""
    sys.stderr.write(f"supervisor {os.getpid()}: {why}\n")
    sys.stderr.flush()


class Bridge:
    """Supervisor's end. `frame(stream, body)` for each frame, `gone()` when the daemon is."""

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        frame: Callable[[StreamId, Body], None],
        gone: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._sock = sock
        self._frame = frame
        self._gone = gone
        self._deframer = Deframer()
        self._out = bytearray()
        self._open = True
        self._hearing = False
        self._waits = False
        """For room in the socket."""
        sock.setblocking(False)
        # A chunk fits, so one write sends it (unix(7): no auto-tuning).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * CHUNK)
        reactor.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> bool:
        """One read; False when there was nothing, or never will be."""
        try:
            count = self._sock.recv_into(self._deframer.room())
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if not count:
            self._lost()
            return False
        self._hearing = True
        try:
            for stream, body in self._deframer.received(count):
                self._frame(stream, body)
        except FrameError as error:  # whoever sent that is not believed any more
            complain(f"{error}: the job is ended")
            self._lost()
            return False
        finally:
            self._hearing = False
        return True

    def hear(self) -> None:
        """Take what has come already; not from within `frame`, which has its turn."""
        while self._open and not self._hearing and self._readable():
            pass

    def _lost(self) -> None:
        if self._open:
            self._open = False
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor.remove_writer(self._sock.fileno())
            self._gone()

    def send(self, stream: StreamId, message: Message) -> None:
        """Queue a message and send what the socket takes."""
        self._out += encode_frame(stream, encode(message))
        self._flush()

    def relay(self, stream: StreamId, *parts: Body) -> None:
        """Send an encoded body in parts that are joined on the wire only; copies what is left."""
        every = [frame_head(stream, sum(map(len, parts))), *parts]
        sent = 0
        if not self._out and self._open:
            try:
                sent = os.writev(self._sock.fileno(), every)
            except OSError:
                pass  # full, or broken, which `_flush` finds
        for part in every:
            if sent < len(part):
                self._out += part[sent:]
            sent = max(0, sent - len(part))
        self._flush()

    def _flush(self) -> None:
        while self._out and self._open:
            try:
                sent = os.write(self._sock.fileno(), self._out)
            except BlockingIOError:
                if not self._waits:
                    self._waits = True
                    self._reactor.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                self._lost()
                return
            del self._out[:sent]
        if self._waits and self._open:
            self._waits = False
            self._reactor.remove_writer(self._sock.fileno())

    def end_writing(self) -> None:
        """The other side reads to the end of it; we still hear what it has sent."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    @property
    def pending(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._out) and self._open
