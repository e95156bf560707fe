"""One virtual machine under plain QEMU: started with the kernel given, switched off by a signal.

Owns its process, its overlay on the image's disk, its console's file and its monitor's socket. KVM
is used only when a boot with it has been seen on this machine: the device may open and still not
run a kernel (nested virtualisation).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vagrant.image import Image, cache
from vagrant.recipe import COMMAND_LINE
from vagrant.steps import PATIENCE, LabError, Missing, Tool, step, until

QEMU = "qemu-system-x86_64"
TOOLS = (Tool(QEMU, "qemu-system-x86"), Tool("qemu-img", "qemu-utils"))
MEMORY = 512
"""MiB of each machine."""
OWN_MEMORY = 160
"""MiB that QEMU itself takes for each, translated code included."""
BOOT_LIMIT = 600.0
"""Seconds; 12 are usual on two idle cores."""
PROOF_LIMIT = 20.0
"""Seconds a boot with KVM may take to count: real ones need 3."""
READY, FAILED = "lab: ready", "lab: FAILED"
TCG = ("-accel", "tcg,tb-size=128", "-cpu", "qemu64")
KVM = ("-accel", "kvm", "-cpu", "host")


@dataclass(frozen=True)
class Plug:
    """Where a machine is plugged in: its end of the cable and its address with the prefix."""

    tap: str
    mac: str
    address: str


class Vm:
    """A machine: its name, its files in `folder`, and how it is started."""

    def __init__(
        self,
        name: str,
        image: Image,
        folder: Path,
        prefix: list[str],
        accelerator: tuple[str, ...],
        plug: Plug | None,
    ) -> None:
        self.name = name
        self.image = image
        self.console_file = folder / f"{name}.console"
        self.overlay = folder / f"{name}.qcow2"
        self.monitor = folder / f"{name}.monitor"
        self.errors = folder / f"{name}.qemu"
        self.prefix = prefix
        self.accelerator = accelerator
        self.plug = plug
        self.process: subprocess.Popen[bytes] | None = None

    def _words(self) -> list[str]:
        append = f"{COMMAND_LINE} init=/sbin/lab-init lab.host={self.name}"
        words = [QEMU, *self.accelerator, "-M", "q35", "-m", str(MEMORY), "-smp", "1"]
        words += ["-nodefaults", "-display", "none", "-no-reboot", "-no-user-config"]
        words += ["-serial", f"file:{self.console_file}"]
        words += ["-qmp", f"unix:{self.monitor},server=on,wait=off"]
        words += ["-drive", f"file={self.overlay},if=none,id=disk,cache=unsafe"]
        words += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]
        if self.plug is not None:
            tap = f"tap,id=cable,ifname={self.plug.tap},script=no,downscript=no"
            words += ["-netdev", tap]
            words += ["-device", f"virtio-net-pci,netdev=cable,id=card,mac={self.plug.mac}"]
            append += f" lab.ip={self.plug.address}"
        words += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        return [*self.prefix, *words, "-append", append]

    def start(self) -> None:
        """Switch it on; its disk is as it was, or as the image at the first time."""
        if not self.overlay.exists():
            words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
            words += ["-b", str(self.image.disk), str(self.overlay)]
            step(f"making {self.name}'s disk", words, 60.0)
        self.console_file.write_bytes(b"")
        self.monitor.unlink(missing_ok=True)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                self._words(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,  # ^C at our terminal is not the machine's power switch
            )

    def console(self) -> str:
        """All that it has written to its console since it was switched on."""
        try:
            return self.console_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def story(self) -> str:
        """The end of its console and what QEMU said, for a failure."""
        end = "\n".join(self.console().splitlines()[-15:])
        said = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return f"-- {self.name}'s console ends with\n{end}\n{said}".rstrip()

    def wait(self, limit: float = BOOT_LIMIT) -> None:
        """Wait until it is ready; LabError when it failed, ended, or is late."""
        assert self.process is not None

        def ready() -> bool:
            said = self.console()
            if FAILED in said or self.process is None or self.process.poll() is not None:
                raise LabError(f"{self.name} did not start\n{self.story()}")
            return READY in said

        until(ready, f"{self.name} is ready", limit, self.story)

    def stop(self) -> None:
        """Switch it off as if by the mains. Its disk has what it had written."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cpu(self) -> float:
        """Seconds of processor time it has used: unlike time, the same on a busy machine."""
        if self.process is None:
            return 0.0
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cable(self, plugged: bool) -> None:
        """Plug its cable in, or pull it: its card loses the carrier."""
        self.ask("set_link", name="card", up=plugged)

    def ask(self, command: str, **arguments: object) -> Any:
        """One command to QEMU's monitor (QMP: lines of JSON); its return value."""
        with contextlib.ExitStack() as stack:
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.settimeout(20.0)
            link.connect(str(self.monitor))
            answers = stack.enter_context(link.makefile("rb"))
            answers.readline()  # the greeting
            _exchange(link, answers, {"execute": "qmp_capabilities"})
            return _exchange(link, answers, {"execute": command, "arguments": arguments})


def _exchange(link: socket.socket, answers: BinaryIO, message: dict[str, object]) -> Any:
    link.sendall(json.dumps(message).encode() + b"\n")
    while line := answers.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"QEMU refused {message}: {answer['error']['desc']}")
        if "return" in answer:  # others are events
            return answer["return"]
    raise LabError(f"QEMU closed its monitor instead of answering {message}")


def room(machines: int) -> None:
    """Raise Missing when there is not the memory for so many machines."""
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, wanted = int(rows["MemAvailable"].split()[0]) >> 10, machines * (MEMORY + OWN_MEMORY)
    if free < wanted:
        raise Missing(f"{machines} machines need {wanted} MiB of memory, {free} are available")


def accelerator(image: Image) -> tuple[str, ...]:
    """The words for KVM where it is proved, else for emulation. GLUNIX_LAB_ACCEL=kvm|tcg decides.

    The proof is a boot; its outcome is remembered for this kernel and this QEMU.
    """
    wanted = os.environ.get("GLUNIX_LAB_ACCEL", "auto")
    if wanted not in ("auto", "kvm", "tcg"):
        raise LabError(f"GLUNIX_LAB_ACCEL={wanted!r}: not one of auto, kvm, tcg")
    if wanted != "auto":
        return KVM if wanted == "kvm" else TCG
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    version = step("asking QEMU for its version", [QEMU, "--version"], 30.0)
    known = f"{platform.release()} {platform.version()} {version}"
    memory = cache() / f"kvm-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    if not memory.exists():
        memory.write_text("yes" if _boots_with_kvm(image) else "no")
    return KVM if memory.read_text() == "yes" else TCG


def _boots_with_kvm(image: Image) -> bool:
    with tempfile.TemporaryDirectory(prefix="glunix-lab-kvm-") as folder:
        vm = Vm("proof", image, Path(folder), [], KVM, None)
        try:
            vm.start()
            vm.wait(PROOF_LIMIT / PATIENCE)  # to decide for emulation is no harm
        except LabError:
            return False
        finally:
            vm.stop()
    return True
