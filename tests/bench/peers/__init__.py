"""Peers: other systems doing the same job on the same machine, each a context manager.

A peer starts what it needs in a private folder, listens on 127.0.0.1 or Unix sockets only,
and leaves nothing running. One that cannot be had raises `Unavailable`, which says what is
missing and how to install it; it never pretends.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

# sbin is not on an ordinary user's PATH, but that is where Debian keeps the daemons.
_SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Package:
    """Where a peer comes from. `manager` is `apt` or `pip`."""

    manager: str
    names: tuple[str, ...]

    @property
    def how(self) -> str:
        """The command that installs it."""
        verb = "apt-get install" if self.manager == "apt" else "pip install"
        return f"{verb} {' '.join(self.names)}"


class Unavailable(Exception):
    """A peer (or the product) cannot be had here: what is missing and what would help."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}; {how}")
        self.what = what
        self.how = how


def find(program: str) -> str | None:
    """Absolute path of `program` on PATH or in the usual system folders."""
    return shutil.which(program) or shutil.which(program, path=":".join(_SEARCH))


def need(program: str, package: Package) -> str:
    """Absolute path of `program`, or Unavailable naming the package that has it."""
    path = find(program)
    if path is None:
        raise Unavailable(f"no {program}", f"{package.how}, or --install-peers as root")
    return path
