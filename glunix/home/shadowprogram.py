"""The program that is a shadow at home: where it is, and how it is made from shadow.c.

Made when GLUnix is installed and when a cluster starts, by whoever may write there; a startup only
looks for it. Without gcc there is none, and a job's processes have no shadows.
"""

from __future__ import annotations

import os

from glunix import config

SOURCE = os.path.join(os.path.dirname(__file__), "shadow.c")
SOURCES = (SOURCE, os.path.join(os.path.dirname(__file__), "shadow.h"))
FLAGS = (
    "-std=gnu11", "-Os", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-Wl,--build-id=none",
)  # fmt: skip


def name() -> str:
    """The program's file name: another one for another source. OSError without the source."""
    found = [os.stat(source) for source in SOURCES]
    size, changed = sum(one.st_size for one in found), max(int(one.st_mtime) for one in found)
    return f"shadow-{size:x}-{changed:x}-{os.uname().machine}"


def folders() -> list[str]:
    """Where it may be: beside the source, or in the cluster's folder."""
    return [os.path.dirname(SOURCE), config.state_folder()]


def built() -> str | None:
    """The program's path; None when there is none that we may trust."""
    try:
        own = name()
    except OSError:
        return None
    for folder in folders():
        path = f"{folder}/{own}"
        try:
            found = os.stat(path)
        except OSError:
            continue
        # Who may write beside the source is who wrote what runs here already.
        ours = folder == os.path.dirname(SOURCE) or found.st_uid in (0, os.geteuid())
        if ours and not found.st_mode & 0o022:
            return path
    return None


def build() -> str | None:
    """Make it if it is not there; None when that cannot be (no gcc, another architecture)."""
    if (path := built()) is not None:
        return path
    if os.uname().machine != "x86_64":
        return None
    import subprocess

    for folder in folders():
        path = f"{folder}/{name()}"
        fresh = f"{path}.{os.getpid()}"
        try:
            words = ["gcc", *FLAGS, "-o", fresh, SOURCE]
            if subprocess.run(words, capture_output=True, timeout=60).returncode == 0:
                os.chmod(fresh, 0o755)
                os.rename(fresh, path)
                return path
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None
