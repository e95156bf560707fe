"""How a daemon reaches its master and others: by Unix sockets or by TLS, behind one contract.

The embedded cluster lies in one state folder and trusts the kernel (mode 0600, SO_PEERCRED); a
cluster of machines trusts certificates. Who dials and what is said does not depend on it.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glunix import config
from glunix.addresses import Address, join_address, split_address
from glunix.comm.link import Link
from glunix.comm.logline import Sparse
from glunix.comm.loop import Loop
from glunix.comm.sockets import listening_socket, peer_owner
from glunix.comm.tls import TlsListener, listening_tcp
from glunix.errors import GlunixError
from glunix.settings import DAEMON_PORT, MASTER_PORT, DaemonSection
from glunix.trust.peer import Peer

if TYPE_CHECKING:  # cryptography takes 40 ms, and an embedded cluster needs none
    from glunix.trust.member import Member

Log = Callable[[str], None]
Dialled = Callable[[str], None]
"""Called with "" when the link is up, else with the reason why it cannot be."""

Accepted = Callable[[Peer | None], Link]
"""Who dialled (None: a process of the cluster's own user); GlunixError refuses."""


class Network(Protocol):
    """What a daemon asks of its network."""

    def advertised(self, uplink: Link | None) -> str:
        """Where others dial this daemon, for the hello on `uplink`."""

    def dial_master(self, link: Link, done: Dialled) -> None:
        """Connect a link to the master."""

    def dial(self, node: str, address: str, link: Link, done: Dialled) -> None:
        """Connect a link to the daemon of `node`."""

    def listen(self, accepted: Accepted) -> None:
        """Take links of other daemons."""


class UnixNetwork:
    """All daemons in one state folder."""

    def __init__(self, loop: Loop, folder: Path, node: str, log: Log) -> None:
        self._loop = loop
        self._folder = folder
        self._node = node
        self._log = log

    def advertised(self, uplink: Link | None) -> str:
        """The node's name: its socket lies in the state folder."""
        return f"unix:{self._node}"

    def dial_master(self, link: Link, done: Dialled) -> None:
        """To master.sock."""
        self._loop.dial(config.master_socket(self._folder), link, done)

    def dial(self, node: str, address: str, link: Link, done: Dialled) -> None:
        """To the socket that the address names."""
        kind, _, name = address.partition(":")
        if kind != "unix":
            done(f"cannot dial {address}")
            return
        self._loop.dial(config.peer_socket(self._folder, name), link, done)

    def listen(self, accepted: Accepted) -> None:
        """Only processes of the cluster's own user, or root, are heard."""
        uid = os.geteuid()
        sock = listening_socket(config.peer_socket(self._folder, self._node), 0o600)

        def taken(connection: socket.socket) -> Link | None:
            _, owner = peer_owner(connection)
            if owner.uid not in (0, uid):
                self._log(f"refused a peer of uid {owner.uid}")
                return None
            return accepted(None)

        self._loop.listen(sock, taken)


class TlsNetwork:
    """Daemons on machines of their own."""

    def __init__(
        self, loop: Loop, member: "Member", master: str, conf: DaemonSection, log: Log
    ) -> None:
        self._loop = loop
        self._member = member
        self._master = split_address(master, MASTER_PORT)
        self._conf = conf
        self._log = log
        self._sock: socket.socket | None = None
        self._listener: TlsListener | None = None

    def bind(self) -> None:
        """Take the port, or say (GlunixError) why it cannot be had, before anything else starts."""
        self._sock = listening_tcp(split_address(self._conf.listen, DAEMON_PORT))

    def advertised(self, uplink: Link | None) -> str:
        """`tcp:HOST:PORT`: what the settings say, else our end of the link to the master."""
        if self._conf.advertise:
            return "tcp:" + join_address(split_address(self._conf.advertise, DAEMON_PORT))
        host, port = split_address(self._conf.listen, DAEMON_PORT)
        if host in ("0.0.0.0", "::") and uplink is not None:
            host = uplink.own_host or host
        return "tcp:" + join_address((host, port))

    def dial_master(self, link: Link, done: Dialled) -> None:
        """To the master's port; whoever answers must have the master's tag."""
        self._dial(self._master, self._member.is_master, link, done)

    def dial(self, node: str, address: str, link: Link, done: Dialled) -> None:
        """To where the master says that the node is; whoever answers must have its tag."""
        kind, _, where = address.partition(":")
        try:
            if kind != "tcp":
                raise GlunixError(f"cannot dial {address}")
            target = split_address(where, DAEMON_PORT)
        except GlunixError as error:
            done(str(error))
            return

        def check(der: bytes) -> None:
            link.serial = self._member.is_node(der, node)

        self._dial(target, check, link, done)

    def _dial(
        self, target: Address, check: Callable[[bytes], object], link: Link, done: Dialled
    ) -> None:
        silence = self._conf.lost_after
        self._loop.dial_tls(target, self._member.dialling, check, link, silence, done)

    def listen(self, accepted: Accepted) -> None:
        """Only members that are not revoked get in."""

        def admit(der: bytes, host: str) -> Link:
            peer = self._member.peer(der)
            link = accepted(peer)
            link.serial = peer.serial
            return link

        told = Sparse(self._log)

        def refused(host: str, why: str) -> None:
            told(host, f"refused {host}: {why}")

        assert self._sock is not None
        self._listener = self._loop.listen_tls(
            self._sock, lambda: self._member.listening, admit, refused, self._conf.lost_after
        )
