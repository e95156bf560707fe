"""Addresses of home's sockets as the kernel has them (glunix.home.calls.sockets)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from glunix.home.calls.filetable import OpenFile
from glunix.home.calls.sockets import carried, decoded, encoded, made


@pytest.mark.parametrize(
    ("family", "address", "raw"),
    [
        (socket.AF_INET, ("1.2.3.4", 0x5060), "020050600102030400000000 00000000"),
        (socket.AF_INET6, ("::1", 7, 0x01020304, 5), f"0a00000701020304{'00' * 15}01 05000000"),
        (socket.AF_UNIX, b"/tmp/s", "01002f746d702f73"),
        (socket.AF_UNIX, b"\0abc", "010000616263"),
        (socket.AF_INET, None, ""),
    ],
)
def test_addresses(family: int, address: object, raw: str) -> None:
    whole = bytes.fromhex(raw)
    assert encoded(family, address) == whole
    assert decoded(whole) == address


def test_unnamed_and_named_by_text() -> None:
    assert encoded(socket.AF_UNIX, "") == b"\1\0"
    assert encoded(socket.AF_UNIX, "/s") == b"\1\0/s\0"
    assert decoded(b"\1\0/s\0") == b"/s"
    with pytest.raises(OSError, match="Address family"):
        decoded(b"\x10\0" + bytes(10))


def test_what_is_carried(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        assert carried(ours.fileno()) == socket.SOCK_SEQPACKET
        assert carried(listener.fileno()) == 0
        opened = OpenFile(ours.fileno())
        assert made(opened, "send", [0, 0, 0], b"words") == (5, [], b"")
        assert theirs.recv(9) == b"words"
        with pytest.raises(BlockingIOError):
            made(opened, "recv", [9, 0, 0], b"")
        theirs.send(b"too long")
        assert made(opened, "recv", [3, 0, 0], b"") == (3, [socket.MSG_TRUNC, 0], b"too")
        with pytest.raises(KeyError):
            made(opened, "fchmod", [0], b"")
        assert os.fstat(ours.fileno())
