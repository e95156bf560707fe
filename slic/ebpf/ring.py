"""Reads a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) by mmap: records in the order of their reserve.

Owns the consumer's position. x86-64 only: loads are not reordered there, so the producer's position
and a record's header may be read with plain loads.
"""

import mmap
import struct
from collections.abc import Iterator

_U64 = struct.Struct("=Q")
_U32 = struct.Struct("=I")
_BUSY, _DISCARDED, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
_HEADER = 8


class Ring:
    """The map's descriptor is readable (poll(2)) while there are records; it stays the owner's."""

    def __init__(self, fd: int, size: int) -> None:
        """`size` in bytes, the map's max_entries."""
        self.fd = fd
        self._mask = size - 1
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The producer's page, then the data twice, so that no record is torn at the end.
        self._data = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        (self._at,) = _U64.unpack_from(self._consumer, 0)

    def records(self, most: int = 1 << 20) -> Iterator[bytes]:
        """What is there now, `most` records at most; one still being written ends it."""
        data = self._data
        for _ in range(most):
            if self._at >= _U64.unpack_from(data, 0)[0]:
                return
            start = mmap.PAGESIZE + (self._at & self._mask)
            (header,) = _U32.unpack_from(data, start)
            if header & _BUSY:
                return
            length = header & _LENGTH
            record = data[start + _HEADER : start + _HEADER + length]
            self._at += (length + _HEADER + 7) & ~7
            _U64.pack_into(self._consumer, 0, self._at)
            if not header & _DISCARDED:
                yield record

    def close(self) -> None:
        """Unmap; the descriptor is its owner's."""
        self._consumer.close()
        self._data.close()
