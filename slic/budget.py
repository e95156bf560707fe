"""Calls that may go on unseen for a while: how many more, and whose; and who has made them.

Plain data, as slic.objects: so an engine may let them go on without asking Python, and say so
later.
"""


class Budget:
    """Live: whoever holds it sees what is granted and used; a grant makes `version` grow."""

    __slots__ = ("but", "group", "left", "seen", "version")

    def __init__(self) -> None:
        self.version = 0
        self.left = 0
        """Calls that may still go on."""
        self.group = 0
        """Only those of this process group (a pid of the supervisor's)."""
        self.but = 0
        """Not those of this thread."""
        self.seen: list[int] = []
        """Threads whose calls went on, in that order; who looks at them takes them out."""

    def grant(self, left: int, group: int, but: int) -> None:
        """From now on so many may go on, in place of what was left."""
        self.left, self.group, self.but = left, group, but
        self.version += 1

    def used(self, threads: list[int]) -> None:
        """By an engine: calls of these have gone on."""
        self.left -= len(threads)
        self.seen += threads
