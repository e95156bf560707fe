"""Home daemon <-> node daemon: stream 0 of the one link a pair of daemons shares.

The daemon that dialled opens streams (odd numbers), the other side's would be even; a stream is
opened by its first frame (msg.stream.Start) and ended by CloseStream from either side.
"""

from typing import Annotated

from msgspec import Meta

from glunix.msg.base import Decoder, Message
from glunix.msg.job import U32, NameField, TextField, VersionField
from glunix.msg.move import MoveOrder, MovePiece, MoveSaid, MoveTaken
from glunix.msg.parallel import BarrierMessage


class PeerHello(Message, frozen=True, tag="hello"):
    """First frame both ways. The major must be equal (glunix.msg.base.MAJOR)."""

    major: VersionField
    minor: VersionField
    node: NameField
    boot: Annotated[str, Meta(max_length=64)]


class CloseStream(Message, frozen=True, tag="close"):
    """The stream ends. From home: kill what still runs. From the node: everything was reported."""

    stream: U32
    text: TextField = ""


Moving = MoveOrder | MoveSaid | MovePiece | MoveTaken
PeerToPeer = PeerHello | CloseStream | Moving | BarrierMessage
peer_to_peer = Decoder(PeerToPeer, "daemon to daemon")
