"""A home file that is read ahead of the program, while its offset moves as the program moves it.

Owns the bytes of one home file that are here and were not read by the program, and how far home's
offset is behind what the program has read. They are fetched with pread(2), which moves nothing;
`settle` moves home's offset, and is called before home can hear anything that the program did.

Only reads that follow one another are worth it. The end of the file is never kept, so that a file
that grows is seen to grow; and nothing is kept longer than STALE seconds.
Limit: bytes of a file that is changed in place may be that old.
"""

import os
import time
from collections import deque
from collections.abc import Callable

from glunix.msg.frame import CHUNK

AHEAD = 4 * CHUNK
"""Bytes here and under way at most."""

BEGIN = 16 * 1024
"""Bytes that are fetched first; twice as many each time, as the kernel does."""

STREAK = 2
"""Whole reads, one after the other, after which more will follow."""

STALE = 0.1


def _as_it_came(piece: memoryview) -> bytes:
    """Its bytes, without a copy where they are all of an object."""
    whole = piece.obj
    return whole if type(whole) is bytes and len(whole) == len(piece) else bytes(piece)


class ReadAhead:
    """`want(offset, count)` asks for bytes, `seek(offset, whence)` moves; both return the ask."""

    def __init__(self, want: Callable[[int, int], int], seek: Callable[[int, int], int]) -> None:
        self._want = want
        self._seek = seek
        self._here: deque[tuple[float, memoryview]] = deque()
        self._size = 0
        self._coming: deque[tuple[int, int]] = deque()
        """(ask, bytes) under way, in the file's order."""
        self._position = -1
        """Where the program's next byte is; -1: not known."""
        self._asked = 0
        """The ask for the position, while it is under way."""
        self._since = 0
        """Bytes that the program read meanwhile."""
        self._moved = 0
        """How far home's offset is behind the program's."""
        self._moves: deque[tuple[int, int]] = deque()
        """(ask, where home's offset is to be then)."""
        self._streak = 0
        self._goal = BEGIN
        self._piece = CHUNK
        self._is_alone = True

    @property
    def coming(self) -> bool:
        """Whether the program's next byte is under way."""
        return bool(self._coming) and not self._size

    def take(self, count: int) -> bytes:
        """The program's next bytes, at most `count`, as far as they are here; else nothing."""
        if self._here and self._here[0][0] < time.monotonic() - STALE:
            self.drop()
        self._piece = count if CHUNK // 8 <= count <= CHUNK else CHUNK
        parts, left = [], count
        while left and self._here:
            at, piece = self._here.popleft()
            if len(piece) > left:
                self._here.appendleft((at, piece[left:]))
                piece = piece[:left]
            parts.append(piece)
            left -= len(piece)
        taken = _as_it_came(parts[0]) if len(parts) == 1 else b"".join(parts)
        self._size -= len(taken)
        self._advance(len(taken))
        self._moved += len(taken)
        return taken

    def _advance(self, count: int) -> None:
        if self._position >= 0:
            self._position += count
        self._since += count

    def more(self) -> None:
        """No read is at home: fetch what the program will ask for next."""
        if not self._is_alone or self._streak < STREAK:
            return
        if self._position < 0:
            if not self._asked:
                self._asked, self._since = self._seek(0, os.SEEK_CUR), self._moved
            return
        under_way = self._size + sum(count for _, count in self._coming)
        if under_way > self._goal // 2:
            return
        while under_way < self._goal:
            # As long as the program's reads, so that an answer is one piece.
            count = min(self._piece, max(BEGIN, self._goal - under_way))
            ask = self._want(self._position + under_way, count)
            self._coming.append((ask, count))
            under_way += count
        self._goal = min(2 * self._goal, AHEAD)

    def put_back(self, data: bytes) -> None:
        """The program could not be given these after all: they are its next bytes again."""
        self._moved -= len(data)
        self._advance(-len(data))
        if self._here or self._coming:
            self._here.appendleft((time.monotonic(), memoryview(data)))
            self._size += len(data)

    def read_at_home(self, wanted: int, got: int) -> None:
        """A read was made there, which moved home's offset, too."""
        self._streak = self._streak + 1 if got == wanted else 0
        self._advance(got)

    def wanted(self, ask: int) -> int:
        """Bytes that a question of ours asked for; CHUNK when it is none, or is void."""
        return next((count for own, count in self._coming if own == ask), CHUNK)

    def got(self, ask: int, data: bytes) -> bool:
        """Whether this answers a question of ours."""
        if not self._coming or self._coming[0][0] != ask:
            return False
        _, count = self._coming.popleft()
        if data:
            self._here.append((time.monotonic(), memoryview(data)))
            self._size += len(data)
        if len(data) < count:  # the end: what comes after it is for a read to find out
            self._coming.clear()
            self._streak = 0
        return True

    def sought(self, ask: int, value: int) -> bool:
        """Whether this answers a question of ours. value: home's offset, -1 for an error."""
        if self._asked and ask == self._asked:
            self._asked = 0
            if value >= 0:
                self._position = value + self._since
            return True
        if not self._moves or self._moves[0][0] != ask:
            return False
        _, expected = self._moves.popleft()
        if expected >= 0 and value != expected:  # somebody else moves it: ask for every read
            self._is_alone = False
            self.drop()
        return True

    def settle(self) -> None:
        """Move home's offset to where the program's is."""
        if self._moved:
            moved, self._moved = self._moved, 0
            expected = self._position
            self._moves.append((self._seek(moved, os.SEEK_CUR), expected))

    def drop(self) -> None:
        """Forget what is here: the program goes elsewhere, or somebody else may."""
        self.settle()
        self._here.clear()
        self._coming.clear()
        self._size = self._streak = 0
        self._goal = BEGIN
        self._position = -1
        self._asked = 0
