"""Mounts by descriptor (Linux 5.2): fsopen(2) and its like, open_tree(2), move_mount(2).

Bindings only. A mount is a descriptor until it is attached; each call raises OSError.
"""

import os
from collections.abc import Mapping

from slic.kernel.libc import syscall

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLONE = 1
_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_FROM_EMPTY, _TO_EMPTY = 0x04, 0x40
_AT_EMPTY_PATH = 0x1000
ATTR_NOSUID, ATTR_NODEV = 2, 4


def new_mount(kind: str, options: Mapping[str, str | None], attributes: int) -> int:
    """A new file system, mounted nowhere yet. An option without a value is None; values are 255
    bytes at most, and relative names in them begin at the working directory."""
    context = syscall(_FSOPEN, kind.encode(), _CLOEXEC)
    try:
        for name, value in options.items():
            what = _SET_FLAG if value is None else _SET_STRING
            given = None if value is None else value.encode()
            syscall(_FSCONFIG, context, what, name.encode(), given, 0)
        syscall(_FSCONFIG, context, _CREATE, None, None, 0)
        return syscall(_FSMOUNT, context, _CLOEXEC, attributes)
    finally:
        os.close(context)


def copy_of_mount(directory: int) -> int:
    """A copy of the mount that this directory is in, with it as its root, and of no mount below."""
    return syscall(_OPEN_TREE, directory, b"", _CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH)


def attach(mount: int, directory: int) -> None:
    """Mount it on this directory of the caller's mount namespace."""
    syscall(_MOVE_MOUNT, mount, b"", directory, b"", _FROM_EMPTY | _TO_EMPTY)
