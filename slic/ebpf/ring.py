"""Reads a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) by mmap: records in the order of their reserve.

Owns the consumer's position. x86-64 only: loads are not reordered there, so the producer's position
and a record's header may be read with plain loads.

Positions are read and written as elements of a memoryview, which are one load or store each.
`struct` will not do: "=Q" goes byte after byte, and pack_into clears the place first. The kernel
then now and then sees a position that never was, takes the ring for full, and loses an event.
"""

import mmap
from collections.abc import Iterator

_BUSY, _DISCARDED, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
_HEADER = 8


class Ring:
    """The map's descriptor is readable (poll(2)) while there are records; it stays the owner's."""

    def __init__(self, fd: int, size: int) -> None:
        """`size` in bytes, the map's max_entries."""
        self.fd = fd
        self._mask = size - 1
        page = mmap.PAGESIZE
        self._own = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The producer's page, then the data twice, so that no record is torn at the end.
        self._data = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._own).cast("Q")
        self._producer = memoryview(self._data).cast("Q")
        self._headers = memoryview(self._data).cast("I")
        self._at: int = self._consumer[0]

    def records(self, most: int = 1 << 20) -> Iterator[bytes]:
        """What is there now, `most` records at most; one still being written ends it."""
        for _ in range(most):
            if self._at >= self._producer[0]:
                return
            start = mmap.PAGESIZE + (self._at & self._mask)
            header = self._headers[start >> 2]
            if header & _BUSY:
                return
            length = header & _LENGTH
            record = self._data[start + _HEADER : start + _HEADER + length]
            self._at += (length + _HEADER + 7) & ~7
            self._consumer[0] = self._at
            if not header & _DISCARDED:
                yield record

    def close(self) -> None:
        """Unmap; the descriptor is its owner's."""
        for view in (self._consumer, self._producer, self._headers):
            view.release()
        self._own.close()
        self._data.close()
