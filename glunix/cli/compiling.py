"""What GLUnix has in C: made at installation and when a cluster or a daemon starts."""

import errno
import os

from glunix import config
from glunix.home import shadowprogram
from slic.kernel import sieve

SHADOWS = shadowprogram.PROGRAM
SIEVE = sieve.LIBRARY


def compile_all(state: str | None = None) -> None:
    """Make what is not there, beside its source or in a cluster's state folder, by who may."""
    folders = (state or config.state_folder(),)
    for part in (SHADOWS, SIEVE):
        part.build(*folders)


def shadows() -> str:
    """Where the shadows' program is; OSError ENOENT: nowhere."""
    return _found(SHADOWS.built(config.state_folder()))


def sieved() -> str:
    """Where the sieve is; OSError: nowhere, or it cannot be loaded."""
    path = _found(SIEVE.built(config.state_folder()))
    if sieve.load(config.state_folder()) is None:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
    return path


def _found(path: str | None) -> str:
    if path is None:
        raise OSError(errno.ENOENT, "not compiled: gcc makes it when a cluster starts")
    return path
