"""Directories of home that a program can be in: the same name must exist on the node.

Owns a layer in memory over each listed directory that the node has and that is the owner's
(glunix.node.calls.layers). The layers are mounted in the mount namespace of the job, and never
where the supervisor looks for files: it makes directories in them by descriptor, with the owner's
rights and by way of no link. Where there can be no layer the node's log says why, and only what the
node has can be entered.
"""

import os
from collections.abc import Iterable

from glunix.msg.job import Owner
from glunix.node.calls.layers import Layer, make_layers, open_directory
from slic.kernel.beneath import make_directories
from slic.kernel.mounts import attach
from slic.kernel.prctl import CLONE_NEWNS, MS_REC, MS_SLAVE, mount, unshare


class HomePlaces:
    """`paths` are those listed; their layers are made at once, and attached by `enter`."""

    def __init__(self, paths: Iterable[bytes], owner: Owner) -> None:
        self._real = {
            path: os.path.realpath(path)
            for path in paths
            if path.startswith(b"/") and b"\0" not in path
        }
        """What is listed, and the name of it on this node that has no link in it."""
        self._layers: list[Layer] = []
        if not self._real:
            return
        self._layers, complaints = make_layers(self._real.values(), owner)
        for line in complaints:
            _say(line)

    def make(self, path: bytes) -> None:
        """Have this directory, if it lies in a layer. OSError."""
        for listed, real in self._real.items():
            if not path.startswith(listed + b"/"):
                continue
            whole = real + path[len(listed) :]
            for layer in self._layers:
                if whole.startswith(layer.path + b"/"):
                    make_directories(layer.mount, whole[len(layer.path) + 1 :], 0o755)

    def enter(self) -> None:
        """In a process of the job that has a mount namespace of its own, before there is a
        program: attach the layers there."""
        for layer in self._layers:
            try:
                at = open_directory(layer.path)
                try:
                    seen = os.fstat(at)
                    if (seen.st_dev, seen.st_ino) != (layer.device, layer.inode):
                        raise OSError("the directory was exchanged")
                    attach(layer.mount, at)
                finally:
                    os.close(at)
            except OSError as error:
                shown = layer.path.decode("utf-8", "backslashreplace")
                _say(f"no layer over {shown}: {error.strerror or error}")

    def enter_alone(self) -> None:
        """The same, in a process that first has to leave the mount namespace of the supervisor."""
        if not self._layers:
            return
        try:
            unshare(CLONE_NEWNS)
            mount("none", "/", "", MS_REC | MS_SLAVE)
        except OSError as error:
            _say(f"no layers: {error}")
        else:
            self.enter()


def _say(line: str) -> None:
    print(f"--home: {line}", flush=True)
