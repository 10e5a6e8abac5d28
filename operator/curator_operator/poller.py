"""`Poller`: one loop that polls every running pipeline at its own steady pace.

Started by `__main__`; told by the controller which pipelines to poll. A poll is a function that
says whether it found news; only then is the pipeline looked at. `PollSchedule` decides who is next
and knows no clock; `Poller` waits and calls.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)
# The loop comes round at least this often, so that whoever watches it sees that it lives.
LONGEST_WAIT_S = 1.0


class News(Protocol[K_contra]):
    """Called with a key that has news; `KeyedQueue.add` is one."""

    def __call__(self, key: K_contra, *, patient: bool) -> None:
        """The poll of `key` found something."""


@dataclass
class _Due:
    at: float
    under_way: bool = False
    slow: bool = False


class PollSchedule(Generic[K]):
    """Who is polled when.

    Each key is due every `interval_s` seconds, give or take `jitter_s`, counted from the beginning
    of its last poll, or sooner where that is asked for. Those that are overdue come first. Keys
    whose last poll was slow get at most half of the places, so that dead heads, which cost a
    time-out each, do not hold up the others.
    """

    def __init__(
        self,
        interval_s: float,
        jitter_s: float,
        places: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """No key yet; at most `places` polls are under way at once."""
        self._interval_s = interval_s
        self._jitter_s = jitter_s
        self._places = places
        self._slow_places = max(1, places // 2)
        self._chance = chance
        self._due: dict[K, _Due] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: object) -> bool:
        return key in self._due

    def want(self, key: K, now: float) -> None:
        """Poll `key` from now on; nothing changes for one that is polled already."""
        if key not in self._due:
            # Many that come at once, as after a restart, are spread over one interval.
            self._due[key] = _Due(now + self._chance() * min(1.0, self._interval_s))

    def soon(self, key: K, now: float) -> None:
        """Poll `key` as soon as there is a place, if it is polled at all."""
        due = self._due.get(key)
        if due is not None and not due.under_way:
            due.at = min(due.at, now)

    def drop(self, key: K) -> None:
        """Poll `key` no more."""
        self._due.pop(key, None)

    def begin(self, now: float) -> list[K]:
        """Those whose turn it is, oldest first; each is under way until `end`."""
        under_way = [one for one in self._due.values() if one.under_way]
        free = self._places - len(under_way)
        slow_free = self._slow_places - sum(one.slow for one in under_way)
        begun: list[K] = []
        ready = [(one.at, key, one) for key, one in self._due.items() if self._ready(one, now)]
        ready.sort(key=lambda item: item[0])
        for _, key, one in ready:
            if free <= 0:
                break
            if one.slow:
                if slow_free <= 0:
                    continue
                slow_free -= 1
            free -= 1
            one.under_way = True
            spread = self._jitter_s * (2 * self._chance() - 1)
            one.at = now + self._interval_s + spread
            begun.append(key)
        return begun

    def end(self, key: K, *, slow: bool, latest: float | None = None) -> None:
        """The poll of `key` is over; the next one is due at `latest`, if that is sooner."""
        due = self._due.get(key)
        if due is not None:
            due.under_way = False
            due.slow = slow
            if latest is not None and not slow:
                due.at = min(due.at, latest)

    def next_s(self, now: float) -> float | None:
        """Seconds until somebody is due; None while nobody waits for a turn."""
        waiting = [one.at for one in self._due.values() if not one.under_way]
        return max(0.0, min(waiting) - now) if waiting else None

    @staticmethod
    def _ready(one: _Due, now: float) -> bool:
        return not one.under_way and one.at <= now


def _usual(_key: Hashable) -> float | None:
    return None


class Poller(Generic[K]):
    """Polls, and tells of news."""

    def __init__(
        self,
        schedule: PollSchedule[K],
        poll: Callable[[K], Awaitable[bool]],
        news: News[K],
        slow_after_s: float,
        pace: Callable[[K], float | None] = _usual,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Poll by `poll`, tell `news` of keys with news; a poll of `slow_after_s` was slow.

        `pace` says within how many seconds a key is to be polled again, if not at the usual pace.
        """
        self._schedule = schedule
        self._poll = poll
        self._news = news
        self._slow_after_s = slow_after_s
        self._pace = pace
        self._clock = clock
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.turned_at = clock()

    @property
    def polled(self) -> int:
        """How many keys are polled."""
        return len(self._schedule)

    def want(self, key: K, *, wanted: bool) -> None:
        """Poll `key` from now on, or no more."""
        if not wanted:
            self._schedule.drop(key)
        elif key not in self._schedule:
            self._schedule.want(key, self._clock())
            self._wake.set()

    def soon(self, key: K) -> None:
        """Poll `key` at once: something is known to have changed."""
        self._schedule.soon(key, self._clock())
        self._wake.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                self._wake.clear()
                self.turn()
                await self._wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def turn(self) -> None:
        """Begin the polls whose turn it is."""
        self.turned_at = self._clock()
        for key in self._schedule.begin(self.turned_at):
            task = asyncio.create_task(self._one(key), name=f"poll {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait(self) -> None:
        wait = self._schedule.next_s(self._clock())
        if wait == 0.0:
            # Somebody is due and finds no place: the end of a poll wakes us.
            wait = LONGEST_WAIT_S
        wait = LONGEST_WAIT_S if wait is None else min(wait, LONGEST_WAIT_S)
        try:
            await asyncio.wait_for(self._wake.wait(), wait)
        except TimeoutError:
            return

    async def _one(self, key: K) -> None:
        began = self._clock()
        try:
            if await self._poll(key):
                # Mostly progress: what is to be done about anything else comes first.
                self._news(key, patient=True)
        except Exception:
            # The next poll tries again; one pipeline must not end the polling of all.
            logger.exception("poll failed", extra={"pipeline": str(key)})
        finally:
            now = self._clock()
            within_s = self._pace(key)
            latest = None if within_s is None else now + within_s
            self._schedule.end(key, slow=now - began >= self._slow_after_s, latest=latest)
            self._wake.set()
