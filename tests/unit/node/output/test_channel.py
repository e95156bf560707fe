"""Receive buffers are used again at once: what could not be passed on was copied before."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from glunix.comm.link import Link
from glunix.home.sinks import Sink
from glunix.ids import StreamId
from glunix.msg.base import Body
from glunix.msg.frame import CHUNK, Deframer
from glunix.node.output.channel import Input, Output
from glunix.node.pollreactor import PollReactor

MARK = bytes(range(256))
PIECE = MARK * (CHUNK // len(MARK))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    yield read_end, write_end
    for fd in (read_end, write_end):
        try:
            os.close(fd)
        except OSError:
            pass  # its owner closed it


def read_some(fd: int) -> bytes:
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""


def test_input_of_a_process(pipe: tuple[int, int]) -> None:
    reactor = PollReactor()
    fed = Input(reactor, pipe[1], False, lambda: None, lambda: None)
    buffer = bytearray(PIECE)
    for _ in range(3):
        buffer[:] = PIECE
        fed.write(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
    fed.write(b"")
    got = b""
    while len(got) < 3 * CHUNK:
        got += read_some(pipe[0])
        if fed.is_open:
            reactor.turn()
    assert got == PIECE * 3
    assert fed.total == len(got)
    assert not fed.is_open


def test_output_of_two_processes() -> None:
    reactor = PollReactor()
    sent: dict[int, bytes] = {0: b"", 1: b""}
    ends = [os.pipe2(os.O_CLOEXEC) for _ in sent]
    outputs = []
    for number, (read_end, _) in enumerate(ends):

        def send(data: Body, number: int = number) -> None:
            sent[number] += data

        outputs.append(Output(reactor, read_end, 100_000, send))
    for number, (_, write_end) in enumerate(ends):
        os.write(write_end, bytes([number]) * 60_000)
    reactor.turn()
    assert sent == {0: b"\0" * 60_000, 1: b"\1" * 60_000}
    for output, (_, write_end) in zip(outputs, ends, strict=True):
        os.write(write_end, b"x" * 60_000)
        reactor.turn()
        output.credit(20_001)  # the end of a channel needs credit to be seen
        os.close(write_end)
        while not output.closed:
            reactor.turn()
    assert [len(data) for data in sent.values()] == [120_000, 120_000]


def test_sink_at_home(pipe: tuple[int, int]) -> None:
    sink = Sink(pipe[1])
    buffer = bytearray(PIECE)
    for _ in range(3):
        buffer[:] = PIECE
        sink.put(memoryview(buffer), "tag", len(buffer))
        sink.write(ready=False)
        sink.own()
        buffer[:] = bytes(len(buffer))
    got = read_some(pipe[0])
    while sink.waiting:
        sink.write(ready=True)
        got += read_some(pipe[0])
    assert got + read_some(pipe[0]) == PIECE * 3
    os.close(sink.fileno())


def test_relay_to_a_peer_that_reads_late() -> None:
    """Every body arrives whole and in order, small and large, although nobody reads at first."""

    async def talk() -> list[tuple[int, bytes]]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        link = Link(lambda *_: None, lambda *_: None)
        link.relay(StreamId(9), b"before the transport")
        await loop.connect_accepted_socket(lambda: link, ours)
        buffer = bytearray(PIECE)
        for number in range(16):
            buffer[:] = PIECE
            link.relay(StreamId(number), b"head", memoryview(buffer))
            buffer[:] = bytes(len(buffer))
            link.relay(StreamId(number), memoryview(buffer)[:5])
        link.close("enough")
        deframer, found = Deframer(), []
        while data := await loop.sock_recv(theirs, 1 << 20):
            found += list(deframer.feed(data))
        theirs.close()
        return found

    found = asyncio.run(talk())
    assert found[0] == (9, b"before the transport")
    expected = [(n, body) for n in range(16) for body in (b"head" + PIECE, bytes(5))]
    assert found[1:] == expected
