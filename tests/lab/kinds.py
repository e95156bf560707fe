"""The kinds of lab by the word in GLUNIX_LAB, each a context manager that leaves nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lab.machines import Ability, Lab
from lab.virtual import SshMachine, VirtualLab
from vagrant.quick import QuickLab, quick_lab


@dataclass(frozen=True)
class _QuickSwitches:
    """One machine of the quick lab from outside."""

    running: QuickLab
    name: str

    def power_off(self) -> None:
        self.running.machines[self.name].stop()

    def power_on(self) -> None:
        self.running.restart(self.name)

    def cable(self, plugged: bool) -> None:
        self.running.machines[self.name].cable(plugged)


@contextlib.contextmanager
def qemu() -> Iterator[Lab]:
    """Three virtual machines under plain QEMU."""
    abilities = frozenset(
        {Ability.KERNEL, Ability.POWER, Ability.CABLE, Ability.NFS, Ability.INSTALL}
    )
    with quick_lab(2) as running:
        machines = {
            name: SshMachine(remote, _QuickSwitches(running, name))
            for name, remote in running.remotes.items()
        }
        said = f"qemu/{running.accelerator}: image built in {running.image.seconds:.0f} s"
        said += f" (0: cached), 3 machines ready in {running.seconds:.1f} s"
        yield VirtualLab("qemu", abilities, machines, running.story, said)
        for machine in machines.values():
            machine.hang_up()


KINDS: dict[str, Callable[[], AbstractContextManager[Lab]]] = {"qemu": qemu}
