"""One question, one answer, one connection: what glups, glustat and glukill need.

Owns the way to this node's daemon and the three questions about the cluster. Says nothing about
who the caller is: the daemon learns that from the kernel. Never imports asyncio, and nothing that
only `Client` needs, because the tools start through here.
"""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from glunix import config
from glunix.errors import FrameError, NotRunning, Refused
from glunix.ids import CONTROL, Why
from glunix.msg import client as wire
from glunix.msg.base import Decoder, Message, encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.job import JobRow, NodeRow

ANSWER = 15.0
"""Seconds that a question may take before the daemon counts as not answering."""

_READ = 256 * 1024
MOVE_WITHIN = 300.0
"""Seconds that a move may take: its memory has to travel."""

_R = TypeVar("_R", bound=Message)


def connect(folder: Path | None = None, timeout: float = ANSWER) -> socket.socket:
    """Connect to this node's daemon; NotRunning says where nobody answered.

    Socket paths over 107 bytes (unix(7)) are reached through an opened directory.
    """
    where = config.state_dir() if folder is None else folder
    path = config.client_socket(where)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    link.settimeout(timeout)
    try:
        if len(os.fsencode(path)) <= 107:
            link.connect(str(path))
        else:
            holder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                link.connect(f"/proc/self/fd/{holder}/{path.name}")
            finally:
                os.close(holder)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        link.close()
        raise NotRunning(f"no GLUnix daemon answers in {where} (start one: glunix up)") from None
    except OSError as error:
        link.close()
        raise NotRunning(f"cannot reach the daemon at {path}: {_why(error)}") from None
    return link


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def jobs(
    everything: bool = False, folder: Path | None = None, timeout: float = ANSWER
) -> list[JobRow]:
    """Pdb: the caller's running jobs; with `everything` also ended ones and other users'."""
    return ask(wire.ListJobs(1, everything), wire.Jobs, folder, timeout).rows


def nodes(folder: Path | None = None, timeout: float = ANSWER) -> list[NodeRow]:
    """Ndb: every node the master knows, with its load."""
    return ask(wire.ListNodes(1), wire.Nodes, folder, timeout).rows


def kill(
    npid: int,
    signal: int,
    vnn: int | None = None,
    folder: Path | None = None,
    timeout: float = ANSWER,
) -> int:
    """Send a signal to a job, or to one of its processes (Glib_SendSig).

    Returns how many processes were addressed; signal 0 only asks. Refused with Why.NO_JOB or
    Why.NOT_YOURS when the cluster says no.
    """
    return ask(wire.KillJob(1, npid, vnn, signal), wire.Done, folder, timeout).count


def move(
    npid: int,
    node: str = "",
    vnn: int | None = None,
    explain: bool = False,
    engine: str = "",
    step: Callable[[str], None] | None = None,
    folder: Path | None = None,
    timeout: float = MOVE_WITHIN,
) -> tuple[str, str]:
    """Move a running transparent job to `node` (none: the least loaded other one). Returns the node
    that it is on and, to `explain`, what keeps it there, one reason a line.

    Refused says why it stays. `step` hears how far it is.
    """
    question = wire.MoveJob(1, npid, vnn, node, explain, engine)
    found = ask(question, wire.Moved, folder, timeout, step=step)
    return found.node, found.text


def ask(
    question: Message,
    kind: type[_R],
    folder: Path | None,
    timeout: float,
    decoder: Decoder = wire.daemon_to_client,
    late: bool = False,
    step: Callable[[str], None] | None = None,
) -> _R:
    """One question, one answer of this kind; NotRunning, Refused.

    `late`: no answer within `timeout` seconds is no fault of the daemon's, and a TimeoutError.
    `step` hears how far a move is.
    """
    deadline = time.monotonic() + timeout
    link = connect(folder, timeout)
    with link:
        try:
            link.sendall(encode_frame(CONTROL, encode(question)))
            return _answer(link, kind, deadline, decoder, step)
        except TimeoutError:
            if late:
                raise
            raise NotRunning(f"the daemon did not answer within {timeout:g} s") from None
        except OSError as error:
            raise NotRunning(f"lost the daemon: {_why(error)}") from None


def _answer(
    link: socket.socket,
    kind: type[_R],
    deadline: float,
    decoder: Decoder,
    step: Callable[[str], None] | None,
) -> _R:
    deframer = Deframer()
    while True:
        link.settimeout(max(deadline - time.monotonic(), 0.001))
        data = link.recv(_READ)
        if not data:
            raise NotRunning("the daemon closed the link without an answer")
        for stream, body in deframer.feed(data):
            if stream != CONTROL:
                raise FrameError(f"a frame of stream {stream}, where only answers are expected")
            message = decoder.decode(body)
            if isinstance(message, wire.Refused):
                raise refusal(message)
            if isinstance(message, wire.MoveStep):
                if step is not None:
                    step(message.step)
                continue
            if isinstance(message, kind):
                return message
            raise FrameError(f"unexpected answer {type(message).__name__}")


def refusal(message: wire.Refused) -> Refused:
    """The error that a Refused message stands for; an unknown reason is Why.INTERNAL."""
    try:
        why = Why(message.why)
    except ValueError:
        why = Why.INTERNAL
    return Refused(why, message.text)
