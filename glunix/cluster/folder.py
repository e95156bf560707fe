"""The state folder as its owner's tools use it: safe from other users, one tool at a time.

What lies in `private` is believed: pids that `down` ends, logs that are written to. So nobody but
the cluster's own user may have put it there, also where the folder is below /tmp.
"""

import fcntl
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glunix import config
from glunix.errors import GlunixError

CLUSTER_FOLDER = "/var/lib/glunix"
"""Root's cluster of several machines: what must outlive a reboot, unlike /run/glunix."""


def cluster_folder(given: str | None = None) -> Path:
    """The folder of glunix.toml and the keys: `--folder`, GLUNIX_DIR, root's, or ~/.glunix."""
    if given:
        return Path(given).absolute()
    if os.environ.get("GLUNIX_DIR"):
        return config.state_dir().absolute()
    return Path(CLUSTER_FOLDER) if config.is_machines_root() else Path.home() / ".glunix"


def default_state(folder: Path) -> str:
    """What `state` in glunix.toml is to say: where tools look when nobody tells them."""
    shared = config.is_machines_root() and str(folder) == CLUSTER_FOLDER
    return "/run/glunix" if shared else ""


def _check(path: Path, owners: tuple[int, ...], forbidden: int, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise GlunixError(f"cannot use {path}: not a folder of its own")
    if found.st_uid not in owners:
        raise GlunixError(f"cannot use {path}: it belongs to uid {found.st_uid}")
    if found.st_mode & forbidden and not found.st_mode & stat.S_ISVTX:
        raise GlunixError(f"cannot use {path}: others may write there (chmod go-w)")


def made_safe(folder: Path) -> None:
    """Make the folder and its private one; GlunixError when another user could meddle with them."""
    uid = os.geteuid()
    private = config.private(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        # Group bits are left to the user: many have a group of their own and umask 002.
        _check(folder, (uid, 0), stat.S_IWOTH, folder.stat())
        private.mkdir(exist_ok=True, mode=0o700)
        _check(private, (uid,), stat.S_IRWXG | stat.S_IRWXO, private.lstat())
    except OSError as error:
        raise GlunixError(f"cannot use the state folder {folder}: {error.strerror}") from None


@contextmanager
def locked(folder: Path, patience: float) -> Iterator[None]:
    """One `up` or `down` at a time per state folder; waits at most `patience` seconds."""
    made_safe(folder)
    try:
        path = config.private(folder) / "lock"
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise GlunixError(f"cannot use the state folder {folder}: {error.strerror}") from None
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GlunixError("another `glunix up` or `down` holds the lock") from None
                select.select([], [], [], 0.05)
        yield
    finally:
        os.close(lock)
