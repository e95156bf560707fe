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

from glunix.node.privilege import LAYERS
from slic.kernel.beneath import make_directories, open_beneath
from slic.kernel.capabilities import raised
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

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


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
                self._layers[path] = os.open(path, _PLACE)

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
    """Lay one over this directory. False: it cannot be had.

    Its parts are pinned with the owner's rights, and mounted by no name that he could exchange
    meanwhile: overlayfs needs a right that he has not (glunix.node.privilege).
    """
    place = tempfile.mkdtemp(prefix="glunix-places-")
    with contextlib.ExitStack() as stack:
        stack.callback(os.rmdir, place)
        try:
            lower = _pinned(stack, os.open(path, _PLACE))
            mount("places", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
            stack.callback(umount, place, MNT_DETACH)
            own = _pinned(stack, os.open(place, _PLACE))
            upper, work = (_made(stack, own, name) for name in (b"upper", b"work"))
            os.chmod(f"/proc/self/fd/{upper}", os.fstat(lower).st_mode & 0o7777)
            parts = {"lowerdir": lower, "upperdir": upper, "workdir": work}
            # By number: a path may have commas and colons in it.
            options = ",".join(f"{name}=/proc/self/fd/{fd}" for name, fd in parts.items())
            with raised(LAYERS):
                target = f"/proc/self/fd/{lower}"
                mount("places", target, "overlay", MS_NOSUID | MS_NODEV, options)
        except OSError:
            return False
    return True


def _pinned(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _made(stack: contextlib.ExitStack, directory: int, name: bytes) -> int:
    """A new directory there."""
    os.mkdir(name, dir_fd=directory)
    return _pinned(stack, open_beneath(directory, name, _PLACE))
