"""What a test may ask of a lab: the contract that every kind of it keeps.

A lab is a few machines called `home`, `node1`, `node2`, ... which see each other by those names,
and nothing else. The kinds differ in what a machine is (the variable GLUNIX_LAB chooses):

- `qemu`: a virtual machine under plain QEMU, from the image that `vagrant/` builds; about a minute.
- `vagrant`: the virtual machines of `make lab`, as a person gets them; minutes.

Network-namespace nodes, without kernels of their own but there in seconds, are in `tests/net`.

A test that needs more than every kind has asks for it in `Lab.abilities` and says what is missing.
"""

from __future__ import annotations

import enum
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from e2e.cluster import Result
from e2e.terminal import Terminal

from vagrant.steps import PATIENCE

DEADLINE = 90.0 * PATIENCE
"""Seconds for one command: an emulated machine is 10 to 30 times slower than this one, and this one
may be busy with other things."""


class Ability(enum.Enum):
    """What some kinds of lab can do and others cannot."""

    KERNEL = "a kernel of its own for each machine"
    POWER = "machines can be switched off and on again"
    CABLE = "a machine's network cable can be pulled"
    NFS = "/home is home's on every machine"
    INSTALL = "nothing of GLUnix is there until a test installs it"
    SYSTEMD = "services are started by systemd"
    BOX = "BCC and CRIU are installed"


class Machine(Protocol):
    """One machine of a lab. Commands run as `user`, from that user's home folder."""

    @property
    def name(self) -> str:
        """Its host name, which the others know as well."""

    @property
    def address(self) -> str:
        """Its IPv4 address in the lab's network."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> Result:
        """Run a command there to its end; AssertionError after `timeout` seconds.

        Its standard input is empty unless `stdin` is given. A status of 128+N is signal N.
        """

    def start(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> subprocess.Popen[bytes]:
        """A command there that runs while the test goes on; its three streams are pipes.

        The test ends it (`e2e.cluster.ended`). Its standard input is empty unless `stdin`.
        """

    def terminal(self, argv: Sequence[str], *, user: str = "root") -> Terminal:
        """A command on a terminal there, driven by pexpect; the lab closes it at its end."""

    def put(self, source: Path, target: str) -> None:
        """Copy a file there, with its permission bits; owned by root."""

    def power_off(self) -> None:
        """Switch it off as if by the mains: at once, nothing is told to anybody."""

    def power_on(self) -> None:
        """Switch it on again; it answers when this returns, with its disk as it was."""

    def link_down(self) -> None:
        """Pull its cable: packets are lost, nothing is told to the peers."""

    def link_up(self) -> None:
        """Plug it in again."""


class Lab(Protocol):
    """A few machines in a network of their own."""

    @property
    def kind(self) -> str:
        """The word that chose it."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do besides running commands."""

    @property
    def machines(self) -> Mapping[str, Machine]:
        """By name: home first, then the nodes in order."""

    @property
    def description(self) -> str:
        """One line for the head of a test run: what it is made of, how long it took."""

    def story(self) -> str:
        """The end of every machine's console, for a failure."""
