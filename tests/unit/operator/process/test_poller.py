"""The poller: steady pace, bounded, fair, and quiet where nothing is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from curator_operator.poller import Poller, PollSchedule


def schedule(places: int = 32, chance: float = 0.0) -> PollSchedule[str]:
    return PollSchedule(6.0, 0.5, places, chance=lambda: chance)


def test_a_new_key_is_polled_within_a_second() -> None:
    late = schedule(chance=0.999)
    late.want("a", now=100.0)
    assert late.begin(100.0) == []
    assert late.begin(101.0) == ["a"]


def test_polls_of_a_key_begin_six_seconds_apart() -> None:
    steady = schedule(chance=0.5)
    steady.want("a", now=0.0)
    begun = []
    for tenth in range(200):
        for key in steady.begin(tenth / 10):
            begun.append(tenth / 10)
            steady.end(key, slow=False)
    assert begun == [0.5, 6.5, 12.5, 18.5]


def test_a_key_may_be_due_sooner_than_the_usual_pace_but_not_later() -> None:
    one = schedule(chance=0.5)
    one.want("a", now=-1.0)
    one.begin(0.0)
    one.end("a", slow=False, latest=2.0)
    assert one.next_s(0.5) == 1.5

    one.begin(2.0)
    one.end("a", slow=False, latest=60.0)
    assert one.next_s(2.0) == 6.0


def test_a_slow_head_is_not_asked_sooner() -> None:
    one = schedule(chance=0.5)
    one.want("a", now=-1.0)
    one.begin(0.0)
    one.end("a", slow=True, latest=1.0)
    assert one.next_s(0.0) == 6.0


def test_the_pace_is_spread_by_half_a_second() -> None:
    for chance, wait in ((0.0, 5.5), (1.0, 6.5)):
        one = schedule(chance=chance)
        one.want("a", now=-1.0)
        one.begin(0.0)
        one.end("a", slow=False)
        assert one.next_s(0.0) == wait


def test_a_key_is_never_polled_twice_at_once() -> None:
    one = schedule()
    one.want("a", now=0.0)
    assert one.begin(0.0) == ["a"]
    assert one.begin(60.0) == []
    one.soon("a", now=60.0)
    assert one.begin(61.0) == []
    one.end("a", slow=False)
    assert one.begin(61.0) == ["a"]


def test_wanting_what_is_polled_changes_nothing() -> None:
    one = schedule()
    one.want("a", now=0.0)
    one.begin(0.0)
    one.end("a", slow=False)
    one.want("a", now=1.0)
    assert one.begin(2.0) == []


def test_who_waited_longest_comes_first() -> None:
    one = schedule(places=2)
    for now, key in ((2.0, "c"), (0.0, "a"), (1.0, "b")):
        one.want(key, now)
    assert one.begin(10.0) == ["a", "b"]
    one.end("a", slow=False)
    assert one.begin(10.0) == ["c"]


def test_no_more_polls_than_places_are_under_way() -> None:
    one = schedule(places=3)
    for number in range(10):
        one.want(str(number), now=0.0)
    assert len(one.begin(0.0)) == 3
    assert one.begin(0.0) == []


def test_slow_heads_take_at_most_half_of_the_places() -> None:
    """Two hundred dead heads, each a time-out: those that answer keep their pace."""
    one = schedule(places=4)
    for number in range(200):
        one.want(f"dead-{number}", now=0.0)
    while dead := one.begin(0.0):
        for key in dead:
            one.end(key, slow=True)
    one.want("good", now=6.0)
    begun = one.begin(7.0)
    assert "good" in begun
    assert len(begun) == 3


def test_a_slow_head_that_answers_again_is_like_any_other() -> None:
    one = schedule(places=2)
    for key in "ab":
        one.want(key, now=0.0)
        one.begin(0.0)
        one.end(key, slow=True)
    assert len(one.begin(10.0)) == 1
    one.end("a", slow=False)
    one.end("b", slow=False)
    assert len(one.begin(20.0)) == 2


def test_a_dropped_key_is_polled_no_more() -> None:
    one = schedule()
    one.want("a", now=0.0)
    one.begin(0.0)
    one.drop("a")
    one.end("a", slow=False)
    assert one.begin(100.0) == []
    assert len(one) == 0
    assert one.next_s(0.0) is None


@given(st.lists(st.sampled_from(["tick", "end", "slow", "soon", "drop"]), max_size=200))
def test_two_hundred_keys_are_polled_fairly(moves: list[str]) -> None:
    """Whatever happens between, in the long run nobody is polled twice while another waits."""
    one: PollSchedule[int] = PollSchedule(6.0, 0.0, 8, chance=lambda: 0.0)
    now = 0.0
    under_way: list[int] = []
    for key in range(20):
        one.want(key, now)
    for move in moves:
        now += 0.1
        if move == "tick":
            begun = one.begin(now)
            assert not set(begun) & set(under_way)
            under_way += begun
            assert len(under_way) <= 8
        elif under_way and move in {"end", "slow"}:
            one.end(under_way.pop(0), slow=move == "slow")
        elif move == "soon":
            one.soon(0, now)
        elif move == "drop" and 19 not in under_way:
            one.drop(19)
    for key in under_way:
        one.end(key, slow=False)
    polls: Counter[int] = Counter()
    for _ in range(20):
        now += 6.0
        for _ in range(8):
            for key in one.begin(now):
                polls[key] += 1
                one.end(key, slow=False)
    assert max(polls.values()) - min(polls.values()) <= 1


class Heads:
    """Polls that end when they are told to."""

    def __init__(self, news: set[str] | None = None) -> None:
        self.begun: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.news = news or set()
        self.told: list[str] = []

    async def poll(self, key: str) -> bool:
        self.begun.append(key)
        if key in self.gates:
            await self.gates[key].wait()
        if key == "broken":
            raise RuntimeError("not foreseen")
        return key in self.news

    def tell(self, key: str, *, patient: bool) -> None:
        assert patient
        self.told.append(key)


def run(
    heads: Heads,
    keys: str | list[str],
    scenario: Callable[[Poller[str]], Coroutine[Any, Any, None]],
) -> None:
    async def whole() -> None:
        now = [0.0]
        poller = Poller(schedule(), heads.poll, heads.tell, 2.5, clock=lambda: now[0])
        for key in keys:
            poller.want(key, wanted=True)
        poller.turn()
        await scenario(poller)

    asyncio.run(whole())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_only_news_is_told() -> None:
    heads = Heads(news={"b"})

    async def scenario(_: Poller[str]) -> None:
        await settle()
        assert heads.begun == ["a", "b"]
        assert heads.told == ["b"]

    run(heads, "ab", scenario)


def test_a_poll_that_fails_harms_no_other() -> None:
    heads = Heads(news={"good"})

    async def scenario(poller: Poller[str]) -> None:
        await settle()
        assert heads.told == ["good"]
        assert poller.polled == 2

    run(heads, ["broken", "good"], scenario)


def test_ending_the_poller_ends_its_polls() -> None:
    heads = Heads()

    async def scenario(poller: Poller[str]) -> None:
        heads.gates["a"] = asyncio.Event()
        running = asyncio.create_task(poller.run())
        await settle()
        others = {task for task in asyncio.all_tasks() if task.get_name() == "poll a"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert all(task.done() for task in others)

    run(heads, "a", scenario)


def test_wanting_no_more_stops_the_polling() -> None:
    heads = Heads()

    async def scenario(poller: Poller[str]) -> None:
        poller.want("a", wanted=False)
        assert poller.polled == 0

    run(heads, "a", scenario)
