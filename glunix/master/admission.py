"""The master's door: TLS for members and invited machines, a Unix socket for the owner's tool.

Owns who gets which kind of link, and the changes of trust: invitations, enrolment, renewal,
revocation. What members then say goes to the Master by way of glunix.master.authorization.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from glunix import config
from glunix.addresses import split_address
from glunix.comm.link import Link
from glunix.comm.logline import Sparse, say
from glunix.comm.loop import Loop
from glunix.comm.rate_limit import RateLimit
from glunix.comm.sockets import listening_socket, peer_owner
from glunix.comm.tls import listening_tcp
from glunix.errors import FrameError, GlunixError, Refused
from glunix.ids import CONTROL, StreamId, Why
from glunix.master.authorization import Vetting
from glunix.master.server import MasterConfig, Server
from glunix.msg import master as messages
from glunix.msg import trust
from glunix.msg.base import MAJOR, Body, Message
from glunix.msg.batch import AskJobAt, EnqueueAt, HoldAt
from glunix.settings import MASTER_PORT, MasterSection, Settings, read_users
from glunix.state.events import clip
from glunix.trust import certs
from glunix.trust.authority import Authority
from glunix.trust.files import TrustFiles
from glunix.trust.member import server_context
from glunix.trust.peer import NotTrusted, Peer
from glunix.users import Users

DAY = 86400.0
JOIN_TIMEOUT = 30.0
"""Seconds that an invited machine has to ask for its certificate."""

JOINS_MAX = 64
"""Machines that may be joining at the same time."""

LOOK = 60.0
"""Seconds between looks for invitations that expired and our own certificate (sooner when
certificates live less than ten minutes)."""

REFUSALS_LOGGED = 10
"""Refused connections that the log tells each LOOK; the rest is a number."""

COSTS: dict[type[Message], float] = {
    messages.Place: 1.0,
    messages.KillRequest: 1.0,
    messages.NodesQuery: 1.0,
    messages.JobsQuery: 4.0,
    EnqueueAt: 1.0,
    HoldAt: 1.0,
    AskJobAt: 1.0,
    messages.Renew: 500.0,
}
"""Requests that a message of the daemon of one user counts as; a report is REPORT of one."""

ROWS = 50
"""Processes in a table of jobs that count as one more request."""

REPORT = 0.1


def admin_socket(folder: Path) -> Path:
    """Where `glunix invite` and `revoke` reach the master."""
    return config.private(folder) / "admin.sock"


class CertifiedDoor:
    """See glunix.master.server.Door."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        section: MasterSection,
        folder: Path,
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._section = section
        self._files = TrustFiles(config.private(folder))
        self._log = log
        life = section.certificate_days * DAY
        self._authority = Authority(self._files, life)
        self._pause = min(LOOK, life / 10)
        users = settings.users
        table = read_users(users.mapping)
        try:
            self._users = Users(users.allow_root, table, users.refuse_groups)
        except ValueError as error:
            raise GlunixError(f"{users.mapping}: {error}") from None
        self._vetting = Vetting(
            self._users,
            users.show_commands,
            settings.limits.processes,
            settings.daemon.node,
            self._authority.is_member,
            lambda npid: self._server.home_of(npid) if self._server is not None else "",
        )
        self._told = Sparse(log)
        self._rate_limit = RateLimit(loop, settings.limits.requests)
        self._refusals = 0
        self._joins = 0
        self._server: Server | None = None
        self._admin = admin_socket(folder)
        self._sock = listening_tcp(split_address(section.listen, MASTER_PORT))

    def open(self, server: Server) -> None:
        """Listen for members, invited machines and the owner."""
        self._server = server
        self._authority.own_listener(time.time())
        self._new_context()
        self._loop.listen_tls(
            self._sock, lambda: self._context, self._admit, self._refused, self._section.lost_after
        )
        self._loop.listen(listening_socket(self._admin, 0o600), self._owner)
        self._loop.call_later(self._pause, self._look)

    def _new_context(self) -> None:
        files = self._files
        trusted = self._authority.trusted()
        self._context = server_context(files.master_cert, files.master_key, trusted)

    def _look(self) -> None:
        """Every minute: what time has ended."""
        if self._refusals > REFUSALS_LOGGED:
            self._log(f"refused {self._refusals} connections in {self._pause:.0f} s")
        self._refusals = 0
        try:
            self._authority.forget_expired(time.time())
            self._authority.own_listener(time.time())
            self._new_context()
        except GlunixError as error:  # a full disk: tried again in a minute
            self._log(str(error))
        self._loop.call_later(self._pause, self._look)

    def _refused(self, host: str, why: str) -> None:
        self._refusals += 1
        if self._refusals <= REFUSALS_LOGGED:
            self._log(f"refused {host}: {why}")

    def _admit(self, der: bytes, host: str) -> Link:
        assert self._server is not None
        if self._authority.invite_of(der, time.time()) is not None:
            return self._joining(der, host)
        peer = self._authority.peer(der)
        self._rate_limit.connects(peer)
        return self._server.new_link(peer)

    # -- members -----------------------------------------------------------------------------

    def vetted(self, peer: Peer, link: Link, message: Message) -> Message | None:
        """See Door: requests about trust are answered here."""
        assert self._server is not None
        if not self._in_time(peer, link, message):
            return None
        if isinstance(message, messages.Leave):
            self._revoke(peer.node, link)
            link.send(CONTROL, messages.Goodbye("left the cluster"))
            link.close("left the cluster")
            return None
        if isinstance(message, messages.Renew):
            try:
                papers = self._authority.renew(peer, message.request, time.time())
            except GlunixError as error:
                text = f"the certificate of {peer.node} was not renewed: {error}"
                self._told(str(peer.node), text)
                return None
            link.send(CONTROL, messages.Renewed(papers.node_cert, papers.listen_cert))
            self._log(f"renewed the certificate of {peer.node}")
            return None
        try:
            return self._vetting.vet(peer, message, self._server.connected())
        except Refused as refusal:
            self._refuse(peer, link, message, refusal)
            return None

    def _refuse(self, peer: Peer, link: Link, message: Message, refusal: Refused) -> None:
        self._told(str(peer.node), f"refused a request of {peer.node}: {refusal}")
        number = getattr(message, "request", 0)
        link.send(CONTROL, messages.RequestRefused(number, refusal.why, clip(str(refusal))))

    def _in_time(self, peer: Peer, link: Link, message: Message) -> bool:
        """Count what the daemon of one user says; False: it was refused, being too much at once."""
        assert self._server is not None
        cost = COSTS.get(type(message), REPORT)
        if isinstance(message, messages.JobsQuery):
            cost += self._server.processes() / ROWS
        if self._rate_limit.in_time(peer, link, cost):
            return True
        if isinstance(message, messages.Renew):
            self._told(str(peer.node), f"{peer.node} asks for certificates too often")
            return False
        if type(message) not in COSTS:
            return True
        rate = self._settings.limits.requests
        text = f"{peer.node} asks too often: over {rate} requests a second ([limits] requests)"
        self._refuse(peer, link, message, Refused(Why.BAD_REQUEST, text))
        return False

    def answered(self, peer: Peer, message: Message) -> Message:
        """See Door."""
        return self._vetting.answer(peer, message)

    def gone(self, peer: Peer) -> None:
        """See Door."""
        self._vetting.forget(peer)

    def refused(self, peer: Peer, text: str) -> None:
        """See Door."""
        self._told(str(peer.node), f"refused a request of {peer.node}: {text}")

    def news(self) -> list[Message]:
        """See Door."""
        table = {user: dict(row) for user, row in self._users.table.items()}
        policy = messages.UserPolicy(
            self._users.allow_root, table, list(self._users.refuse_groups), announces_all=True
        )
        return [self._trust_news(), policy]

    def _trust_news(self) -> messages.TrustNews:
        revoked = self._authority.revocations()
        serials = sorted(revoked.serials)[: messages.SERIALS_MAX]  # all are covered by `before`
        return messages.TrustNews(serials, dict(revoked.before))

    def _revoke(self, name: str, leaving: Link | None = None) -> None:
        assert self._server is not None
        node = self._authority.revoke(name, time.time())
        self._log(f"revoked the certificates of {node}")
        self._server.cut(node, "its certificate is revoked", leaving)
        self._server.broadcast(self._trust_news())
        self._new_context()  # an invitation for that name is no way in any more

    # -- invited machines --------------------------------------------------------------------

    def _joining(self, der: bytes, host: str) -> Link:
        def frame(link: Link, stream: StreamId, body: Body) -> None:
            if stream != CONTROL:
                raise FrameError("an invited machine opens no streams")
            self._enrol(der, host, link, trust.joiner_to_master.decode(body))

        def closed(link: Link, reason: str) -> None:
            self._joins -= 1

        if self._joins >= JOINS_MAX:
            raise NotTrusted(f"{JOINS_MAX} machines are joining already")
        self._joins += 1
        link = Link(frame, closed, host)
        ca = certs.cert_pem(self._authority.ca)
        name = self._settings.cluster.name
        link.send(CONTROL, trust.Offer(MAJOR, name, ca, time.time()))
        self._loop.call_later(JOIN_TIMEOUT, link.close, "took too long to join")
        return link

    def _enrol(self, der: bytes, host: str, link: Link, ask: trust.Enrol) -> None:
        try:
            papers = self._authority.enrol(der, ask.request, ask.node, ask.uid, time.time())
            self._new_context()  # this invitation is no way in any more
        except GlunixError as error:
            self._log(f"{host} may not join as {ask.node!r}: {error}")
            link.send(CONTROL, trust.JoinRefused(clip(str(error))))
        else:
            self._log(f"{host} joined as {papers.node}")
            section = self._section
            link.send(
                CONTROL,
                trust.Enrolled(
                    papers.node_cert,
                    papers.listen_cert,
                    self._authority.names_key,
                    section.heartbeat,
                    section.lost_after,
                ),
            )
        link.close("joined")

    # -- the owner ---------------------------------------------------------------------------

    def _owner(self, connection: socket.socket) -> Link | None:
        _, owner = peer_owner(connection)
        return Link(self._asked, lambda link, reason: None, f"uid {owner.uid}", answers=True)

    def _asked(self, link: Link, stream: StreamId, body: Body) -> None:
        if stream != CONTROL:
            raise FrameError("a tool opens no streams")
        message = trust.admin_to_master.decode(body)
        try:
            link.send(CONTROL, self._answer(message))
        except GlunixError as error:
            link.send(CONTROL, trust.AdminRefused(error.why or Why.INTERNAL, clip(str(error))))

    def _answer(self, message: Message) -> Message:
        assert self._server is not None
        if isinstance(message, trust.InviteAsked):
            token = self._authority.invite(time.time(), message.seconds, message.node, message.uid)
            self._new_context()
            return trust.Invited(token.text)
        if isinstance(message, trust.RevokeAsked):
            self._revoke(message.node)
            return trust.Done(self._still_open())
        here = {peer.node for peer in self._server.connected()}
        rows = [
            trust.MemberRow(m.name, m.since, m.until, m.uid, m.name in here)
            for m in self._authority.members()
        ]
        return trust.Members(rows)

    def _still_open(self) -> str:
        """A machine that was revoked may have another invitation."""
        self._authority.forget_expired(time.time())
        count = self._authority.invitations()
        verb = "invitation is" if count == 1 else "invitations are"
        return f"{count} {verb} still open, which any machine may use" if count else ""


def serve(folder: Path, state: Path, settings: Settings, ready: Callable[[], None]) -> int:
    """Serve a cluster of machines until told to stop. `folder` holds keys, `state` the journal."""
    section = settings.master
    if section is None:
        raise GlunixError("this machine has no master: glunix.toml has no [master]")
    loop = Loop()
    door = CertifiedDoor(loop, settings, section, folder, say)
    conf = MasterConfig(
        state,
        settings.cluster.name,
        section.heartbeat,
        section.lost_after,
        settings.limits,
        settings.batch,
    )
    return loop.run(Server(loop, conf, ready, door).start)
