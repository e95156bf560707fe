"""The Vagrant lab: libvirtd and every machine inside one network namespace, until `down`.

Owns `build/lab` in the checkout (libvirtd's state, Vagrant's home, the machines' disks) and the
namespace whose name holds a hash of that path, so that two checkouts have two labs. Both outlive
the command that made them. Nothing else is written: libvirt's folders are replaced for those in
the namespace, so ending its processes and removing the folder leaves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from vagrant import network, qemu, ssh
from vagrant.image import Image, cached, image
from vagrant.recipe import Content
from vagrant.steps import LabError, Tool, need, step, until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NAMES = network.names(2)
TOOLS = (
    Tool("vagrant", "vagrant"),
    Tool("/usr/share/doc/vagrant-libvirt", "vagrant-libvirt"),
    Tool("libvirtd", "libvirt-daemon"),
    Tool("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver", "libvirt-daemon-driver-qemu"),
    Tool("virsh", "libvirt-clients"),
    Tool("dnsmasq", "dnsmasq-base"),
    Tool("dmidecode", "dmidecode"),
    Tool("iptables", "iptables"),
    Tool("nsenter", "util-linux"),
    *qemu.TOOLS,
    *network.TOOLS,
    *ssh.TOOLS,
)
READY_LIMIT, BOX_LIMIT, UP_LIMIT, STEP_LIMIT = 180.0, 1200.0, 2400.0, 300.0


@dataclass(frozen=True)
class VagrantLab:
    """The lab of this checkout, running or not."""

    space: network.Space

    @property
    def _pid_file(self) -> Path:
        return self.space.folder / "libvirtd.pid"

    def running(self) -> bool:
        """Whether there is one: its namespace exists and its libvirtd lives."""
        if not network.exists(self.space.name) or not self._pid_file.exists():
            return False
        return int(self._pid_file.read_text()) in self.space.pids()

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs a command where this libvirtd is the machine's."""
        pid = self._pid_file.read_text().strip()
        return ["nsenter", f"--target={pid}", "--net", "--mount", f"--wd={ROOT}", "--", *argv]

    def environment(self, box: Image) -> dict[str, str]:
        """What the Vagrantfile and Vagrant itself are told."""
        driver = "kvm" if qemu.accelerator(box) == qemu.KVM else "qemu"
        return {
            "GLUNIX_LAB_BOX_KEY": str(box.key),
            "GLUNIX_LAB_DRIVER": driver,
            "GLUNIX_LAB_CONSOLES": str(self.space.folder),
            "VAGRANT_CWD": str(ROOT),
            "VAGRANT_HOME": str(self.space.folder / "vagrant-home"),
            "VAGRANT_DOTFILE_PATH": str(self.space.folder / "machines"),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
        }

    def virsh(self, *words: str) -> str:
        """virsh(1) in the lab."""
        line = self.inside("virsh", "--connect", "qemu:///system", "--quiet", *words)
        return step(f"virsh {words[0]}", line, STEP_LIMIT)

    def start_libvirtd(self) -> None:
        """Start it; it answers when this returns."""
        log = self.space.folder / "libvirtd.log"
        inside = [str(HERE / "libvirt-inside.sh"), str(self.space.folder), str(HERE)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                self.space.words(*inside),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))  # every step before libvirtd is an exec
        socket = self.space.folder / "run/libvirt/libvirt-sock"

        def listens() -> bool:
            if process.poll() is not None:
                raise LabError(f"libvirtd ended at once\n{log.read_text(errors='replace')}")
            return socket.exists()

        until(listens, "libvirtd listens", READY_LIMIT, lambda: log.read_text(errors="replace"))
        self.virsh("version")

    def machines_up(self, box: Image) -> None:
        """Give Vagrant the box and let it make the machines."""
        pool = self.space.folder / "pool"
        pool.mkdir()
        self.virsh("pool-define-as", "glunix-lab", "dir", "--target", str(pool))
        self.virsh("pool-start", "glunix-lab")
        environment = self.environment(box)
        add = ["vagrant", "box", "add", "--name", "glunix/lab", "--provider", "libvirt"]
        step("adding the box", self.inside(*add, str(box.box)), BOX_LIMIT, env=environment)
        log = self.space.folder / "vagrant-up.log"
        up = self.inside("vagrant", "up", "--provider=libvirt")
        try:
            step("vagrant up", up, UP_LIMIT, env=environment, log=log)
        except LabError as error:
            raise LabError(f"{error}\n{self.story()}")

    def remotes(self, box: Image, folder: Path) -> dict[str, ssh.Remote]:
        """The machines as ssh sees them, with control sockets in `folder`."""
        space = replace(self.space, folder=folder)
        return {
            name: ssh.Remote(name, network.address(number), box.key, space)
            for number, name in enumerate(NAMES)
        }

    def story(self) -> str:
        """The ends of what libvirtd and the machines' consoles said, for a failure."""
        logs = [self.space.folder / "libvirtd.log"]
        logs += [self.space.folder / f"{name}.console" for name in NAMES]
        return "\n".join(
            f"-- {log.name} ends with\n{log.read_text(errors='replace')[-1500:]}"
            for log in logs
            if log.exists()
        )


def here() -> VagrantLab:
    """This checkout's lab."""
    folder = ROOT / "build" / "lab"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    return VagrantLab(network.Space(f"glunix-lab-{digest}", folder))


def built_box() -> Image:
    """The box of a running lab."""
    if (box := cached(Content.BOX)) is None:
        raise LabError("the box's recipe has changed since the lab was made: make lab-down lab")
    return box


def versions(box: Image) -> str:
    """What later work builds on, as it is in the box."""
    rows = dict(line.split("\t") for line in box.packages.read_text().splitlines())
    named = {"kernel": "linux-image-cloud-amd64", "BCC": "python3-bpfcc", "CRIU": "criu"}
    return ", ".join(f"{name} {rows[package]}" for name, package in named.items())


def up() -> VagrantLab:
    """Bring the lab up; one that runs stays. What was begun is taken down when a step fails."""
    need("the Vagrant lab", TOOLS)
    lab = here()
    if lab.running():
        return lab
    box = image(Content.BOX)
    down()  # what a crash left
    with contextlib.ExitStack() as undo:
        undo.callback(down)
        lab.space.folder.mkdir(parents=True)
        step("making a network namespace", ["ip", "netns", "add", lab.space.name], STEP_LIMIT)
        lab.start_libvirtd()
        lab.machines_up(box)
        undo.pop_all()
    return lab


def down() -> bool:
    """End every process of the lab, remove its namespace and its folder; whether there was one."""
    lab = here()
    there = network.exists(lab.space.name) or lab.space.folder.exists()
    network.remove(lab.space.name, lab.space.folder)
    with contextlib.suppress(OSError):  # somebody else builds there as well
        lab.space.folder.parent.rmdir()
    return there
