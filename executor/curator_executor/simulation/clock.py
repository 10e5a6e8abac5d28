"""Virtual time: a heap of things that will happen. Called by `pool` and `worker`."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class SimulatedClock:
    """A clock that goes forward only when told to, from one happening to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._happenings: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen in so many seconds; at the same time, in the order of the calls."""
        heapq.heappush(self._happenings, (self.now + max(0.0, seconds), self._order, happen))
        self._order += 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing is going to happen any more."""
        return not self._happenings

    def advance(self, until: float, enough: Callable[[], bool]) -> None:
        """Let things happen, in order, up to a time or until it is enough.

        Once it is enough, whatever happens at the very same time still does.
        """
        while self._happenings and self._happenings[0][0] <= until:
            when, _, happen = heapq.heappop(self._happenings)
            self.now = max(self.now, when)
            happen()
            if enough():
                until = self.now
        if not enough() and until < float("inf"):
            self.now = max(self.now, until)
