"""Deadlines without a clock (the paper's Timer).

Owns which key is due at which time; never reads a clock and never sleeps: `now` comes in as an
argument, and whoever runs the loop waits until `next()`.
"""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timer(Generic[K]):
    """At most one deadline per key. Times are seconds of whatever clock the caller uses.

    A deadline that only moves later (a heartbeat) costs one dictionary write: its old heap entry
    stays and is corrected when it comes up.
    """

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._heaped: dict[K, float] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def keys(self) -> list[K]:
        """Every key that has a deadline, in no promised order."""
        return list(self._at)

    def at(self, key: K) -> float | None:
        """The deadline of a key, or None."""
        return self._at.get(key)

    def set(self, key: K, at: float) -> None:
        """Give `key` the deadline `at`, in place of the one it had."""
        self._at[key] = at
        heaped = self._heaped.get(key)
        if heaped is None or at < heaped:
            self._push(key, at)

    def cancel(self, key: K) -> None:
        """Forget the deadline of `key`, if it has one."""
        self._at.pop(key, None)

    def due(self, now: float) -> list[K]:
        """Take out and return the keys whose deadline is `now` or earlier, earliest first."""
        found = []
        while (first := self.next()) is not None and first <= now:
            key = heapq.heappop(self._heap)[2]
            del self._heaped[key]
            del self._at[key]
            found.append(key)
        return found

    def next(self) -> float | None:
        """The earliest deadline, or None when there is none."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._heaped.get(key) != at:  # an earlier deadline was pushed after this one
                heapq.heappop(self._heap)
                continue
            wanted = self._at.get(key)
            if wanted == at:
                return at
            heapq.heappop(self._heap)
            del self._heaped[key]
            if wanted is not None:
                self._push(key, wanted)
        return None

    def postpone(self, seconds: float) -> None:
        """Move every deadline later by `seconds` (the process itself was not running)."""
        for key, at in self._at.items():
            self._at[key] = at + seconds

    def _push(self, key: K, at: float) -> None:
        self._serial += 1
        self._heaped[key] = at
        heapq.heappush(self._heap, (at, self._serial, key))
