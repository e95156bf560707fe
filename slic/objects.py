"""What descriptors lead to: a set of files, devices and kinds of file, as stat(2) tells them.

Plain data instead of a predicate, so that an engine may look without asking Python.
"""

import os
import stat
from collections.abc import Iterable


class Objects:
    """Live: whoever holds it sees what is added and taken out; `version` grows with each change."""

    __slots__ = ("devices", "files", "kinds", "version")

    def __init__(self, kinds: Iterable[int] = ()) -> None:
        """`kinds` are of stat(2)'s S_IFMT: every file of such a kind is in the set."""
        self.version = 0
        self.kinds = frozenset(kinds)
        self.files: set[tuple[int, int]] = set()
        """(st_dev, st_ino)"""
        self.devices: set[int] = set()
        """st_rdev"""

    def add(self, device: int, inode: int) -> None:
        """A file by its st_dev and st_ino."""
        self.files.add((device, inode))
        self.version += 1

    def discard(self, device: int, inode: int) -> None:
        """Take it out, if it is there."""
        self.files.discard((device, inode))
        self.version += 1

    def add_device(self, number: int) -> None:
        """A device by its st_rdev, whatever file it is reached by."""
        self.devices.add(number)
        self.version += 1

    def __contains__(self, seen: os.stat_result) -> bool:
        return (
            (seen.st_dev, seen.st_ino) in self.files
            or seen.st_rdev in self.devices
            or stat.S_IFMT(seen.st_mode) in self.kinds
        )
