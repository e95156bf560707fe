"""Virtual machines as the tests' `Lab`: commands by ssh, power and cable by who runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.commands import CommandMachine, logs
from lab.machines import Ability, Machine
from vagrant.ssh import Remote


class Switches(Protocol):
    """What is done to a machine from outside."""

    def power_off(self) -> None:
        """See Machine."""

    def power_on(self) -> None:
        """See Machine."""

    def cable(self, plugged: bool) -> None:
        """Plug it in or pull it."""


class SshMachine(CommandMachine):
    """A machine that answers ssh."""

    def __init__(self, remote: Remote, switches: Switches) -> None:
        super().__init__()
        self.remote = remote
        self.switches = switches

    @property
    def name(self) -> str:
        return self.remote.name

    @property
    def address(self) -> str:
        return self.remote.address

    def words(
        self,
        argv: Sequence[str],
        user: str,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> list[str]:
        return self.remote.words(argv, user, env, terminal)

    def power_off(self) -> None:
        self.switches.power_off()

    def power_on(self) -> None:
        self.switches.power_on()

    def link_down(self) -> None:
        self.switches.cable(False)

    def link_up(self) -> None:
        self.switches.cable(True)


@dataclass(frozen=True)
class VirtualLab:
    """Several of them."""

    kind: str
    abilities: frozenset[Ability]
    machines: Mapping[str, Machine]
    tell: Callable[[], str]
    description: str

    def story(self) -> str:
        return "\n".join([self.tell(), *(logs(machine) for machine in self.machines.values())])
