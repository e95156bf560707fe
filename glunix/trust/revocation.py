"""Which certificates are revoked: by the node's name and the time of issue, and by serial. Pure.

A certificate's serial number begins with its time of issue, in microseconds of the master's clock,
which in the master's books never goes back (`Authority`): "issued before" is true whatever clocks
say at the time, and covers every certificate that a node ever had, renewed or not. The serials of a
revoked node stand beside that until they expire; they cover what was issued without such a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

RANDOM_BITS = 64
"""The rest of a serial number: nobody can guess one (RFC 5280, 4.1.2.2: positive, 20 octets)."""

_TIME_MAX = 2**63


def serial_number(issued: int, noise: int) -> int:
    """The serial of a certificate that was issued at `issued` microseconds."""
    return issued << RANDOM_BITS | noise & (1 << RANDOM_BITS) - 1


def issued_at(serial: str) -> int:
    """Microseconds at which the certificate was issued; 0, before all others, if it does not say.

    Certificates of earlier versions have 159 random bits as serial number.
    """
    found = int(serial, 16) >> RANDOM_BITS
    return found if found < _TIME_MAX else 0


def plain(node: str) -> str:
    """A node's name as revocations have it: upper and lower case are the same."""
    return node.lower()


@dataclass(frozen=True)
class Revocations:
    """What the master revoked."""

    serials: frozenset[str] = frozenset()
    before: Mapping[str, int] = field(default_factory=dict)
    """Node (`plain`) -> microseconds: what was issued to it until then is worth nothing."""

    def covers(self, node: str, serial: str) -> bool:
        """Whether this certificate of that node is revoked."""
        if serial in self.serials:
            return True
        until = self.before.get(plain(node))
        return until is not None and issued_at(serial) <= until
