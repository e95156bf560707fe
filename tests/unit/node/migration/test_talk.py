"""What a mover and its daemon say to each other."""

import socket
from pathlib import Path

import pytest

from glunix.msg import move
from glunix.msg.base import encode
from glunix.msg.frame import CHUNK, encode_frame
from glunix.node.migration.talk import TALK, Talk, pieces


def test_messages_come_whole_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        talk = Talk(theirs, move.to_mover)
        ours.sendall(encode_frame(TALK, encode(move.Order("freeze"))) * 2)
        assert talk.receive() == talk.receive() == move.Order("freeze")
        talk.say("failed", "x" * 70000, 7)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            talk.receive()


def test_a_file_goes_in_pieces_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"a" * 10 + b"b" * CHUNK + b"c")
    assert [len(piece) for piece in pieces(str(path), 10)] == [CHUNK, 1]
