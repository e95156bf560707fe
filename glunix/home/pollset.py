"""poll(2) for a loop that says each time what it waits for."""

from __future__ import annotations

import select


class PollSet:
    """Registers anew only when what is waited for has changed: most turns are like the last."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}
        self._poll = select.poll()

    def wait(self, wanted: dict[int, int], milliseconds: float | None) -> set[int]:
        """`wanted` is descriptor -> events; the descriptors that have some, or are closed."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._poll = select.poll()
            for fd, events in wanted.items():
                self._poll.register(fd, events)
        return {fd for fd, _ in self._poll.poll(milliseconds)}
