"""Virtual machines as the tests' `Lab`: commands by ssh, power and cable by who runs them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pexpect
from e2e.cluster import Result, ended, finish
from e2e.terminal import Terminal

from lab.machines import DEADLINE, Ability, Machine
from vagrant.ssh import Remote


class Switches(Protocol):
    """What is done to a machine from outside."""

    def power_off(self) -> None:
        """See Machine."""

    def power_on(self) -> None:
        """See Machine."""

    def cable(self, plugged: bool) -> None:
        """Plug it in or pull it."""


@dataclass
class SshMachine:
    """A machine that answers ssh."""

    remote: Remote
    switches: Switches
    opened: list[pexpect.spawn] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.remote.name

    @property
    def address(self) -> str:
        return self.remote.address

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> Result:
        process = self.start(argv, user=user, env=env, stdin=stdin is not None)
        with ended(process):
            return finish(process, stdin, timeout)

    def start(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> subprocess.Popen[bytes]:
        """A command there that runs while the test does something else."""
        return subprocess.Popen(
            self.remote.words(argv, user, env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )

    def terminal(self, argv: Sequence[str], *, user: str = "root") -> Terminal:
        words = self.remote.words(argv, user, {"TERM": "xterm"}, terminal=True)
        child = pexpect.spawn(
            words[0],
            words[1:],
            dimensions=(24, 80),
            encoding="utf-8",
            codec_errors="replace",
            timeout=DEADLINE,
        )
        child.delaybeforesend = None
        self.opened.append(child)
        return Terminal(child)

    def put(self, source: Path, target: str) -> None:
        mode = f"{source.stat().st_mode & 0o777:o}"
        line = f"cat >{shlex.quote(target)} && chmod {mode} {shlex.quote(target)}"
        result = self.run(["sh", "-c", line], stdin=source.read_bytes())
        assert result.status == 0, f"{source} -> {self.name}:{target}: {result}"

    def power_off(self) -> None:
        self.switches.power_off()

    def power_on(self) -> None:
        self.switches.power_on()

    def link_down(self) -> None:
        self.switches.cable(False)

    def link_up(self) -> None:
        self.switches.cable(True)

    def hang_up(self) -> None:
        """Close the terminals that a test opened."""
        for child in self.opened:
            child.close(force=True)
        self.opened.clear()


@dataclass(frozen=True)
class VirtualLab:
    """Several of them."""

    kind: str
    abilities: frozenset[Ability]
    machines: Mapping[str, Machine]
    tell: Callable[[], str]
    description: str

    def story(self) -> str:
        return self.tell()
