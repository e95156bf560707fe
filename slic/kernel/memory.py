"""Another process's memory: process_vm_readv and process_vm_writev (process_vm_readv(2)).

These respect page protections, unlike /proc/PID/mem, whose writes go through read-only pages.
OSError: EFAULT nothing readable there, ESRCH no such task, EPERM not ours to touch.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

from slic.kernel.libc import LIBC

_PROTOTYPE: list[Any] = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
]
_readv = LIBC.process_vm_readv
_readv.argtypes = _PROTOTYPE
_readv.restype = ctypes.c_ssize_t
_writev = LIBC.process_vm_writev
_writev.argtypes = _PROTOTYPE
_writev.restype = ctypes.c_ssize_t
_bytes_at = ctypes.pythonapi.PyBytes_AsString
"""Where the bytes of an object are: what is written is not copied first."""
_bytes_at.argtypes = [ctypes.py_object]
_bytes_at.restype = ctypes.c_void_p
_iovec = struct.Struct("=QQ").pack

PAGE = 4096


def read(tid: int, address: int, size: int) -> bytes:
    """Up to `size` bytes from `address`: less when a page in between is not readable."""
    if size <= 0:
        return b""
    buffer = ctypes.create_string_buffer(size)
    done = _readv(
        tid, _iovec(ctypes.addressof(buffer), size), 1, _iovec(address & (1 << 64) - 1, size), 1, 0
    )
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw if done == size else buffer.raw[:done]


def write(tid: int, address: int, data: bytes) -> int:
    """Write `data` at `address`; bytes written, less when a page in between is not writable."""
    size = len(data)
    if not size:
        return 0
    done: int = _writev(
        tid, _iovec(_bytes_at(data), size), 1, _iovec(address & (1 << 64) - 1, size), 1, 0
    )
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def cstring(read: Callable[[int, int], bytes], address: int, limit: int) -> bytes | None:
    """The NUL-terminated string at `address`; None if longer than `limit`; EFAULT as in `read`, of
    which an address and a size are asked.
    """
    found = bytearray()
    while len(found) <= limit:
        # Never across a page boundary in one go: the next page may not exist.
        here = address + len(found)
        chunk = read(here, min(PAGE - here % PAGE, limit + 1 - len(found), 256))
        end = chunk.find(0)
        if end >= 0:
            return bytes(found + chunk[:end])
        found += chunk
    return None
