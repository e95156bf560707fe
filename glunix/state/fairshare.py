"""Fair share: who has used how much of the cluster lately. Pure.

A user's usage is processor-seconds, halved every `half_life` seconds (as Slurm's and Condor's
priorities decay). Who has used least goes first; what he runs at the moment counts as used already
for `AHEAD` seconds, so that users with equal pasts take turns.
"""

from dataclasses import dataclass

AHEAD = 10.0
"""Seconds for which a processor counts the moment a job takes it."""

FORGET = 1e-3
"""Processor-seconds below which a user who runs nothing is forgotten."""


@dataclass(slots=True)
class _Usage:
    used: float = 0.0
    at: float = 0.0
    running: int = 0


class FairShare:
    """Usage by uid. `half_life` in seconds; `now` is the master's clock."""

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._users: dict[int, _Usage] = {}

    def begin(self, uid: int, cpus: int, now: float) -> None:
        """A job of this user's takes `cpus` processors."""
        user = self._settled(uid, now)
        user.running += cpus

    def end(self, uid: int, cpus: int, now: float) -> None:
        """It gives them back."""
        user = self._settled(uid, now)
        user.running -= cpus
        if user.running < 0:
            raise ValueError(f"uid {uid} gives back more processors than it took")
        if not user.running and user.used < FORGET:
            del self._users[uid]

    def rank(self, uid: int, now: float) -> float:
        """What he has used, in processor-seconds: less goes first."""
        user = self._users.get(uid)
        if user is None:
            return 0.0
        return self._used(user, now) + user.running * AHEAD

    def running(self, uid: int) -> int:
        """Processors that his jobs have now."""
        user = self._users.get(uid)
        return 0 if user is None else user.running

    def snapshot(self, now: float) -> dict[int, float]:
        """uid -> processor-seconds used, for the journal."""
        return {uid: self._used(user, now) for uid, user in self._users.items()}

    def restore(self, used: dict[int, float], now: float) -> None:
        """Take in a snapshot, before anything else."""
        for uid, value in used.items():
            self._users[uid] = _Usage(max(0.0, value), now)

    def _used(self, user: _Usage, now: float) -> float:
        passed = max(0.0, now - user.at)
        # What runs is charged for the time that passed, then both decay.
        return float((user.used + user.running * passed) * 0.5 ** (passed / self._half_life))

    def _settled(self, uid: int, now: float) -> _Usage:
        user = self._users.setdefault(uid, _Usage(at=now))
        user.used, user.at = self._used(user, now), now
        return user
