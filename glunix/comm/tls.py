"""TLS over TCP: listen, dial, and ask who is there before a byte of ours goes out.

A connection first belongs to a `_Gate`, which hears of the finished handshake, shows the peer's
certificate to its owner, and hands the transport to a Link, or ends it. Handshakes have a deadline
and are bounded, in all and for each address; whoever is refused gets no byte but those of TLS.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from glunix.addresses import Address, join_address
from glunix.comm.link import Link
from glunix.comm.sockets import ACCEPT_PAUSE, waiting_connections
from glunix.errors import GlunixError, NotRunning

HANDSHAKE_TIMEOUT = 5.0
"""Seconds from a connection to the end of its handshake; on slow links it takes three times the
delay there and back."""

DIAL_TIMEOUT = 10.0
HALF_OPEN_MAX = 256
"""Handshakes under way; one more ends the oldest of them."""

HALF_OPEN_EACH = 32
"""Handshakes under way from one address; one more is not taken."""

ACCEPT_TURN = 16
"""Connections taken in one turn of the loop: a handshake costs a millisecond, and the heartbeat of
others must not wait for a thousand."""

SHUTDOWN_TIMEOUT = 3.0

Admit = Callable[[bytes, str], Link]
"""(certificate in DER, host of the peer) -> the Link that goes on; GlunixError refuses."""


def listening_tcp(address: Address) -> socket.socket:
    """Bind and listen; NotRunning's sibling GlunixError names the address when that fails."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, where = found[0]
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
    except OSError as error:
        raise GlunixError(f"cannot listen on {join_address(address)}: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(where)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise GlunixError(f"cannot listen on {join_address(address)}: {error.strerror}") from None
    return sock


def watch_silence(sock: socket.socket, seconds: float) -> None:
    """Have the kernel end a connection whose other side acknowledges nothing for so long (tcp(7)).

    TCP_USER_TIMEOUT covers what was sent, keepalive an idle link: packets can be dropped without a
    word, and TCP's own patience is a quarter of an hour.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
    step = max(1, int(seconds / 5))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, step)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, step)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}".lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionError | OSError) and getattr(error, "strerror", None):
        return str(error.strerror)
    return str(error) or type(error).__name__


class _Gate(asyncio.Protocol):
    """Between the handshake and the Link: who is there?"""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self.refusal = ""
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        host = (transport.get_extra_info("peername") or ("",))[0]
        try:
            if not der:
                raise GlunixError("no certificate")
            link = self._admit(der, str(host))
        except GlunixError as error:
            self.refusal = str(error)
            transport.abort()
            return
        transport.set_protocol(link)
        link.connection_made(transport)


class TlsListener:
    """Accepts TLS connections on a listening TCP socket.

    `context` is asked for each connection, so that a renewed certificate counts at once. `refused`
    hears (host, why) of each that did not get in.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: Callable[[], ssl.SSLContext],
        admit: Admit,
        refused: Callable[[str, str], None],
        silence: float,
    ) -> None:
        self._sock = sock
        self._context = context
        self._admit = admit
        self._refused = refused
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._half_open: dict[asyncio.Task[None], str] = {}
        """Handshakes under way, the oldest first, and where each comes from."""
        self._each: Counter[str] = Counter()
        self._again: asyncio.TimerHandle | None = None
        self._listen()

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._half_open)

    def _listen(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for sock, where in waiting_connections(self._sock, ACCEPT_TURN, self._pause):
            host = str(where[0])
            if self._each[host] >= HALF_OPEN_EACH:
                sock.close()
                continue
            self._begin(sock, host)

    def _begin(self, sock: socket.socket, host: str) -> None:
        sock.setblocking(False)
        task = self._loop.create_task(self._handshake(sock, host))
        self._half_open[task] = host
        self._each[host] += 1
        task.add_done_callback(self._done)
        if len(self._half_open) > HALF_OPEN_MAX:
            next(iter(self._half_open)).cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        host = self._half_open.pop(task)
        self._each[host] -= 1
        if not self._each[host]:
            del self._each[host]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "in a handshake", "exception": error})

    async def _handshake(self, sock: socket.socket, host: str) -> None:
        gate = _Gate(self._admit)
        why = ""
        try:
            watch_silence(sock, self._silence)
            await self._loop.connect_accepted_socket(
                lambda: gate,
                sock,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except asyncio.CancelledError:
            sock.close()
            raise
        except (OSError, ssl.SSLError) as error:
            why = _why(error)
            sock.close()
        if gate.refusal or why:
            self._refused(host, gate.refusal or why)

    def _pause(self) -> None:
        """No descriptor for one more: the oldest handshakes go, the others wait in the queue."""
        for task in list(self._half_open):
            task.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(ACCEPT_PAUSE, self._listen)

    def close(self) -> None:
        """Stop accepting; handshakes under way end."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for task in list(self._half_open):
            task.cancel()


async def dial_tls(
    address: Address,
    context: ssl.SSLContext,
    check: Callable[[bytes], object],
    link: Link,
    silence: float,
) -> None:
    """Connect `link`; NotRunning (one line) when nobody answers in time, or not who should.

    `check` raises GlunixError unless the certificate (DER) is the right one; nothing was sent then.
    TLS 1.3 tells us that we are refused only after this: the link then closes at once.
    """
    loop = asyncio.get_running_loop()

    def admit(der: bytes, host: str) -> Link:
        check(der)
        return link

    gate = _Gate(admit)
    where = join_address(address)
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            transport, _ = await loop.create_connection(
                lambda: gate,
                *address,
                ssl=context,
                server_hostname="",
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
    except (OSError, ssl.SSLError, TimeoutError) as error:
        raise NotRunning(f"cannot reach {where}: {_why(error)}") from None
    if gate.refusal:
        raise NotRunning(f"cannot reach {where}: {gate.refusal}")
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it may be closed again
        watch_silence(sock, silence)
