"""In which process groups and sessions the shadows of a transparent job stand at home.

Owns what the node believes of that: whoever is elsewhere than his shadow is to be moved
(glunix.node.processes.groups). Numbers are home's and the job's own.
"""

from collections.abc import Iterable


class GroupMembership:
    """A shadow that was never moved is where the program began."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}
        """Number -> group and session of its shadow."""
        self._sessions: dict[int, set[int]] = {}
        """Session that the job has made -> numbers that are in it."""

    @property
    def is_simple(self) -> bool:
        """Whether all are where the program began."""
        return not self._places

    def moved(self, number: int, group: int, session: int) -> None:
        """It is, or will be, in this group of this session (its own: it makes it)."""
        self._leave(number)
        self._places[number] = group, session
        if number == session:
            self._sessions.setdefault(session, set())
        if session in self._sessions:
            self._sessions[session].add(number)

    def has_made(self, session: int) -> None:
        """The job has made this session."""
        self._sessions.setdefault(session, set())

    def places(self) -> list[tuple[int, int, int]]:
        """Number, group and session of every shadow that was moved."""
        return [(number, *place) for number, place in self._places.items()]

    def sessions(self) -> list[int]:
        """Those that the job has made."""
        return list(self._sessions)

    def known(self, number: int, group: int, session: int) -> bool:
        """Whether it is there."""
        return self._places.get(number) == (group, session)

    def ended(self, numbers: Iterable[int]) -> set[int]:
        """Nobody has these any more. Returns the sessions in which nobody is known now."""
        left = {self._leave(number) for number in numbers}
        return {session for session in left if session in self._sessions} - {
            session for session, members in self._sessions.items() if members
        }

    def over(self, sessions: Iterable[int]) -> None:
        """Nobody is in these at all."""
        for session in sessions:
            del self._sessions[session]

    def _leave(self, number: int) -> int:
        """Returns the session in which it was; 0: unknown."""
        _, session = self._places.pop(number, (0, 0))
        self._sessions.get(session, set()).discard(number)
        return session
