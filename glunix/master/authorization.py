"""What a certified daemon may say: its messages, checked and with the cluster's uids, or refused.

The node's name comes from its certificate. Who a user is, is decided here (glunix.users): behind
it the master's books hold one uid for each user, whatever his uid is on a node.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from glunix.errors import FrameError, Refused
from glunix.ids import Why
from glunix.msg import master as messages
from glunix.msg.base import Message
from glunix.msg.batch import AskJobAt, EnqueueAt, HoldAt
from glunix.msg.job import JobRow
from glunix.state.master import PROCESSES_EACH
from glunix.trust.peer import Peer
from glunix.users import ROOT, Users

HIDDEN = "(hidden)"
"""In place of a command line that is nobody else's business."""


NOBODY = -1
"""No user's uid: whose table of jobs has no row of his own."""

NOBODY_ELSE = 2**32 - 1
"""No user's uid either, where a field must have one."""

ASKED_MAX = 65536
REPORTED_MAX = 65536
"""Processes and jobs that one hello may report."""


class Vetting:
    """Checks messages of members. Raises Refused (for the asker) or FrameError (ends the link).

    `own` is the master's machine, whose root is root in the cluster; `is_member` and `home_of` (a
    job's home by its NPID; empty: no job) are the books'.
    """

    def __init__(
        self,
        users: Users,
        show_commands: bool,
        processes_each: int,
        own: str,
        is_member: Callable[[str], bool],
        home_of: Callable[[int], str],
    ) -> None:
        self.users = users
        self._own = own
        self._is_member = is_member
        self._home_of = home_of
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
        if isinstance(message, EnqueueAt):
            uid = self.users.may_run(peer.node, self._speaks_for(peer, message.uid))
            return msgspec.structs.replace(message, uid=uid)
        if isinstance(message, HoldAt | AskJobAt):
            uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
            if uid == ROOT and not self._is_root(peer):
                uid = NOBODY_ELSE  # root of another machine sees what everybody sees
            return msgspec.structs.replace(message, uid=uid)
        if isinstance(message, messages.KillRequest):
            uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
            if uid == ROOT and not self._is_root(peer):
                self._own_job(peer, message.npid)
            return msgspec.structs.replace(message, uid=uid)
        if isinstance(message, messages.MoveQuery):
            uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
            return msgspec.structs.replace(message, uid=uid)
        if isinstance(message, messages.JobsQuery):
            return self._table_asked(peer, message)
        return message

    def _is_root(self, peer: Peer) -> bool:
        """Whether root of that machine is root in the cluster, as exports(5) says no_root_squash:
        to signal and to look, as well as to run jobs."""
        return self.users.allow_root or peer.node == self._own

    def _own_job(self, peer: Peer, npid: int) -> None:
        home = self._home_of(npid)
        if home and home != peer.node:
            text = f"job {npid} is of {home}: root of {peer.node} signals jobs of {peer.node} only"
            raise Refused(Why.NOT_YOURS, text)

    def _table_asked(self, peer: Peer, message: messages.JobsQuery) -> Message:
        uid = self.users.canonical(peer.node, self._speaks_for(peer, message.uid))
        sees = uid if uid != ROOT or self._is_root(peer) else NOBODY
        if len(self._asked) >= ASKED_MAX:
            raise Refused(Why.BAD_REQUEST, f"over {ASKED_MAX} tables of jobs are asked for")
        self._asked[peer.node, message.request] = sees
        return msgspec.structs.replace(message, uid=uid)

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
        self._within_shares(peer, hello)
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

    def _within_shares(self, peer: Peer, hello: messages.NodeHello) -> None:
        """FrameError for more than can be true: in the books it would be in everybody's way."""
        if len(hello.running) + len(hello.homes) > REPORTED_MAX:
            raise FrameError(f"{peer.node} reports over {REPORTED_MAX} processes and jobs")
        running = Counter(row.uid for row in hello.running)
        homes: Counter[int] = Counter()
        for row in hello.homes:
            homes[row.uid] += row.degree
        most = self._processes_each
        if peer.uid is None:  # [limits] may have been lowered while jobs ran
            most = max(most, PROCESSES_EACH)
        if max([*running.values(), *homes.values()], default=0) > most:
            raise FrameError(f"{peer.node} reports over {most} processes of one user")
        strange = next((r.home for r in hello.running if not self._is_member(r.home)), None)
        if strange is not None:
            raise FrameError(f"{peer.node} reports a job of {strange[:64]!r}, which is no member")

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
