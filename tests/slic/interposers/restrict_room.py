"""What the tests of `restrict` share: a room with rules, and who asks there."""

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any

from own_tracee import OwnTracee

from slic.interposers.restrict import Image, Restrict, Rules
from slic.verdict import Fail, Verdict

CWD = -100
REFUSED = Fail(errno.EACCES)


class Room:
    """A directory to read, one to write, one that is not named, and a caller."""

    def __init__(self, base: Path) -> None:
        self.read, self.write, self.other = (base / n for n in ("read", "write", "other"))
        for folder in (self.read, self.write, self.other):
            folder.mkdir()
            (folder / "file").write_text(folder.name)
        self.tracee = OwnTracee()
        self.rules = Rules.load(f"""
            [files]
            read = ["{self.read}"]
            write = ["{self.write}"]
            execute = ["{self.read}"]
            [network]
            connect = ["127.0.0.1:80", "10.1.0.0/16:1000-2000", "[::1]:*", "unix:{self.read}"]
            """)
        self.restrict = Restrict(self.rules, image=lambda pid: Image((0, pid), f"{self.read}/x"))

    def ask(self, name: str, *args: Any) -> Verdict:
        words = [os.fspath(a) if isinstance(a, Path) else a for a in args]
        return self.tracee.ask([self.restrict], name, *words)

    def open(self, path: Path | str | bytes, flags: int = os.O_RDONLY, mode: int = 0) -> Verdict:
        return self.ask("openat", CWD, path, flags, mode)


def address(family: int, host: str, port: int) -> bytes:
    raw = socket.inet_pton(family, host)
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H", port) + raw + bytes(8)
    return struct.pack("=H", family) + struct.pack("!HI", port, 0) + raw + bytes(4)
