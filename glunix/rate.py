"""How often somebody may ask: a bucket of tokens that fills with time. Pure: `now` comes in.

The bucket lets bursts through and bounds the rate behind them; who finds it empty is told when it
is worth to come again.
"""


class Bucket:
    """At most `burst` at once and `rate` a second after that."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float, count: float = 1.0) -> bool:
        """Take `count` tokens; False, and nothing is taken, when there are not so many."""
        self._fill(now)
        if self._left < count:
            return False
        self._left -= count
        return True

    def owe(self, now: float, count: float = 1.0) -> float:
        """Take `count` tokens even if they are not there; seconds until that debt is paid."""
        self._fill(now)
        self._left -= count
        return max(0.0, -self._left / self._rate)

    def full(self, now: float) -> bool:
        """Whether nothing is remembered of its owner."""
        self._fill(now)
        return self._left >= self._burst

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
