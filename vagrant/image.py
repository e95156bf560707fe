"""The disk images of the lab's machines, built once for each recipe.

Owns the cache: `~/.cache/glunix-lab` (GLUNIX_LAB_CACHE moves it), one folder for each recipe, named
by its hash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vagrant.recipe import BOOT_TOOLS, TOOLS, Content, build, recipe
from vagrant.steps import LabError, need


@dataclass(frozen=True)
class Image:
    """A built image. `seconds` is what building took; 0 when it came from the cache."""

    folder: Path
    seconds: float

    @property
    def disk(self) -> Path:
        """The disk, raw and sparse: never written, machines have overlays."""
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        """The kernel, for booting without a boot loader."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial RAM disk that goes with it."""
        return self.folder / "initrd.img"

    @property
    def key(self) -> Path:
        """The private key that every user of the machines accepts."""
        return self.folder / "key"

    @property
    def packages(self) -> Path:
        """Names and versions of the Debian packages in it."""
        return self.folder / "packages"

    @property
    def box(self) -> Path:
        """The Vagrant box (only with Content.BOX)."""
        return self.folder / "lab.box"


def cache() -> Path:
    """The folder of all images."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glunix-lab"
    return Path(os.environ.get("GLUNIX_LAB_CACHE") or default)


def cached(content: Content) -> Image | None:
    """The image of today's recipe when it has been built."""
    folder = cache() / f"{content.value}-{recipe(content)}"
    return Image(folder, 0.0) if folder.is_dir() else None


def image(content: Content) -> Image:
    """The image of today's recipe, built when it is not there; older ones of its kind go.

    One process builds, others wait for it.
    """
    if found := cached(content):
        return found
    tools = (*TOOLS, *BOOT_TOOLS) if content is Content.BOX else TOOLS
    need("building the lab's image", tools)
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with _locked(cache() / "lock"):
            return cached(content) or _built(content)
    except OSError as error:  # a full disk, a folder that nobody may write
        raise LabError(f"no image can be built in {cache()}: {error}") from None


def _built(content: Content) -> Image:
    for old in cache().glob(f"{content.value}-*"):
        shutil.rmtree(old)
    began = time.monotonic()
    # By what the recipe is now: it may be edited while this runs.
    target = cache() / f"{content.value}-{recipe(content)}"
    work = Path(tempfile.mkdtemp(prefix="building-", dir=cache()))
    try:
        build(work, content)
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Image(target, time.monotonic() - began)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    built = image(Content(sys.argv[1] if len(sys.argv) > 1 else "quick"))
    print(f"{built.folder}: {built.seconds:.0f} s")
