"""The queue of pipelines: one look at a time, coalesced, delayed, backed off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from curator_operator.queue import Backoff, KeyedQueue, QueueClosed


class Clock:
    """A clock that is set by hand, and the timers that hang on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def __call__(self) -> float:
        return self.now

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.now + delay_s, call)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer.at > self.now]
        for timer in due:
            if not timer.cancelled:
                timer.call()


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def run(scenario: Callable[[KeyedQueue[str], Clock], Coroutine[Any, Any, None]]) -> None:
    clock = Clock()
    queue: KeyedQueue[str] = KeyedQueue(
        clock=clock, later=clock.later, backoff=Backoff(1.0, 60.0, 0.2), chance=lambda: 0.5
    )
    asyncio.run(scenario(queue, clock))


async def taken(queue: KeyedQueue[str]) -> list[str]:
    """All that can be taken now."""
    found = []
    while queue.depth > 0:
        task = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            break
        found.append(await task)
    return found


def test_a_key_asked_for_twice_is_handed_out_once() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        queue.add("a")
        queue.add("b")
        queue.add("a")
        assert await taken(queue) == ["a", "b"]
        third = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        assert not third.done()
        third.cancel()

    run(scenario)


def test_a_key_asked_for_while_under_way_is_handed_out_again_afterwards() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a")
        queue.add("a")
        assert await taken(queue) == []
        queue.done("a")
        assert await taken(queue) == ["a"]
        queue.done("a")
        assert queue.depth == 0

    run(scenario)


def test_a_worker_that_waits_is_woken() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        worker = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add("a")
        assert await worker == "a"

    run(scenario)


def test_a_cancelled_worker_passes_its_call_on() -> None:
    """1. Two workers wait. 2. A key comes and wakes the first. 3. The first is cancelled before
    it runs. The second must get the key.
    """

    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        first, second = (asyncio.create_task(queue.take()) for _ in range(2))
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "a"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_of_several_delays_the_earliest_counts() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add_after("a", 10)
        queue.add_after("a", 5)
        queue.add_after("a", 20)
        clock.advance(4.9)
        assert queue.depth == 0
        clock.advance(0.1)
        assert await taken(queue) == ["a"]
        queue.done("a")
        clock.advance(100)
        assert queue.depth == 0

    run(scenario)


def test_each_key_has_its_own_delay() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add_after("late", 10)
        queue.add_after("early", 5)
        clock.advance(5)
        assert await taken(queue) == ["early"]
        clock.advance(5)
        assert await taken(queue) == ["late"]

    run(scenario)


def test_a_look_makes_the_delay_before_it_void() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add_after("a", 5)
        queue.add("a")
        assert await queue.take() == "a"
        queue.done("a")
        clock.advance(5)
        assert queue.depth == 0

    run(scenario)


def test_a_delay_asked_for_during_a_look_counts() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add("a")
        assert await queue.take() == "a"
        queue.add_after("a", 5)
        queue.done("a")
        clock.advance(5)
        assert await taken(queue) == ["a"]

    run(scenario)


def test_no_delay_means_now() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        queue.add_after("a", 0)
        assert await taken(queue) == ["a"]

    run(scenario)


def test_failures_in_a_row_wait_longer_and_longer_up_to_a_limit() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        waits = [queue.back_off("a") for _ in range(8)]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        assert queue.back_off("b") == 1

    run(scenario)


def test_a_good_look_forgets_the_failures() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        queue.back_off("a")
        queue.back_off("a")
        queue.forget("a")
        assert queue.back_off("a") == 1

    run(scenario)


def test_waits_after_failures_are_spread() -> None:
    backoff = Backoff(1.0, 60.0, 0.2)
    assert [backoff.wait_s(1, chance) for chance in (0.0, 0.5, 1.0)] == [0.8, 1.0, 1.2]


def test_thousands_of_failures_in_a_row_still_have_a_wait() -> None:
    assert Backoff(1.0, 60.0, 0.0).wait_s(5000, 0.5) == 60.0


def test_closing_ends_those_who_wait_and_those_who_come() -> None:
    async def scenario(queue: KeyedQueue[str], _: Clock) -> None:
        worker = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(QueueClosed):
            await worker
        queue.add("a")
        with pytest.raises(QueueClosed):
            await queue.take()

    run(scenario)


def test_closing_stops_the_timer() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add_after("a", 5)
        queue.close()
        assert all(timer.cancelled for timer in clock.timers)

    run(scenario)


def test_depth_and_age_tell_of_those_that_wait() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        assert (queue.depth, queue.oldest_s(), queue.under_way) == (0, 0.0, 0)
        queue.add("a")
        clock.advance(3)
        queue.add("b")
        assert (queue.depth, queue.oldest_s()) == (2, 3.0)
        await queue.take()
        assert (queue.depth, queue.oldest_s(), queue.under_way) == (1, 0.0, 1)
        queue.add("a")
        clock.advance(2)
        assert (queue.depth, queue.oldest_s(), queue.handed_out) == (2, 2.0, 1)

    run(scenario)


def test_the_patient_wait_behind_those_that_come_after_them() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add("patient", patient=True)
        for key in ("a", "b"):
            queue.add(key)
        assert queue.depth == 3
        assert await taken(queue) == ["a", "b", "patient"]

    run(scenario)


def test_every_fourth_look_is_a_patient_ones() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        for number in range(2):
            queue.add(f"patient {number}", patient=True)
        for number in range(20):
            queue.add(f"other {number}")
        order = await taken(queue)
        assert (order.index("patient 0"), order.index("patient 1")) == (3, 7)
        assert len(order) == 22

    run(scenario)


def test_a_patient_key_that_is_asked_for_otherwise_is_patient_no_more_and_handed_out_once() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        for key in ("a", "b"):
            queue.add(key, patient=True)
        queue.add("c")
        queue.add("a")
        queue.add("a", patient=True)
        assert queue.depth == 3
        assert await taken(queue) == ["c", "a", "b"]

    run(scenario)


def test_patience_lasts_for_one_look() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        queue.add("a", patient=True)
        assert await taken(queue) == ["a"]
        queue.done("a")
        for key in ("a", "a", "b"):
            queue.add(key)
        assert await taken(queue) == ["a", "b"]

    run(scenario)


def test_a_key_asked_for_patiently_while_under_way_waits_patiently_afterwards() -> None:
    async def scenario(queue: KeyedQueue[str], clock: Clock) -> None:
        for key in ("a", "b"):
            queue.add(key)
            assert await queue.take() == key
            queue.add(key, patient=True)
        queue.add("b")
        queue.add("b", patient=True)
        for key in ("a", "b"):
            queue.done(key)
        assert await taken(queue) == ["b", "a"]

    run(scenario)
