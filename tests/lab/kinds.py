"""The kinds of lab by the word in GLUNIX_LAB, each a context manager that leaves nothing."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lab.machines import Ability, Lab
from lab.namespaces import namespaces
from lab.virtual import SshMachine, VirtualLab
from vagrant import libvirt
from vagrant.qemu import BOOT_LIMIT
from vagrant.quick import QuickLab, quick_lab
from vagrant.ssh import Remote


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
        said += f" ({running.boot_cpu:.0f} s of processor time)"
        yield VirtualLab("qemu", abilities, machines, running.story, said)
        for machine in machines.values():
            machine.hang_up()


@dataclass(frozen=True)
class _Domain:
    """One machine of the Vagrant lab from outside."""

    running: libvirt.VagrantLab
    remote: Remote

    @property
    def _name(self) -> str:
        return f"glunix-{self.remote.name}"

    def power_off(self) -> None:
        self.running.virsh("destroy", self._name)

    def power_on(self) -> None:
        self.remote.forget()
        self.running.virsh("start", self._name)
        self.remote.dial("root", BOOT_LIMIT)

    def cable(self, plugged: bool) -> None:
        rows = [line.split() for line in self.running.virsh("domiflist", self._name).splitlines()]
        (mac,) = [row[4] for row in rows if len(row) == 5 and row[2] == "glunix-lab"]
        self.running.virsh("domif-setlink", self._name, mac, "up" if plugged else "down")


@contextlib.contextmanager
def vagrant() -> Iterator[Lab]:
    """The machines of `make lab`: those that are up, else new ones for this run only."""
    began = time.monotonic()
    mine = not libvirt.here().running()
    running = libvirt.up()
    try:
        box = libvirt.built_box()
        with tempfile.TemporaryDirectory(prefix="glunix-ssh-") as folder:
            remotes = running.remotes(box, Path(folder))
            machines = {name: SshMachine(r, _Domain(running, r)) for name, r in remotes.items()}
            said = "vagrant: "
            said += f"up in {time.monotonic() - began:.0f} s" if mine else "up before"
            yield VirtualLab("vagrant", frozenset(Ability), machines, running.story, said)
            for machine in machines.values():
                machine.hang_up()
                machine.remote.forget()
    finally:
        if mine:
            libvirt.down()


KINDS: dict[str, Callable[[], AbstractContextManager[Lab]]] = {
    "netns": namespaces,
    "qemu": qemu,
    "vagrant": vagrant,
}
