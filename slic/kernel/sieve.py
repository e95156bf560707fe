"""sieve.c: poll(2) that answers the notifications which concern nobody, without Python.

Only bindings; what concerns whom is told by the engine. Where it cannot be compiled or loaded there
is none, and the engine looks itself.
"""

import ctypes
import errno
import functools
import os
import struct
import time
from collections.abc import Collection, Iterable, Mapping

from slic.kernel.compiled import Compiled
from slic.kernel.seccomp import NOTIF

LIBRARY = Compiled(
    (os.path.join(os.path.dirname(__file__), "sieve.c"),),
    ("-std=gnu11", "-O2", "-shared", "-fPIC", "-Wl,--build-id=none"),
    ".so",
)
CALLS = 1024
WAITING = 16
NOTED = 128
_POLLFD = struct.Struct("=iHH")
_OBJECT = struct.Struct("=QQ")


class _Sieve(ctypes.Structure):
    _fields_ = (
        ("about", ctypes.c_int8 * CALLS),
        ("objects", ctypes.c_char_p),
        ("devices", ctypes.c_char_p),
        ("object_count", ctypes.c_uint32),
        ("device_count", ctypes.c_uint32),
        ("kinds", ctypes.c_uint32),
        ("waiting_count", ctypes.c_uint32),
        ("waiting", ctypes.c_uint32 * WAITING),
        ("listener", ctypes.c_int),
        ("sync", ctypes.c_int),
        ("rests", ctypes.c_long),
        ("elsewhere", ctypes.c_int),
        ("caught", ctypes.c_int),
        ("budgeted", ctypes.c_int),
        ("budget", ctypes.c_uint32),
        ("noted_count", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("but", ctypes.c_uint32),
        ("noted", ctypes.c_uint32 * NOTED),
        ("call", ctypes.c_uint64 * (NOTIF.size // 8)),
    )


@functools.cache
def load(*folders: str) -> ctypes.CDLL | None:
    """The library, beside its source or in one of the folders; None: none, or not of this kind.

    Found once: a supervisor that is its job's owner later would trust that user's files, too.
    """
    path = LIBRARY.built(*folders)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(path, use_errno=False)
        library.sieve_poll.argtypes = (
            ctypes.POINTER(_Sieve), ctypes.c_char_p, ctypes.c_ulong, ctypes.c_longlong,
        )  # fmt: skip
        library.sieve_poll.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


class Sieve:
    """A listener's, and select.poll's register, unregister and poll for a loop around it."""

    def __init__(self, library: ctypes.CDLL, listener: int, sync: bool) -> None:
        """`sync`: the listener wakes on the same core (seccomp.set_sync_wake_up)."""
        self._poll = library.sieve_poll
        self._sieve = _Sieve(listener=listener, sync=sync, budgeted=-1)
        self._at = ctypes.byref(self._sieve)
        self._call = ctypes.addressof(self._sieve) + _Sieve.call.offset
        self._events: dict[int, int] = {listener: 0}  # first, always
        self._pack()

    def look_at(self, about: Mapping[int, int]) -> None:
        """Call numbers, and which of their arguments is a descriptor; others are handed out."""
        for number in range(CALLS):
            self._sieve.about[number] = about.get(number, -1)

    def know(self, files: Collection[tuple[int, int]], devices: Collection[int],
             kinds: Iterable[int]) -> None:  # fmt: skip
        """What concerns the policy: (st_dev, st_ino) of files, st_rdev of devices, S_IFMT."""
        self._sieve.objects = b"".join(_OBJECT.pack(*file) for file in files)
        self._sieve.object_count = len(files)
        self._sieve.devices = struct.pack(f"={len(devices)}Q", *devices)
        self._sieve.device_count = len(devices)
        self._sieve.kinds = sum(1 << (kind >> 12) for kind in set(kinds))

    def hand_out(self, tids: Collection[int]) -> None:
        """Whatever these threads call is for the engine to see."""
        if len(tids) > WAITING:
            self._sieve.waiting_count = WAITING + 1  # whoever calls
            return
        self._sieve.waiting_count = len(tids)
        self._sieve.waiting[: len(tids)] = list(tids)

    def allow(self, number: int, count: int, group: int, but: int) -> None:
        """So many calls of this number, by threads of this process group but one, may go on."""
        self._sieve.budgeted = number
        self._sieve.budget = count
        self._sieve.group, self._sieve.but = group, but

    def noted(self) -> list[int]:
        """The threads whose calls went on so since the last time."""
        count, self._sieve.noted_count = self._sieve.noted_count, 0
        threads: list[int] = self._sieve.noted[:count]
        return threads

    @property
    def elsewhere(self) -> bool:
        """Whether the call taken last came from another core."""
        return bool(self._sieve.elsewhere)

    def take(self) -> bytes | None:
        """The notification (seccomp.NOTIF) that was handed out last; None: there is none."""
        if not self._sieve.caught:
            return None
        self._sieve.caught = 0
        return ctypes.string_at(self._call, NOTIF.size)

    def register(self, fd: int, events: int) -> None:
        """As of select.poll."""
        self._events[fd] = events
        self._pack()

    def unregister(self, fd: int) -> None:
        """As of select.poll; KeyError: it is not registered."""
        if fd == self._sieve.listener:
            self._events[fd] = 0
        else:
            del self._events[fd]
        self._pack()

    def _pack(self) -> None:
        (listener, wanted), *others = self._events.items()
        packed = _POLLFD.pack(listener if wanted else -1, wanted, 0)
        packed += b"".join(_POLLFD.pack(*one, 0) for one in others)
        self._fds = ctypes.create_string_buffer(packed, len(packed))

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """As of select.poll (milliseconds), but for notifications that concern nobody.

        Nothing after a signal.
        """
        until = -1
        if timeout is not None and timeout >= 0:
            until = time.monotonic_ns() + int(timeout * 1_000_000)
        ready = self._poll(self._at, self._fds, len(self._events), until)
        if ready < 0 and ready != -errno.EINTR:
            raise OSError(-ready, os.strerror(-ready))
        if ready <= 0:
            return []
        return [(fd, events) for fd, _, events in _POLLFD.iter_unpack(self._fds) if events]
