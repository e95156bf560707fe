"""How a disk image of the lab's machines is made from Debian packages.

Owns all that decides what is in an image, and nothing else: `recipe` hashes this file and `box/`.
Needs root, but neither loop devices nor mounts: the file system is made from a folder (mke2fs(8)
-d), and GRUB is written where the BIOS looks for it.
"""

from __future__ import annotations

import enum
import hashlib
import json
import shutil
import struct
import sys
import tarfile
import tomllib
from pathlib import Path

from vagrant.steps import LabError, Tool, step

HERE = Path(__file__).resolve().parent
BOX = HERE / "box"
SUITE = "bookworm"
PYTHON = "3.11"
"""The version of Python in SUITE: wheels are chosen for it."""
SIZE = 6 << 30
"""Bytes of the machines' disk; sparse."""
FIRST = 1 << 20
"""Where its only partition begins: behind the boot loader."""
COMMAND_LINE = (
    "root=/dev/vda1 ro console=ttyS0,115200 net.ifnames=0 mitigations=off nokaslr "
    "no_timer_check quiet loglevel=4 panic=-1"
)
"""For kernels under emulation: what costs time there and protects nothing is off."""
GRUB = Path("/usr/lib/grub/i386-pc")
MMDEBSTRAP_LIMIT, STEP_LIMIT = 1800.0, 900.0

TOOLS = (
    Tool("mmdebstrap", "mmdebstrap"),
    Tool("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
    Tool("mkfs.ext4", "e2fsprogs"),
    Tool("qemu-img", "qemu-utils"),
    Tool("ssh-keygen", "openssh-client"),
)
BOOT_TOOLS = (Tool("grub-mkimage", "grub2-common"), Tool(str(GRUB / "boot.img"), "grub-pc-bin"))


class Content(enum.Enum):
    """Which packages an image has."""

    QUICK = "quick"
    BOX = "box"


def packages(content: Content) -> list[str]:
    """The Debian packages of an image, by box/packages."""
    found = []
    for line in (BOX / "packages").read_text().splitlines():
        name = line.partition("#")[0].strip()
        if name.startswith("box:"):
            name = name.removeprefix("box:").strip() if content is Content.BOX else ""
        if name:
            found.append(name)
    return found


def requirements() -> list[str]:
    """What pip must be able to install there: GLUnix's own dependencies, all extras but tests."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    found: list[str] = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        if extra != "test":
            found += names
    return found


def recipe(content: Content) -> str:
    """A hash of everything that decides what an image holds."""
    digest = hashlib.sha256()
    parts = [content.value, SUITE, *packages(content), *requirements(), Path(__file__).read_text()]
    for file in sorted(BOX.iterdir()):
        if file.name != "packages":
            parts += [file.name, file.read_text()]
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def build(work: Path, content: Content) -> None:
    """Make an image's files in the folder `work`."""
    wheels = work / "wheels"
    wheels.mkdir()
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "glunix-lab", "-f", f"{work}/key"]
    step("making the lab's ssh key", key, STEP_LIMIT)
    _download(wheels)
    _install(work, content, wheels)
    root = work / "root"
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    shutil.copy(kernel, work / "vmlinuz")
    shutil.copy(root / "boot" / f"initrd.img-{version}", work / "initrd.img")
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W"]
    (work / "packages").write_text(step("listing packages", query, STEP_LIMIT))
    _grub_menu(root, version)
    raw = work / "disk.raw"
    _file_system(root, raw)
    if content is Content.BOX:
        _boot_loader(raw, work)
        _box(raw, work)
    shutil.rmtree(root)
    shutil.rmtree(wheels)


def _download(wheels: Path) -> None:
    """Wheels that run on SUITE's Python, by this machine's pip with its own settings."""
    words = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    words += ["--dest", str(wheels), "--only-binary=:all:", "--python-version", PYTHON]
    for platform in ("manylinux2014_x86_64", "manylinux_2_28_x86_64"):
        words += ["--platform", platform]
    step("fetching wheels for the lab", [*words, *requirements()], STEP_LIMIT)


def _install(work: Path, content: Content, wheels: Path) -> None:
    """Debian, without documentation, into work/root."""
    hook = f'sh {BOX}/late.sh "$1" {BOX} {work}/key.pub {wheels}'
    words = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    words += ["--include=" + ",".join(packages(content))]
    words += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"']
    words += ["--dpkgopt=force-unsafe-io"]
    words += [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("man", "locale", "doc")]
    words += [f'--essential-hook=sh {BOX}/early.sh "$1"', f"--customize-hook={hook}"]
    words += [SUITE, str(work / "root")]
    step("installing Debian", words, MMDEBSTRAP_LIMIT)


def _grub_menu(root: Path, version: str) -> None:
    folder = root / "boot" / "grub"
    folder.mkdir(exist_ok=True)
    (folder / "grub.cfg").write_text(
        f"set timeout=0\nlinux /boot/vmlinuz-{version} {COMMAND_LINE}\n"
        f"initrd /boot/initrd.img-{version}\nboot\n"
    )


def _file_system(root: Path, raw: Path) -> None:
    """One ext4 partition from FIRST to the end, filled from the folder `root`."""
    with raw.open("wb") as file:
        file.truncate(SIZE)
        # The partition table of an MBR (one entry at 446, the mark at 510): active, Linux, LBA.
        chs = b"\xfe\xff\xff"
        entry = struct.pack("<B3sB3sII", 0x80, chs, 0x83, chs, FIRST // 512, (SIZE - FIRST) // 512)
        file.seek(446)
        file.write(entry)
        file.seek(510)
        file.write(b"\x55\xaa")
    options = f"offset={FIRST},lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^metadata_csum,^64bit", "-E", options]
    blocks = f"{(SIZE - FIRST) // 1024}k"
    step("making the file system", [*words, "-d", root, raw, blocks], STEP_LIMIT)


def _boot_loader(raw: Path, work: Path) -> None:
    """GRUB's first stage into the MBR, the rest into the gap behind it (boot.img expects that)."""
    core = work / "core.img"
    words = ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", str(core)]
    words += ["biosdisk", "part_msdos", "ext2", "linux", "normal", "boot"]
    step("making the boot loader", words, STEP_LIMIT)
    loader = core.read_bytes()
    if len(loader) > FIRST - 512:
        raise LabError(f"the boot loader has {len(loader)} bytes: more than fit before {FIRST}")
    with raw.open("r+b") as file:
        file.write((GRUB / "boot.img").read_bytes()[:440])
        file.seek(512)
        file.write(loader)
    core.unlink()


def _box(raw: Path, work: Path) -> None:
    """The disk and what Vagrant must know of it, as a box for vagrant-libvirt."""
    disk = work / "disk.qcow2"
    step("making the box", ["qemu-img", "convert", "-O", "qcow2", raw, disk], STEP_LIMIT)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": SIZE >> 30}
    (work / "metadata.json").write_text(json.dumps(metadata))
    with tarfile.open(work / "lab.box", "w") as box:
        box.add(work / "metadata.json", "metadata.json")
        box.add(disk, "box.img")
    disk.unlink()
