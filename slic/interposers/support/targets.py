"""Targets of connect: what a policy writes, and raw socket addresses compared with it.

Pure. Socket addresses as in ip(7), ipv6(7) and unix(7), bytes as the program gave them.
"""

import fnmatch
import ipaddress
import os
import struct
from typing import NamedTuple

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Target(NamedTuple):
    """One allowed target: a network with ports, a path with all below it, or an abstract name."""

    network: Network | None = None
    ports: range = range(0)
    path: str | None = None  # "" is the root: every path
    abstract: str = ""

    def covers(self, address: bytes) -> bool:
        """Is this raw sockaddr (AF_INET, AF_INET6 or an abstract AF_UNIX name) allowed?"""
        if self.abstract:
            return fnmatch.fnmatchcase(_text(unix_name(address) or b""), "\0" + self.abstract)
        found = _internet(address)
        if self.network is None or found is None:
            return False
        host, port = found
        return port in self.ports and host.version == self.network.version and host in self.network

    def covers_path(self, path: str) -> bool:
        return self.path is not None and (path + "/").startswith(self.path + "/")


def target(text: str) -> Target:
    """`ADDRESS[/BITS]:PORT`, `[IPV6]:PORT`, `unix:/path`, `unix:@name`; PORT is N, N-M or *.

    An abstract name may be a shell pattern. ValueError tells what is wrong.
    """
    if text.startswith("unix:@"):
        return Target(abstract=text.removeprefix("unix:@"))
    if text.startswith("unix:/"):
        return Target(path=os.path.realpath(text.removeprefix("unix:")).rstrip("/"))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"a target is ADDRESS:PORT or unix:PATH, not {text!r}")
    low, _, high = ("0-65535" if port == "*" else port).partition("-")
    network = ipaddress.ip_network(host.replace("[", "").replace("]", ""), strict=False)
    return Target(network, range(int(low), int(high or low) + 1))


def family_of(address: bytes) -> int:
    """sa_family; ValueError never: connect's own length check comes first."""
    return int.from_bytes(address[:2], "little")


def unix_name(address: bytes) -> bytes | None:
    """The path, or NUL and the abstract name, of an AF_UNIX address; None for other families."""
    if family_of(address) != UNIX:
        return None
    name = address[2:]
    return name if name.startswith(b"\0") else name.split(b"\0")[0]


def _text(name: bytes) -> str:
    return name.decode("latin-1")


def _internet(
    address: bytes,
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int] | None:
    family = family_of(address)
    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    if family == INET and len(address) >= 16:
        port, raw = struct.unpack_from("!H4s", address, 2)
        return ipaddress.IPv4Address(raw), port
    if family == INET6 and len(address) >= 24:
        port, _, raw = struct.unpack_from("!HI16s", address, 2)
        host = ipaddress.IPv6Address(raw)
        return host.ipv4_mapped or host, port
    return None
