"""Layers in memory over directories of a job's owner (overlayfs), made by nobody else's rights.

Owns the processes that make them. What is made in a layer is nowhere on a disk, and what the node
has in the directory shows through. overlayfs acts on the directories below it with the rights of
the process that made it, and wants CAP_DAC_OVERRIDE of that. So the maker is the owner, in a user
namespace where nobody but the owner has a number (user_namespaces(7)): its capabilities reach what
is the owner's, and no further. A layer is a descriptor until a process attaches it in a mount
namespace of its own (glunix.node.calls.mounts); root's own jobs need no user namespace.

Nothing is laid over a directory that is not the owner's: the owner can write a layer's root,
and the init of the job's PID namespace, which is root's, has these mounts, too.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from typing import NamedTuple

from glunix.msg.job import Owner
from glunix.node import privilege
from glunix.node.spawn.fork import close_others, fork_child, receive
from glunix.node.spawn.going import kept_going
from slic.kernel.beneath import open_beneath
from slic.kernel.mounts import ATTR_NODEV, ATTR_NOSUID, attach, copy_of_mount, new_mount
from slic.kernel.prctl import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_REC,
    MS_SLAVE,
    mount,
    set_parent_death_signal,
    unshare,
)

_SECONDS = 10.0
"""Nobody but the kernel is waited for: it then does not answer at all."""
_PACKET = 8192
_MADE, _FAILED = b"+", b"-"
_READY, _MAPPED = b"r", b"m"


class Layer(NamedTuple):
    """A mount that is attached nowhere yet, and the directory that it is for, by a name without
    links."""

    path: bytes
    mount: int
    device: int
    inode: int


class Layers(NamedTuple):
    """Those that could be made, and a line for each path that has none."""

    made: list[Layer]
    complaints: list[str]


def make_layers(paths: Iterable[bytes], owner: Owner) -> Layers:
    """Make a layer for each directory of these that this node has; one inside another has none.

    `paths`: absolute, without links (`os.path.realpath`).
    """
    made: list[Layer] = []
    complaints: list[str] = []
    for path in sorted(set(paths)):
        if any(path.startswith(layer.path + b"/") for layer in made):
            continue
        try:
            directory = open_directory(path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # there is nothing to lay it over
        except OSError as error:
            complaints.append(_complaint(path, error.strerror or ""))
            continue
        try:
            seen = os.fstat(directory)
            if privilege.is_needed(owner) and seen.st_uid != owner.uid:
                complaints.append(_complaint(path, "it is another user's on this node"))
                continue
            layer = _ask_maker(directory, owner)
            made.append(Layer(path, layer, seen.st_dev, seen.st_ino))
        except OSError as error:
            complaints.append(_complaint(path, error.strerror or str(error)))
        finally:
            os.close(directory)
    return Layers(made, complaints)


def open_directory(path: bytes) -> int:
    """A descriptor of the directory of this absolute name, by way of no link. OSError."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_beneath(root, path.lstrip(b"/") or b".", os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(root)


def _complaint(path: bytes, why: str) -> str:
    shown = path.decode("utf-8", "backslashreplace")
    return f"directories that only home has below {shown} cannot be entered: {why}"


def _ask_maker(directory: int, owner: Owner) -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(_SECONDS)
        with theirs:
            maker = fork_child(lambda: _Maker(directory, theirs, owner).run())
        try:
            with kept_going():
                packet, fds = receive(ours, _PACKET, 1)
        except TimeoutError:
            raise OSError("no answer from the process that makes the layer") from None
        finally:
            os.kill(maker, signal.SIGKILL)  # its owner may have stopped it
            os.waitpid(maker, 0)
    if packet[:1] == _MADE and fds:
        return fds[0]
    raise OSError(packet[1:].decode("utf-8", "replace") or "the process that makes it has died")


class _Maker:
    """In its own process."""

    def __init__(self, directory: int, tells: socket.socket, owner: Owner) -> None:
        self._directory = directory
        self._tells = tells
        self._owner = owner

    def run(self) -> None:
        close_others({self._directory, self._tells.fileno()})
        set_parent_death_signal(signal.SIGKILL)
        try:
            below = copy_of_mount(self._directory)
            if privilege.is_needed(self._owner):
                self._in_user_namespace(below)
            else:
                unshare(CLONE_NEWNS)
                mount("none", "/", "", MS_REC | MS_SLAVE)
                self._make(below, {})
        except OSError as error:
            self._tells.send(_FAILED + (error.strerror or str(error)).encode()[:200])

    def _in_user_namespace(self, below: int) -> None:
        """A child does it: the parent of its namespace gives the owner a number there."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def child() -> None:
            ours.close()
            try:
                unshare(CLONE_NEWUSER | CLONE_NEWNS)
                set_parent_death_signal(signal.SIGKILL)  # now: it is forgotten with the rights
                theirs.send(_READY)
                if theirs.recv(1) == _MAPPED:
                    self._make(below, {"userxattr": None})
            except OSError as error:
                self._tells.send(_FAILED + (error.strerror or str(error)).encode()[:200])

        with ours:
            with theirs:
                pid = fork_child(child)
            try:
                if ours.recv(1) == _READY:
                    privilege.map_owner(pid, self._owner)
                    ours.send(_MAPPED)
            finally:
                ours.close()
                os.waitpid(pid, 0)

    def _make(self, below: int, how: dict[str, str | None]) -> None:
        """In a mount namespace of its own: names are relative, so none has to be escaped."""
        seen = os.fstat(below)
        memory = new_mount("tmpfs", {"mode": "0700"}, ATTR_NOSUID | ATTR_NODEV)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        attach(memory, root)  # overlayfs wants its parts in this namespace (before Linux 6.15)
        os.fchdir(memory)
        for name in ("lower", "upper", "work"):
            os.mkdir(name, 0o700)
        os.chmod("upper", seen.st_mode & 0o7777)
        with contextlib.suppress(OSError):  # a group that the owner is not in has no number here
            os.chown("upper", seen.st_uid, seen.st_gid)
        attach(below, os.open("lower", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        parts = {"lowerdir": "lower", "upperdir": "upper", "workdir": "work"}
        layer = new_mount("overlay", {**how, **parts}, ATTR_NOSUID | ATTR_NODEV)
        socket.send_fds(self._tells, [_MADE], [layer])
