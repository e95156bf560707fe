"""The talks of short-lived tools: an invited machine with the master, a member that leaves, the
owner with his master. Blocking sockets with deadlines; one question at a time.
"""

import contextlib
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from glunix import config
from glunix.addresses import Address, join_address
from glunix.comm.sockets import reachable
from glunix.errors import FrameError, GlunixError, NotRunning, Refused
from glunix.ids import CONTROL, Why
from glunix.msg import master as master_messages
from glunix.msg import trust as messages
from glunix.msg.base import MAJOR, Decoder, Message, encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.trust import certs
from glunix.trust.files import TrustFiles
from glunix.trust.member import Member, joining_context, same_ca
from glunix.trust.peer import NotTrusted
from glunix.trust.tokens import Token

TIMEOUT = 15.0
CLOCK_NOTE = 30.0
"""Seconds that clocks may differ before it is worth a word."""

T = TypeVar("T", bound=Message)


class Talk:
    """Frames over a blocking socket."""

    def __init__(self, sock: socket.socket, where: str, decoder: Decoder) -> None:
        self._sock = sock
        self._where = where
        self._decoder = decoder
        self._deframer = Deframer()
        self._got: list[Message] = []

    def send(self, message: Message) -> None:
        """Send on the control stream."""
        try:
            self._sock.sendall(encode_frame(CONTROL, encode(message)))
        except OSError as error:
            raise NotRunning(f"lost {self._where}: {_why(error)}") from None

    def receive(self) -> Message:
        """The next message; NotRunning when the other side closes or says nothing for long."""
        while not self._got:
            try:
                data = self._sock.recv(65536)
            except OSError as error:
                raise NotRunning(f"{self._where} does not answer: {_why(error)}") from None
            if not data:
                raise NotRunning(f"{self._where} closed the connection")
            for stream, body in self._deframer.feed(data):
                if stream != CONTROL:
                    raise FrameError(f"{self._where} opened a stream")
                message: Message = self._decoder.decode(body)
                self._got.append(message)
        return self._got.pop(0)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}".lower().replace("_", " ")
    return error.strerror or str(error)


@contextlib.contextmanager
def _no_sigpipe() -> Iterator[None]:
    """A tool dies of SIGPIPE as a filter does, but not because a master hangs up."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def _connected(address: Address, context: ssl.SSLContext) -> ssl.SSLSocket:
    where = join_address(address)
    try:
        sock = socket.create_connection(address, TIMEOUT)
    except OSError as error:
        raise NotRunning(f"cannot reach {where}: {_why(error)}") from None
    try:
        return context.wrap_socket(sock)
    except OSError as error:
        sock.close()
        raise NotRunning(f"cannot reach {where}: {_why(error)}") from None


# -- an invited machine ----------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a machine learnt by joining. `clock`: seconds that ours is behind the master's."""

    cluster: str
    ca: bytes
    clock: float
    enrolled: messages.Enrolled


def join(address: Address, token: Token, name: str, uid: int | None, request: bytes) -> Found:
    """Use an invitation. Nothing of us is sent before the master has proved to be the token's."""
    where = join_address(address)
    with _no_sigpipe(), _connected(address, joining_context(token.cert, token.key)) as sock:
        talk = Talk(sock, where, messages.master_to_joiner)
        try:
            offer = talk.receive()
        except NotRunning as error:
            text = f"{error}: is the invitation used, expired, or for another master?"
            raise NotRunning(text) from None
        if not isinstance(offer, messages.Offer):
            raise FrameError(f"{where} does not speak as a master does")
        ca = same_ca(offer.ca, token.ca_fingerprint)
        shown = sock.getpeercert(binary_form=True)
        certs.read_issued(shown or b"", ca)
        if offer.major != MAJOR:
            raise FrameError(f"the master speaks protocol {offer.major}, this is {MAJOR}")
        clock = offer.time - time.time()
        talk.send(messages.Enrol(request, name, uid))
        answer = talk.receive()
    if isinstance(answer, messages.JoinRefused):
        raise Refused(Why.NOT_YOURS, answer.text)
    if not isinstance(answer, messages.Enrolled):
        raise FrameError(f"{where} does not speak as a master does")
    _check_clock(certs.load_cert(answer.node_cert), clock)
    return Found(offer.cluster, offer.ca, clock, answer)


def _check_clock(cert: x509.Certificate, clock: float) -> None:
    if certs.begins(cert) > time.time() or certs.ends(cert) < time.time():
        which = "behind" if clock > 0 else "ahead of"
        text = f"this machine's clock is {abs(clock):.0f} s {which} the master's: set it"
        raise NotTrusted(f"the new certificate is not valid now; {text}, revoke and join again")


# -- a member that leaves --------------------------------------------------------------------


def leave(files: TrustFiles, address: Address) -> None:
    """Have this machine's certificates revoked."""
    member = Member(files)
    with _no_sigpipe(), _connected(address, member.dialling) as sock:
        member.is_master(sock.getpeercert(binary_form=True) or b"")
        talk = Talk(sock, "the master", master_messages.master_to_daemon)
        talk.send(master_messages.Leave())
        answer = talk.receive()
    if not isinstance(answer, master_messages.Goodbye):
        raise FrameError("the master did not say goodbye")


# -- the owner -------------------------------------------------------------------------------


class Admin:
    """The master's Unix socket, which only its own user and root can reach."""

    def __init__(self, folder: Path) -> None:
        self._path = config.private(folder) / "admin.sock"

    def ask(self, question: Message, wanted: type[T]) -> T:
        """Ask one question; Refused is the master's no."""
        with _no_sigpipe(), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            try:
                with reachable(self._path) as name:
                    sock.connect(name)
            except PermissionError:
                text = "only the cluster's own user and root may ask the master for that"
                raise Refused(Why.NOT_YOURS, text) from None
            except OSError as error:
                text = f"the master does not run here ({_why(error)}): glunix up"
                raise NotRunning(text) from None
            talk = Talk(sock, "the master", messages.master_to_admin)
            talk.send(question)
            answer = talk.receive()
        if isinstance(answer, messages.AdminRefused):
            raise Refused(answer.why, answer.text)
        if not isinstance(answer, wanted):
            raise GlunixError("the master answered something else")
        return answer
