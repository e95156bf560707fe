"""Who is at the other end of a connection. Light: an embedded cluster imports no cryptography."""

from dataclasses import dataclass

from glunix.errors import GlunixError
from glunix.ids import NodeName


class NotTrusted(GlunixError):
    """A certificate or key that this cluster does not accept; the text says why."""

    why = "not-trusted"


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a connection, as its certificate says."""

    node: NodeName
    serial: str
    uid: int | None = None
    """The only user that it may speak for; None: a daemon of root, which speaks for all."""
