"""The files of trust in a cluster folder's private/: written whole, mode 0600, refused when open.

ca.crt        the cluster's CA (everybody in the cluster)
ca.key        its key (the master's machine only)
names.key     what the tags of listeners' certificates are made with (all members)
master.key, master.crt        the master's listener
node.key, node.crt, listen.crt    this machine's daemon
members.json  certificates issued and revoked, invitations (the master's machine only)
revoked.json  revoked serials, as the master told them last
"""

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from glunix.errors import GlunixError
from glunix.trust.peer import NotTrusted


class TrustFiles:
    """The private folder of one cluster folder."""

    def __init__(self, private: Path) -> None:
        self.private = private
        self.ca_cert = private / "ca.crt"
        self.ca_key = private / "ca.key"
        self.names_key = private / "names.key"
        self.master_key = private / "master.key"
        self.master_cert = private / "master.crt"
        self.node_key = private / "node.key"
        self.node_cert = private / "node.crt"
        self.listen_cert = private / "listen.crt"
        self.members = private / "members.json"
        self.revoked = private / "revoked.json"

    def of_node(self) -> list[Path]:
        """What a machine that leaves must not keep."""
        return [self.node_key, self.node_cert, self.listen_cert, self.names_key, self.ca_cert]


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read; NotTrusted when others could."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise NotTrusted(f"{path} can be read by others (chmod 600, and revoke this key)")
            if found.st_uid not in (0, os.geteuid()):
                raise NotTrusted(f"{path} belongs to uid {found.st_uid}")
            return file.read()
    except OSError as error:
        raise NotTrusted(f"cannot read {path}: {error.strerror}") from None


def write_private(path: Path, data: bytes) -> None:
    """Put `data` in place of what is there: all of it or nothing, readable by us only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise GlunixError(f"cannot write {path}: {error.strerror}") from None


def read_json(path: Path, empty: Any) -> Any:
    """A JSON file, or `empty` when there is none; NotTrusted when it is damaged."""
    if not path.exists():
        return empty
    try:
        return json.loads(read_private(path))
    except ValueError as error:
        raise NotTrusted(f"{path} is damaged: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """`write_private` of JSON."""
    write_private(path, (json.dumps(value, indent=1) + "\n").encode())
