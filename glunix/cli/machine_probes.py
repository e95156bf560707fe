"""Tries of what is no system call: programs, devices, files of this machine (`glunix doctor`).

Each returns a detail to show when the thing works and raises OSError when not, as those of
slic.kernel.probe do. A program counts only when it ran; a KVM device is called a device.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path

from glunix.node.processes.cgroups import find_places
from slic.kernel import probe

DEADLINE = 30.0
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def _missing(text: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, text)


def _find(name: str) -> str:
    """A program on PATH or where administrators' programs are."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    found = shutil.which(name, path=path)
    if found is None:
        raise _missing(f"no {name} on PATH")
    return found


def _told(*command: str) -> tuple[int, str]:
    """Status and all output of a program; TimeoutError (an OSError) after DEADLINE seconds."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(errno.ETIMEDOUT, f"{command[0]} did not end in {DEADLINE:g} s") from None
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def _version(path: str) -> str:
    status, text = _told(path, "--version")
    first = text.splitlines()[0] if text else ""
    if status != 0:
        raise OSError(errno.ENOEXEC, f"{path} --version fails: {first or status}")
    return first


def cgroups(proc: Path = Path("/proc/self")) -> str:
    """Which hierarchies a daemon started here would use, tried (glunix.node.processes.cgroups)."""
    return str(find_places(proc))


def btf(path: Path = Path("/sys/kernel/btf/vmlinux")) -> str:
    """The kernel's own type information, readable."""
    with path.open("rb") as file:
        magic = file.read(2)
    if magic not in (b"\x9f\xeb", b"\xeb\x9f"):
        raise OSError(errno.EINVAL, f"{path} is not BTF")
    return f"{path.stat().st_size // 1024} KiB"


def criu() -> str:
    """A CRIU that says of itself that it works on this kernel."""
    path = _find("criu")
    version = _version(path).removeprefix("Version: ")
    status, text = _told(path, "check")
    if status != 0:
        why = [line for line in text.splitlines() if "Error" in line] or text.splitlines()
        denied = os.getuid() != 0
        number = errno.EPERM if denied else errno.EINVAL
        raise OSError(number, f"{version}: criu check fails: {why[0] if why else status}")
    return version


def kvm() -> str:
    """The device opens. Only a guest that booted would prove more."""
    version = probe.kvm_version()
    return f"device opens, interface {version}; only a booted guest would prove that it works"


def qemu() -> str:
    """A QEMU for this machine's processor that starts."""
    return _version(_find(f"qemu-system-{os.uname().machine}"))


def vagrant() -> str:
    """A Vagrant that starts."""
    return _version(_find("vagrant"))
