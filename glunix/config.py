"""Where a cluster keeps its things, and the knobs a user may turn by environment.

Layout of the state folder (`GLUNIX_DIR`):

    NODE.sock          clients of that node's daemon (mode 0666: identity is SO_PEERCRED)
    home.sock          the same for the home node, where users type
    private/           mode 0700: only the cluster's own user
      master.sock      daemons to the master
      peer-NODE.sock   daemons to that node's daemon
      cluster.json     what `glunix up` started: names, pids, start times
      journal.sqlite   the master's jobs
      NAME.log         one log per process

No asyncio, no sockets, no os (2 ms), and pathlib (5 ms) only for those who ask for a Path: the
startup imports this module.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path

HOME_NODE = "home"
HEARTBEAT = 2.0
"""Seconds between load reports at the most; three missed ones mean a lost node."""

LOST_AFTER = 3 * HEARTBEAT


def is_machines_root() -> bool:
    """Root, with the machine's own folders: not that of a user namespace like `unshare -Ur`."""
    return posix.geteuid() == 0 and posix.access("/run", posix.W_OK)


def encoded(text: str) -> bytes:
    """As os.fsencode, for a str."""
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def decoded(data: bytes) -> str:
    """As os.fsdecode, for bytes."""
    return data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def variable(name: str) -> str:
    """Of the environment; empty when it is not there. Where nobody has loaded os, nobody has
    changed os.environ."""
    if (os := sys.modules.get("os")) is not None:
        return str(os.environ.get(name, ""))
    return decoded(posix.environ.get(name.encode(), b""))


def _is_folder(path: str) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except (OSError, ValueError):
        return False


def state_folder() -> str:
    """The state folder: GLUNIX_DIR, else the user's own ~/.glunix, else root's /run/glunix."""
    given = variable("GLUNIX_DIR")
    if given:
        return given
    shared = "/run/glunix"
    if is_machines_root():
        return shared
    own = variable("HOME") + "/.glunix"
    return shared if _is_folder(shared) and not _is_folder(own) else own


def state_dir() -> Path:
    """`state_folder` as a Path."""
    from pathlib import Path

    return Path(state_folder())


def client_socket(folder: Path, node: str | None = None) -> Path:
    """Socket of the daemon a client talks to: the node it runs on (GLUNIX_NODE), else home."""
    name = node or variable("GLUNIX_NODE") or HOME_NODE
    return folder / f"{name}.sock"


def private(folder: Path) -> Path:
    """The folder that only the cluster's own user can enter."""
    return folder / "private"


def master_socket(folder: Path) -> Path:
    """Where daemons reach the master."""
    return private(folder) / "master.sock"


def peer_socket(folder: Path, node: str) -> Path:
    """Where daemons reach the daemon of `node`."""
    return private(folder) / f"peer-{node}.sock"


def exit_error() -> int:
    """Exit status of GLUnix's own failures: GLUNIX_EXIT_ERROR, 1..255, else 125 (as env(1))."""
    text = variable("GLUNIX_EXIT_ERROR")
    return int(text) if text.isdecimal() and 1 <= int(text) <= 255 else 125


PLACE_TIMEOUT = 30.0
"""Seconds that a startup waits for its daemon and master to place a job."""
