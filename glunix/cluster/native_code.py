"""What GLUnix has in C: made at installation and when a cluster or a daemon starts."""

import contextlib
import errno
import os
import socket

from glunix import config
from glunix.errors import GlunixError
from glunix.home.processes import forkserver, forkserver_build
from glunix.lib import library
from glunix.node.spawn.reaper import REAPER
from slic.ebpf import objects
from slic.kernel import sieve
from slic.kernel.compiled import NO_LIBC, Compiled

SHADOWS = forkserver_build.PROGRAM
SIEVE = sieve.LIBRARY
PROGRAMS = objects.OBJECT
_CLI = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cli")
START = Compiled((os.path.join(_CLI, "start.c"),), NO_LIBC)
"""What the tools' scripts name in their first line (glunix.cli.launchers)."""

_PATIENCE = 5.0
"""Seconds for a program's first word."""


def compile_all(state: str | None = None) -> None:
    """Make what is not there, beside its source or in a cluster's state folder, by who may."""
    folders = (state or config.state_folder(),)
    for part in (SHADOWS, SIEVE, REAPER, PROGRAMS, START):
        path = part.build(*folders)
        if part is SHADOWS and path is not None:
            forkserver_build.let_choose(path)
    with contextlib.suppress(GlunixError):  # `glunix config --libs` says why there is none
        library.build()


def shadows() -> str:
    """Where the shadows' program is; OSError ENOENT: nowhere."""
    return _found(SHADOWS.built(config.state_folder()))


def sessions() -> None:
    """Whether the shadows' program may choose pids for whoever asks; OSError EPERM, ENOENT."""
    program = shadows()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(_PATIENCE)
        with theirs:
            watch = forkserver.spawn(program, theirs.fileno())
        try:
            words = ours.recv(64)
        finally:
            ours.shutdown(socket.SHUT_WR)
            os.waitpid(watch, 0)
    if words[4:5] != b"\1":
        raise OSError(errno.EPERM, f"{program} has no CAP_CHECKPOINT_RESTORE: root sets it")


def sieved() -> str:
    """Where the sieve is; OSError: nowhere, or it cannot be loaded."""
    path = _found(SIEVE.built(config.state_folder()))
    if sieve.load(config.state_folder()) is None:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
    return path


def starter() -> str:
    """Where the program is that starts the tools; OSError ENOENT: nowhere."""
    return _found(START.built(config.state_folder()))


def _found(path: str | None) -> str:
    if path is None:
        raise OSError(errno.ENOENT, "not compiled: gcc makes it when a cluster starts")
    return path
