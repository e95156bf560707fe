"""A host's poll(2) around a listener: calls that concern nobody go on (slic.kernel.sieve)."""

from collections.abc import Mapping

from slic.budget import Budget
from slic.engines.pending import PendingCalls
from slic.kernel.sieve import Sieve
from slic.objects import Objects
from slic.policy import About


class SiftedPoll:
    """See slic.engine.Poller. The policy's objects and the calls that wait may change meanwhile."""

    def __init__(
        self,
        sieve: Sieve,
        about: Mapping[int, About],
        budgets: Mapping[int, Budget],
        pending: PendingCalls,
    ) -> None:
        self._sieve = sieve
        self._pending = pending
        # Of one call only: calls of others are handed out.
        self._number, self._budget = next(iter(budgets.items()), (-1, Budget()))
        self._granted = -1
        sets = {id(objects): objects for call in about.values() for objects in call.objects}
        self._sets: tuple[Objects, ...] = tuple(sets.values())
        self._version = -1
        self._waiting: frozenset[int] = frozenset()
        self.register, self.unregister = sieve.register, sieve.unregister
        # A call that concerns some of the sets only is looked at again where it is decided.
        sieve.look_at({number: call.register for number, call in about.items()})

    def take(self) -> tuple[bytes, bool] | None:
        """The notification that was handed out, and whether it came from another core."""
        got = self._sieve.take()
        return None if got is None else (got, self._sieve.elsewhere)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """As of select.poll."""
        version = sum(objects.version for objects in self._sets)
        if version != self._version:
            self._version = version
            self._sieve.know(
                {file for objects in self._sets for file in objects.files},
                {device for objects in self._sets for device in objects.devices},
                {kind for objects in self._sets for kind in objects.kinds},
            )
        waiting = self._pending.tids()
        if waiting != self._waiting:
            self._waiting = frozenset(waiting)
            self._sieve.hand_out(self._waiting)
        budget = self._budget
        if budget.version != self._granted:
            self._granted = budget.version
            self._sieve.allow(self._number, budget.left, budget.group, budget.but)
        try:
            return self._sieve.poll(timeout)
        finally:
            if budget.left and (noted := self._sieve.noted()):
                budget.used(noted)
