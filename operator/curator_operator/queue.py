"""`KeyedQueue`: which pipelines are to be looked at, each once however often it is asked for.

Filled by watches, the poller and the clock; emptied by the controller's workers. A key is with one
worker at a time; asked for meanwhile, it is handed out again afterwards. Nothing here waits by
itself: delays are timers of the event loop, handed in so that tests need none.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class QueueClosed(Exception):
    """The queue hands out nothing more."""


class Timer(Protocol):
    """What `Later` returns."""

    def cancel(self) -> None:
        """Do not call any more."""


Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True)
class Backoff:
    """How long a key waits after its n-th failure in a row: `first_s` doubled, up to `most_s`.

    Attributes:
        spread: share by which each wait is made shorter or longer, so that keys that failed
            together do not come back together.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    spread: float = 0.2

    def wait_s(self, failures: int, chance: float) -> float:
        """Seconds to wait after `failures` (≥ 1) in a row; `chance` is from 0 to 1."""
        # The exponent is bounded because 2.0 ** 2000 is an OverflowError.
        wait = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return wait * (1 + self.spread * (2 * chance - 1))


def _loop_later(delay_s: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(delay_s, call)


# After so many others in a row it is the turn of a patient key, if one waits.
_OTHERS_IN_A_ROW = 3


class KeyedQueue(Generic[K]):
    """Keys that wait for a worker, in the order in which they were first asked for.

    Patient keys let the others go first: where the API server is too slow for the progress of all,
    that becomes older, and the steps of a pipeline that comes up, ten looks one after the other,
    still go on. Every fourth look is a patient one's.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        later: Later = _loop_later,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """An empty queue; `clock` gives seconds, `later` calls back after some of them."""
        self._clock = clock
        self._later = later
        self._backoff = backoff if backoff is not None else Backoff()
        self._chance = chance
        self._ready: deque[K] = deque()
        self._behind: deque[K] = deque()
        # Those that are patient; an entry of `_behind` that is not here any more is passed over.
        self._patient: set[K] = set()
        self._in_a_row = 0
        self._since: dict[K, float] = {}
        self._taken: set[K] = set()
        self._again: dict[K, float] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._timer: Timer | None = None
        self._failures: dict[K, int] = {}
        self._takers: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.handed_out = 0

    def add(self, key: K, *, patient: bool = False) -> None:
        """Ask for a look at `key` as soon as a worker is free; `patient`: others go first."""
        now = self._clock()
        if key in self._taken:
            if key not in self._again:
                self._again[key] = now
                if patient:
                    self._patient.add(key)
            elif not patient:
                self._patient.discard(key)
        elif key not in self._since:
            self._wait(key, now, patient=patient)
        elif not patient and key in self._patient:
            self._patient.discard(key)
            self._ready.append(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Ask for a look at `key` in `delay_s` seconds; of several times the earliest counts."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock() + delay_s
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        # The count keeps the heap from comparing keys.
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._set_timer()

    def back_off(self, key: K) -> float:
        """Ask for a look at `key` after a failure, later with each in a row.

        Returns:
            Seconds until then.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = self._backoff.wait_s(self._failures[key], self._chance())
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """Forget the failures of `key`: a look at it went well."""
        self._failures.pop(key, None)

    async def take(self) -> K:
        """The next key; it is the caller's until `done`.

        Raises:
            QueueClosed: the queue was closed.
        """
        while not self._closed:
            if self._since:
                key = self._next()
                del self._since[key]
                # This look decides anew when the next one is due.
                self._due.pop(key, None)
                self._taken.add(key)
                self.handed_out += 1
                return key
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():
                    self._wake_one()
                raise
        raise QueueClosed

    def done(self, key: K) -> None:
        """Give `key` back after a look at it."""
        self._taken.discard(key)
        since = self._again.pop(key, None)
        if since is not None:
            self._wait(key, since, patient=key in self._patient)

    def close(self) -> None:
        """Hand out nothing more; whoever waits in `take` gets `QueueClosed`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._takers:
            self._wake_one()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._since) + len(self._again)

    @property
    def under_way(self) -> int:
        """Keys that are with a worker."""
        return len(self._taken)

    def oldest_s(self) -> float:
        """Seconds that the longest waiting key has waited; 0 when none waits."""
        if not self._since and not self._again:
            return 0.0
        first = min([*self._since.values(), *self._again.values()])
        return max(0.0, self._clock() - first)

    def promote(self) -> None:
        """Ask for all keys whose time has come; called by the timer."""
        self._timer = None
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._set_timer()

    def _wait(self, key: K, since: float, *, patient: bool) -> None:
        self._since[key] = since
        if patient:
            self._patient.add(key)
        (self._behind if patient else self._ready).append(key)
        self._wake_one()

    def _next(self) -> K:
        """Take the key whose turn it is; some key waits."""
        while self._behind and not self._waits_patiently(self._behind[0]):
            self._behind.popleft()
        if self._behind and (not self._ready or self._in_a_row >= _OTHERS_IN_A_ROW):
            self._in_a_row = 0
            key = self._behind.popleft()
            self._patient.discard(key)
            return key
        self._in_a_row += 1
        return self._ready.popleft()

    def _waits_patiently(self, key: K) -> bool:
        return key in self._patient and key in self._since

    def _set_timer(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap and not self._closed:
            self._timer = self._later(max(0.0, self._heap[0][0] - self._clock()), self.promote)

    def _wake_one(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return
