"""Builds C guests and helpers into a cache keyed by what they are made of.

Owns the cache folder and the probes behind `needs:`. Safe when several processes build the same
file: each compiles into a name of its own and renames.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from glunix.compare.guest import GUESTS, Guest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-pthread")


class BuildError(RuntimeError):
    """The compiler refused a file; holds what it said."""


@cache
def cache_folder() -> Path:
    """Where executables are kept: `build/conformance` of a checkout, else the user's cache.

    Jobs find them there, too: nodes see the files of home (README, "-T").
    """
    if (CHECKOUT / "pyproject.toml").exists():
        return CHECKOUT / "build" / "conformance"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "glunix" / "guests"


@cache
def compiler() -> str:
    """The first line of `gcc --version`, part of every cache key; `BuildError` without gcc."""
    if shutil.which("gcc") is None:
        raise BuildError("gcc is not installed")
    run = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[0]


def compile_c(source: Path, *flags: str) -> Path:
    """The executable of `source`, from the cache when nothing that goes into it has changed."""
    digest = hashlib.sha256()
    for part in (compiler(), *FLAGS, *flags):
        digest.update(part.encode() + b"\0")
    for path in (source, GUESTS / "check.h"):
        digest.update(path.read_bytes())
    folder = cache_folder()
    target = folder / f"{source.stem}-{digest.hexdigest()[:16]}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / source.stem
        command = ["gcc", *FLAGS, *flags, "-o", str(made), str(source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise BuildError(f"{' '.join(command)}\n{run.stderr}")
        made.replace(target)
    return target


def command(guest: Guest) -> list[str]:
    """The argv that runs `guest`, built when it has to be."""
    if guest.language == "c":
        flags = ("-static",) if guest.static else ()
        return [str(compile_c(guest.path, *flags))]
    if guest.language == "py":
        return [sys.executable, "-I", "-S", str(guest.path)]
    shell = "bash" if "bash" in guest.needs else "sh"
    return [f"/bin/{shell}", str(guest.path)]


def homeshell() -> Path:
    """The program that stands for the user's shell (homeshell.c)."""
    return compile_c(HERE / "homeshell.c")


@cache
def missing(need: str) -> str | None:
    """Why this machine cannot give `need`, or None when it can."""
    match need:
        case "root":
            return None if os.geteuid() == 0 else "this is not root"
        case "bash":
            return None if Path("/bin/bash").exists() else "/bin/bash is not installed"
        case "gcc -static":
            return _compiles("int main(void) { return 0; }", "-static")
        case "ia32":
            program = 'int main(void) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)'
            return _compiles(program + ' : "memory"); return r <= 0; }')
        case "loopback":
            up = Path("/sys/class/net/lo/flags")
            alive = up.exists() and int(up.read_text(), 16) & 1
            return None if alive else "the loopback interface is down"
        case "tty":
            return None if Path("/dev/ptmx").exists() else "there is no /dev/ptmx"
    raise ValueError(f"no probe for the need {need!r}")


def _compiles(program: str, *flags: str) -> str | None:
    """None when `program` can be compiled with `flags` and runs with status 0."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "probe.c"
        source.write_text(program, encoding="utf-8")
        made = Path(scratch) / "probe"
        gcc = ["gcc", *flags, "-o", str(made), str(source)]
        if subprocess.run(gcc, capture_output=True, check=False).returncode != 0:
            return f"gcc {' '.join(flags)} cannot build a small program here"
        if subprocess.run([str(made)], capture_output=True, check=False).returncode != 0:
            return "a small program of that kind does not run here"
    return None
