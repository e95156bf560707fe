"""Directories of home that a program can be in: the same name must exist on the node.

Owns a layer in memory over each listed directory that the node has, in the job's mount namespace
(overlayfs): what is made there for chdir(2) is nowhere on a disk, and the node's own files show
through. A supervisor that may not mount has none; then only what the node has can be entered.
Directories are made with the owner's rights, by way of no link: also where the node has a directory
that is not his, nothing is made below it.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable

from slic.kernel.beneath import make_directories
from slic.kernel.prctl import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_NODEV,
    MS_NOSUID,
    MS_REC,
    MS_SLAVE,
    mount,
    umount,
    unshare,
)


class HomePlaces:
    """`paths` are those listed; their layers are made at once, in a namespace of this process."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._layers: dict[bytes, int] = {}
        """Path -> a descriptor of its layer."""
        wanted = [path for path in paths if os.path.isdir(path)]
        if not wanted or not _own_namespace():
            return
        for path in wanted:
            if _layer(path):
                self._layers[path] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def make(self, path: bytes) -> None:
        """Have this directory, if it lies in a layer and may be made there."""
        for own, layer in self._layers.items():
            if path.startswith(own + b"/"):
                with contextlib.suppress(OSError):  # chdir(2) will say so
                    make_directories(layer, path[len(own) + 1 :], 0o755)


def _own_namespace() -> bool:
    try:
        unshare(CLONE_NEWNS)
        mount("none", "/", "", MS_REC | MS_SLAVE)
    except OSError:
        return False
    return True


def _layer(path: bytes) -> bool:
    place = tempfile.mkdtemp(prefix="glunix-places-")
    lower = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount("places", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        try:
            os.mkdir(f"{place}/upper", os.fstat(lower).st_mode & 0o7777)
            os.mkdir(f"{place}/work")
            below = f"/proc/self/fd/{lower}"  # a path may have commas and colons in it
            options = f"lowerdir={below},upperdir={place}/upper,workdir={place}/work"
            mount("places", os.fsdecode(path), "overlay", MS_NOSUID | MS_NODEV, options)
        finally:
            umount(place, MNT_DETACH)
    except OSError:
        return False
    finally:
        os.close(lower)
        os.rmdir(place)
    return True
