"""Where libglunix.so is, and how it is made: as the other C parts, when the project is installed.

A compiler wants it under its own name, so that it has no name by its source as others have.
"""

import os
import subprocess
from pathlib import Path

from glunix.errors import GlunixError

HERE = Path(__file__).resolve().parent
SOURCES = (HERE / "libglunix.c", HERE / "glunix.h")
NAME = "libglunix.so"
FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-Wl,-soname,libglunix.so")


def cache() -> Path:
    """Where it is made when the project belongs to somebody else."""
    given = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) / "glunix"


def built() -> Path | None:
    """The library, if it is there and no older than its sources."""
    changed = max(source.stat().st_mtime for source in SOURCES)
    for folder in (HERE, cache()):
        made = folder / NAME
        try:
            found = made.stat()
        except OSError:
            continue
        trusted = folder == HERE or found.st_uid in (0, os.geteuid())
        if trusted and found.st_mtime >= changed:
            return made
    return None


def build(compiler: str = "cc") -> Path:
    """The library, made if it is not there. GlunixError says why that cannot be."""
    found = built()
    why = "no folder for it can be written"
    for folder in (HERE, cache()) if found is None else ():
        fresh = folder / f".{NAME}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            words = [compiler, *FLAGS, "-o", str(fresh), str(SOURCES[0])]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                fresh.replace(folder / NAME)
                return folder / NAME
            if os.access(folder, os.W_OK):
                why = done.stderr.strip().splitlines()[-1]
        except FileNotFoundError:
            why = f"no {compiler} here (Debian: gcc, libc6-dev)"
            break
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
    if found is None:
        raise GlunixError(f"cannot make {NAME}: {why}")
    return found


def compiler_flags() -> str:
    """What a C compiler needs: `glunix config --cflags`."""
    return f"-I{HERE}"


def linker_flags() -> str:
    """What a linker needs: `glunix config --libs`. Makes the library if it is not there."""
    folder = build().parent
    return f"-L{folder} -lglunix -Wl,-rpath,{folder}"
