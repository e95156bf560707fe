"""Functions of the C library. `import ctypes` would cost 8 ms of a start-up."""

from __future__ import annotations

import _ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Also an address."""

    _type_ = "l"


class _Function(_ctypes.CFuncPtr):
    _flags_ = 1 | 8  # FUNCFLAG_CDECL and FUNCFLAG_USE_ERRNO
    _restype_ = Long


def function(name: str, count: int) -> Callable[..., int]:
    """The library's function of that name, which takes `count` longs."""
    program = _ctypes.dlopen(None, 2)  # type: ignore[arg-type]  # NULL: itself and its libraries
    found = _Function(_ctypes.dlsym(program, name))
    found.argtypes = (Long,) * count
    return found


def call(name: str, *arguments: int) -> None:
    """Call a function of the library that returns an int, 0 or -1. OSError for an errno."""
    if function(name, len(arguments))(*arguments) & 0xFFFFFFFF:  # the rest of a long is undefined
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_STATFS_LONGS = 15
"""struct statfs is 120 bytes on 64-bit machines (statfs(2))."""


def fstatfs(fd: int) -> list[int]:
    """struct statfs as longs; f_fsid is one of them. OSError for an errno."""
    room = (Long * _STATFS_LONGS)()
    call("fstatfs", fd, _ctypes.addressof(room))
    return list(memoryview(room).cast("B").cast("l"))


_HANDLE_MAX = 128
"""MAX_HANDLE_SZ (open_by_handle_at(2))."""
_AT_EMPTY_PATH = 0x1000


def handle_of(fd: int) -> tuple[int, int, bytes]:
    """(type, mount, handle) of an open file (name_to_handle_at(2)). OSError for an errno."""
    room = (Long * 18)()  # unsigned int handle_bytes, int handle_type, the handle; then mount_id
    name, mount = (Long * 1)(), (Long * 1)()
    view = memoryview(room).cast("B")
    view[:4] = _HANDLE_MAX.to_bytes(4, "little")
    places = [_ctypes.addressof(one) for one in (name, room, mount)]
    call("name_to_handle_at", fd, *places, _AT_EMPTY_PATH)
    size = int.from_bytes(view[:4], "little")
    kind = int.from_bytes(view[4:8], "little", signed=True)
    return kind, int.from_bytes(bytes(mount)[:4], "little"), bytes(view[8 : 8 + size])
