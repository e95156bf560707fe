"""A listener that is short of descriptors: the silent go, who speaks is served, nobody dies."""

import asyncio
import socket
from pathlib import Path

import pytest

from glunix.comm import sockets
from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.ids import StreamId
from glunix.msg.base import Body

DEADLINE = 30.0
HELLO = b"\x92\x00\xc4\x02hi"


def echo(link: Link, stream: StreamId, body: Body) -> None:
    link.relay(stream, bytes(body))


async def opened(path: Path, first: bytes) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE):
        await loop.sock_connect(client, str(path))
        if first:
            await loop.sock_sendall(client, first)
    return client


async def heard(client: socket.socket) -> bytes:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.get_running_loop().sock_recv(client, 64)


def served(path: Path, silent: int) -> tuple[int, list[bytes]]:
    """With so many silent clients: the loop's status, what a speaking one and the first hear."""
    loop = Loop()
    told: list[bytes] = []

    async def talk() -> None:
        clients = [await opened(path, b"") for _ in range(silent)]
        speaking = await opened(path, HELLO)
        told.append(await heard(speaking))
        told.append(await heard(clients[0]))
        for client in [*clients, speaking]:
            client.close()

    def start() -> None:
        sock = sockets.listening_socket(path, 0o600)
        listener = loop.listen(sock, lambda connection: Link(echo, lambda link, why: None))
        task = asyncio.ensure_future(talk())

        def done(_: object) -> None:
            listener.close()
            loop.stop()

        task.add_done_callback(done)

    status = loop.run(start)
    return status, told


def test_too_many_silent_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SILENT_MAX", 5)
    status, (spoken, silent) = served(tmp_path / "s", 6)
    assert status == 0
    assert spoken.endswith(b"hi") and silent == b""


def test_few_descriptors_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth connection gets too high a number: it and all silent ones go, later ones stay."""
    most = iter([1 << 20] * 3 + [0])
    monkeypatch.setattr(sockets, "connections_max", lambda: next(most, 1 << 20))
    status, (spoken, silent) = served(tmp_path / "s", 4)
    assert status == 0
    assert spoken.endswith(b"hi") and silent == b""


def test_the_kernel_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """accept(2) fails with EMFILE as often as it likes."""
    real = socket.socket.accept
    failures = iter([OSError(24, "Too many open files")] * 2)

    def accept(self: socket.socket) -> object:
        error = next(failures, None)
        if error is not None:
            raise error
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    monkeypatch.setattr(sockets, "SILENT_MAX", 0)
    status, (spoken, silent) = served(tmp_path / "s", 1)
    assert status == 0
    assert spoken.endswith(b"hi") and silent == b""
