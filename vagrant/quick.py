"""The quick lab: plain QEMU, the kernel given directly, a few lines of shell as first process.

Owns nothing but the order of things; what it makes is gone when its `with` block ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vagrant import image, network, qemu, recipe, ssh
from vagrant.steps import need

TOOLS = (*qemu.TOOLS, *network.TOOLS, *ssh.TOOLS)


@dataclass(frozen=True)
class QuickLab:
    """A running lab: machines and how to reach them, by name, home first."""

    space: network.Space
    image: image.Image
    machines: dict[str, qemu.Vm]
    remotes: dict[str, ssh.Remote]
    accelerator: str
    seconds: float
    """From the first machine's start until all answered."""
    boot_cpu: float
    """Processor seconds that took."""

    def cpu(self) -> float:
        """Processor seconds of all machines since their last start."""
        return sum(vm.cpu() for vm in self.machines.values())

    def restart(self, name: str) -> None:
        """Switch a machine that is off on again, and wait for it."""
        self.remotes[name].forget()
        self.machines[name].start()
        self.machines[name].wait()

    def story(self) -> str:
        """The end of every console."""
        return "\n".join(vm.story() for vm in self.machines.values())


@contextlib.contextmanager
def quick_lab(nodes: int = 2) -> Iterator[QuickLab]:
    """Home and that many nodes, ready: sshd answers, /home is home's everywhere."""
    need("the quick lab", TOOLS)
    qemu.room(nodes + 1)
    disk = image.image(recipe.Content.QUICK)
    words = qemu.accelerator(disk)
    with network.space() as space:
        space.bridge()
        machines, remotes = {}, {}
        for number, name in enumerate(network.names(nodes)):
            host = network.address(number)
            space.tap(f"tap{number}")
            plug = qemu.Plug(f"tap{number}", f"52:54:00:77:00:{number:02x}", f"{host}/24")
            machines[name] = qemu.Vm(name, disk, space.folder, space.words(), words, plug)
            remotes[name] = ssh.Remote(name, host, disk.key, space)
        try:
            began = time.monotonic()
            for vm in machines.values():
                vm.start()
            for vm in machines.values():
                vm.wait()
            for remote in remotes.values():
                remote.connect("root")
            seconds = time.monotonic() - began
            how = "kvm" if words == qemu.KVM else "tcg"
            used = sum(vm.cpu() for vm in machines.values())
            yield QuickLab(space, disk, machines, remotes, how, seconds, used)
        finally:
            for vm in machines.values():
                vm.stop()
