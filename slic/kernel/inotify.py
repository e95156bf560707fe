"""inotify(7): being told that nobody uses a file any more."""

import ctypes
import os
import struct

from slic.kernel.libc import LIBC

IN_DELETE_SELF = 0x400
IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class Watcher:
    """Tells when unnamed files (memfd_create(2), removed ones) are gone: no descriptor, no map."""

    def __init__(self) -> None:
        self._fd = _checked(LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """For poll."""
        return self._fd

    def watch(self, fd: int) -> int:
        """A number that `gone` will give when the file behind `fd` has no user left."""
        path = f"/proc/self/fd/{fd}".encode()
        return _checked(LIBC.inotify_add_watch(self._fd, path, ctypes.c_uint32(IN_DELETE_SELF)))

    def gone(self) -> list[int]:
        """The numbers of those that are gone since the last call."""
        try:
            events = os.read(self._fd, 65536)
        except BlockingIOError:
            return []
        found = []
        while events:
            number, mask, _, length = _EVENT.unpack_from(events)
            events = events[_EVENT.size + length :]
            if mask & IN_IGNORED:
                found.append(number)
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self._fd)
