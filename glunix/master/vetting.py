"""What a certified daemon may say: its messages, checked and with the cluster's uids, or refused.

The node's name comes from its certificate. Who a user is, is decided here (glunix.users): behind
it the master's books hold one uid for each user, whatever his uid is on a node.
"""

from collections.abc import Iterable

import msgspec

from glunix.errors import FrameError, Refused
from glunix.ids import Why
from glunix.msg import master as messages
from glunix.msg.base import Message
from glunix.msg.job import JobRow
from glunix.trust.peer import Peer
from glunix.users import ROOT, Users

HIDDEN = "(hidden)"
"""In place of a command line that is nobody else's business."""


class Vetting:
    """Checks messages of members. Raises Refused (for the asker) or FrameError (ends the link)."""

    def __init__(self, users: Users, show_commands: bool, processes_each: int) -> None:
        self.users = users
        self._processes_each = processes_each
        self._show_commands = show_commands
        self._asked: dict[tuple[str, int], int] = {}
        """(node, request) -> uid of who asked for a table of jobs."""

    def vet(self, peer: Peer, message: Message, connected: Iterable[Peer]) -> Message:
        """The message as the books may hear it."""
        if isinstance(message, messages.NodeHello):
            return self._hello(peer, message)
        if isinstance(message, messages.Place):
            uid = self.users.may_run(peer.node, self._speaks_for(peer, message.uid))
            # A daemon of an ordinary user runs nobody else's jobs.
            not_his = [other.node for other in connected if not self._serves(other, uid)]
            exclude = [*message.exclude, *(n for n in not_his if n not in message.exclude)]
            return msgspec.structs.replace(message, uid=uid, exclude=exclude)
        if isinstance(message, messages.KillRequest):
            uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
            return msgspec.structs.replace(message, uid=uid)
        if isinstance(message, messages.JobsQuery):
            uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
            self._asked[peer.node, message.request] = uid
            return msgspec.structs.replace(message, uid=uid)
        return message

    def _serves(self, peer: Peer, uid: int) -> bool:
        try:
            return peer.uid is None or self.users.canonical(peer.node, peer.uid) == uid
        except Refused:
            return False

    def _speaks_for(self, peer: Peer, uid: int) -> int:
        if peer.uid is not None and uid != peer.uid:
            text = f"the daemon of {peer.node} serves uid {peer.uid} only, not {uid}"
            raise Refused(Why.NOT_YOURS, text)
        return uid

    def _hello(self, peer: Peer, hello: messages.NodeHello) -> messages.NodeHello:
        if hello.node != peer.node:
            raise FrameError(f"the certificate of {peer.node} says {hello.node[:64]!r}")
        if not hello.address.startswith("tcp:"):
            raise FrameError(f"an address that nobody can dial: {hello.address!r}")
        if peer.uid is not None:
            most = self._processes_each
            if max(len(hello.running), sum(row.degree for row in hello.homes)) > most:
                raise FrameError(f"{peer.node} reports over {most} processes of one user")
        try:
            running = [
                msgspec.structs.replace(row, uid=self._reported(peer, row.uid))
                for row in hello.running
            ]
            homes = [
                msgspec.structs.replace(row, uid=self._reported(peer, row.uid))
                for row in hello.homes
            ]
        except Refused as refusal:
            raise FrameError(f"{peer.node} reports a job: {refusal}") from None
        return msgspec.structs.replace(hello, running=running, homes=homes)

    def _reported(self, peer: Peer, uid: int) -> int:
        return self.users.canonical(peer.node, self._speaks_for(peer, uid))

    def answer(self, peer: Peer, message: Message) -> Message:
        """What the asker may see of an answer."""
        if not isinstance(message, messages.JobsTable):
            return message
        uid = self._asked.pop((peer.node, message.request), None)
        if self._show_commands or uid == ROOT:
            return message
        rows = [row if row.uid == uid else _veiled(row) for row in message.rows]
        return msgspec.structs.replace(message, rows=rows)

    def forget(self, peer: Peer) -> None:
        """Its link is down: what it asked is answered to nobody."""
        for key in [key for key in self._asked if key[0] == peer.node]:
            del self._asked[key]


def _veiled(row: JobRow) -> JobRow:
    return msgspec.structs.replace(row, command=HIDDEN, reason="")
