"""The TLS port by itself: who gets in, what a stranger sees, what it costs us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from glunix.addresses import Address, join_address, split_address
from glunix.comm import tls
from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.errors import GlunixError
from glunix.ids import StreamId
from glunix.msg.base import Body
from glunix.trust import certs
from glunix.trust.authority import Authority, new_cluster
from glunix.trust.files import TrustFiles, write_private
from glunix.trust.member import Member, joining_context, server_context
from glunix.trust.revocation import Revocations

DEADLINE = 20.0
LIFE = 90 * 86400.0
HI = b"\x92\x00\xc4\x02hi"
SECRET = b"welcome, member"


class Cluster:
    """A CA with a listening node `home` and members on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = new_cluster(self._place("ca"), LIFE, time.time(), b"n" * 32)
        self.home = self.member("home")

    def _place(self, name: str) -> TrustFiles:
        private = self.folder / name
        private.mkdir(mode=0o700, parents=True)
        return TrustFiles(private)

    def member(self, name: str, now: float | None = None, life: float = LIFE) -> Member:
        place = self._place(name)
        key = certs.new_key()
        books = Authority(TrustFiles(self.folder / "ca"), life)
        papers = books.admit(certs.new_request(key), name, time.time() if now is None else now)
        for path, data in (
            (place.node_key, certs.key_pem(key)),
            (place.node_cert, papers.node_cert),
            (place.listen_cert, papers.listen_cert),
            (place.ca_cert, certs.cert_pem(books.ca)),
            (place.names_key, books.names_key),
        ):
            write_private(path, data)
        return Member(place)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "one")


class Served:
    """A listener that greets members by SECRET and echoes, for as long as `talk` takes."""

    def __init__(self, home: Member, context: ssl.SSLContext | None = None) -> None:
        self.home = home
        self.context = context
        self.refused: list[str] = []
        self.lost: list[str] = []
        self.got: list[bytes] = []
        self.listener: tls.TlsListener

    @property
    def address(self) -> Address:
        return self.listener.address

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        self.got.append(bytes(body))
        link.relay(stream, bytes(body))

    def _admit(self, der: bytes, host: str) -> Link:
        self.home.peer(der)
        link = Link(self._frame, lambda link, why: self.lost.append(why))
        link.relay(StreamId(0), SECRET)
        return link

    def run(self, talk: Callable[[Served], Awaitable[None]]) -> None:
        loop = Loop()
        failed: list[BaseException] = []

        def start() -> None:
            sock = tls.listening_tcp(("127.0.0.1", 0))
            self.listener = loop.listen_tls(
                sock,
                lambda: self.context or self.home.listening,
                self._admit,
                lambda host, why: self.refused.append(why),
                20.0,
            )

            async def work() -> None:
                async with asyncio.timeout(DEADLINE):
                    await talk(self)

            def done(task: asyncio.Future[None]) -> None:
                if task.exception() is not None:
                    failed.append(task.exception())  # type: ignore[arg-type]
                self.listener.close()
                loop.stop()

            asyncio.ensure_future(work()).add_done_callback(done)

        status = loop.run(start)
        for error in failed:
            raise error
        assert status == 0


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def plain_talk(address: Address, data: bytes) -> bytes:
    """All that a stranger hears who sends `data` over bare TCP."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def tls_talk(address: Address, context: ssl.SSLContext) -> bytes:
    """All application data that somebody hears who finishes the handshake on his side."""
    try:
        reader, writer = await asyncio.open_connection(
            *address, ssl=context, server_hostname="", ssl_shutdown_timeout=1
        )
    except (OSError, ssl.SSLError):
        return b""
    try:
        writer.write(HI)
        return await reader.read(100)
    except (OSError, ssl.SSLError):
        return b""
    finally:
        writer.transport.abort()


async def wire_talk(address: Address, context: ssl.SSLContext) -> tuple[bytes, bytes]:
    """(bytes on the wire before, and after, our side of the handshake was done)."""
    reader, writer = await asyncio.open_connection(*address)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls_side = context.wrap_bio(incoming, outgoing)
    before = after = b""
    done = False
    try:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
                if not done:
                    tls_side.do_handshake()
                    done = True
                    tls_side.write(HI)
            writer.write(outgoing.read())
            piece = await reader.read(65536)
            if not piece:
                return before, after
            incoming.write(piece)
            if done:
                after += piece
            else:
                before += piece
    except ConnectionError:
        return before, after
    finally:
        writer.transport.abort()


def stranger() -> ssl.SSLContext:
    """Somebody without a certificate, who looks at everything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_member_gets_in(cluster: Cluster) -> None:
    node1 = cluster.member("node1")
    heard: list[bytes] = []

    async def talk(served: Served) -> None:
        link = Link(lambda link, stream, body: heard.append(bytes(body)), lambda link, why: None)
        check = lambda der: node1.is_node(der, "home")  # noqa: E731
        await tls.dial_tls(served.address, node1.dialling, check, link, 20.0)
        link.relay(StreamId(0), b"hi")
        await until(lambda: len(heard) == 2)
        assert link.own_host == "127.0.0.1"
        link.close("done")
        await until(lambda: served.lost)

    Served(cluster.home).run(talk)
    assert heard == [SECRET, b"hi"]


def test_large_frames_both_ways(cluster: Cluster) -> None:
    """Over the transport's buffers: nothing is lost, in order, and memory goes back."""
    node1 = cluster.member("node1")
    heard: list[bytes] = []
    chunks = [bytes([n]) * 256 * 1024 for n in range(40)]

    async def talk(served: Served) -> None:
        link = Link(lambda link, stream, body: heard.append(bytes(body)), lambda link, why: None)
        await tls.dial_tls(served.address, node1.dialling, lambda der: None, link, 20.0)
        for chunk in chunks:
            link.relay(StreamId(0), chunk)
        await until(lambda: len(heard) == len(chunks) + 1)
        link.close("done")
        await until(lambda: served.lost)

    Served(cluster.home).run(talk)
    assert heard == [SECRET, *chunks]


def outsiders(cluster: Cluster, tmp_path: Path) -> dict[str, ssl.SSLContext]:
    """Everybody who must get nothing."""
    other = Cluster(tmp_path / "other")
    node2 = cluster.member("node2")
    cluster.authority = Authority(TrustFiles(cluster.folder / "ca"), LIFE)
    cluster.authority.revoke("node2", time.time())
    cluster.home.now_revoked(cluster.authority.revocations())
    token = cluster.authority.invite(time.time(), 60)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    expired = cluster.member("node3", now=time.time() - 10 * 86400, life=86400.0)
    early = cluster.member("node4", now=time.time() + 2 * certs.SKEW)
    return {
        "no certificate": stranger(),
        "TLS 1.2": old,
        "another cluster": other.member("home2").dialling,
        "revoked": node2.dialling,
        "an invitation": joining_context(token.cert, token.key),
        "expired": expired.dialling,
        "not valid yet: a clock far ahead": early.dialling,
        "a listener's certificate": listener_as_client(cluster),
    }


def listener_as_client(cluster: Cluster) -> ssl.SSLContext:
    context = stranger()
    place = TrustFiles(cluster.folder / "home")
    context.load_cert_chain(place.listen_cert, place.node_key)
    return context


def test_outsiders_get_nothing(cluster: Cluster, tmp_path: Path) -> None:
    served = Served(cluster.home)
    told: dict[str, str] = {}

    async def talk(served: Served) -> None:
        for who, context in outsiders(cluster, tmp_path).items():
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            before = len(served.refused)
            assert await tls_talk(served.address, context) == b"", who
            await until(lambda before=before: len(served.refused) > before)
            told[who] = served.refused[-1]
            first, rest = await wire_talk(served.address, context)
            # The handshake: hello, certificate, finished; with names that nobody can guess. Then
            # an alert at the most: a record of 5 + 2 + 17 bytes (RFC 8446, 5.2 and 6).
            assert len(first) < 1500 and len(rest) <= 24, (who, len(first), len(rest))
            for word in (b"home", b"node", b"lunix", b"luster", SECRET):
                assert word not in (first + rest).lower(), (who, word)
            await until(lambda before=before: len(served.refused) > before + 1)

    served.run(talk)
    assert served.got == [] and len(served.refused) == 2 * len(told)
    assert "revoked" in told["revoked"], told
    assert "expired" in told["expired"], told
    assert "not yet valid" in told["not valid yet: a clock far ahead"], told


def test_bare_tcp_gets_an_alert_at_the_most(cluster: Cluster) -> None:
    served = Served(cluster.home)

    async def talk(served: Served) -> None:
        for data in (b"GET / HTTP/1.1\r\n\r\n", HI, b"", b"\x16\x03\x01\xff\xff", b"\0" * 9999):
            heard = await plain_talk(served.address, data)
            assert len(heard) <= 7 and heard[:1] in (b"", b"\x15"), (data, heard)

    served.run(talk)
    assert served.got == []


def test_what_a_stranger_sees(cluster: Cluster) -> None:
    """The certificate that TLS has to show: no name of a node, of the cluster, of the software."""
    shown: list[bytes] = []

    async def talk(served: Served) -> None:
        context = stranger()
        _, writer = await asyncio.open_connection(*served.address, ssl=context, server_hostname="")
        shown.append(writer.get_extra_info("ssl_object").getpeercert(True))
        writer.transport.abort()

    Served(cluster.home).run(talk)
    for word in (b"home", b"node", b"lunix", b"luster", socket.gethostname().encode()):
        assert word not in shown[0].lower(), word


def test_the_wrong_machine_answers(cluster: Cluster) -> None:
    """Whoever dials hears of it before anything of his has gone out."""
    node1, served = cluster.member("node1"), Served(cluster.home)

    async def talk(served: Served) -> None:
        for name, words in (("node7", "another machine"), ("home", "revoked")):
            if name == "home":
                serial = certs.serial_of(
                    certs.load_cert(TrustFiles(cluster.folder / "home").listen_cert.read_bytes())
                )
                node1.now_revoked(Revocations(frozenset([serial])))
            link = Link(lambda *given: None, lambda *given: None)
            link.relay(StreamId(0), b"private")
            check = lambda der, name=name: node1.is_node(der, name)  # noqa: E731
            with pytest.raises(GlunixError, match=words):
                await tls.dial_tls(served.address, node1.dialling, check, link, 20.0)
        await until(lambda: len(served.lost) + len(served.refused) == 2)

    served.run(talk)
    assert served.got == []


def test_handshakes_have_a_deadline(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_TIMEOUT", 0.2)
    served = Served(cluster.home)

    async def talk(served: Served) -> None:
        reader, writer = await asyncio.open_connection(*served.address)
        assert await reader.read() == b""
        await until(lambda: served.listener.half_open == 0)
        writer.close()

    served.run(talk)
    assert served.refused


def test_half_open_connections_are_bounded(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address cannot take all places; over all of them the oldest goes."""
    monkeypatch.setattr(tls, "HALF_OPEN_EACH", 6)
    monkeypatch.setattr(tls, "HALF_OPEN_MAX", 8)
    node1 = cluster.member("node1")
    served = Served(cluster.home)

    async def talk(served: Served) -> None:
        crowd = [await asyncio.open_connection(*served.address) for _ in range(12)]
        ended = [asyncio.ensure_future(reader.read()) for reader, _ in crowd]
        await until(lambda: sum(task.done() for task in ended) == 6)
        assert served.listener.half_open == 6
        others = [
            await asyncio.open_connection(*served.address, local_addr=("127.0.0.2", 0))
            for _ in range(4)
        ]
        await until(lambda: sum(task.done() for task in ended) == 8)
        assert served.listener.half_open == 8
        heard: list[bytes] = []
        link = Link(lambda link, stream, body: heard.append(bytes(body)), lambda link, why: None)
        for _, writer in others:
            writer.transport.abort()
        for task, (_, writer) in zip(ended, crowd, strict=True):
            if task.done():
                writer.transport.abort()
        await until(lambda: served.listener.half_open <= 4)
        await tls.dial_tls(served.address, node1.dialling, lambda der: None, link, 20.0)
        await until(lambda: heard == [SECRET])
        link.abort("done")
        for _, writer in crowd:
            writer.transport.abort()
        await asyncio.wait(ended)
        await until(lambda: served.lost)

    served.run(talk)


def test_an_invitation_opens_the_masters_port_only_while_it_is_open(cluster: Cluster) -> None:
    """`trusted` is what TLS accepts: with the invitation's certificate, and without it again."""
    place = TrustFiles(cluster.folder / "ca")
    books = Authority(place, LIFE)
    token = books.invite(time.time(), 60)
    served = Served(cluster.home)
    reasons: list[list[str]] = []

    async def talk(served: Served) -> None:
        for _ in range(2):
            served.context = server_context(place.master_cert, place.master_key, books.trusted())
            before = len(served.refused)
            assert await tls_talk(served.address, joining_context(token.cert, token.key)) == b""
            await until(lambda before=before: len(served.refused) > before)
            reasons.append(served.refused[before:])
            books.forget_expired(time.time() + 61)

    served.run(talk)
    # First TLS let it in and the gate asked who it is (no node); then TLS itself refused.
    assert "another cluster" in reasons[0][0] and "another cluster" not in reasons[1][0], reasons


def test_addresses() -> None:
    assert split_address("h", 5) == ("h", 5)
    assert split_address("h:7", 5) == ("h", 7)
    assert split_address("[::1]:7", 5) == ("::1", 7)
    assert split_address("::1", 5) == ("::1", 5)
    assert join_address(("::1", 7)) == "[::1]:7"
    for bad in ("", ":7", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "h:٣"):
        with pytest.raises(GlunixError, match="not an address"):
            split_address(bad, 5)


def test_a_port_in_use() -> None:
    with (
        tls.listening_tcp(("127.0.0.1", 0)) as sock,
        pytest.raises(GlunixError, match=r"cannot listen on 127\.0\.0\.1:"),
    ):
        tls.listening_tcp(("127.0.0.1", sock.getsockname()[1]))
