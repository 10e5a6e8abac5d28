"""The others: a plain loop, raw chained Ray actors, Ray Data; each on plain values.

Called by `child`. Every function takes the workload's plain input values and returns its plain
output values. One actor a stage, one CPU each, as our pinned workers have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tests.benchmarks.constants import BATCH, BEST_COUNTS, FAN_OUT, SLEEPS_S

Step = Callable[[Any], Any]

# Calls under way at once. More did not raise the rate (1,000 to 20,000 tried); arrays need fewer,
# since each call under way holds 5 MB or more.
WINDOW = 1_000
WINDOW_OF_ARRAYS = 8


def passes(value: Any) -> Any:
    """The value itself."""
    return value


def fan_out(value: int) -> list[int]:
    """Ten values for one."""
    return [value * FAN_OUT + k for k in range(FAN_OUT)]


def fan_out_block(values: list[int]) -> list[int]:
    """Ten values for each."""
    return [value * FAN_OUT + k for value in values for k in range(FAN_OUT)]


def keep_even(values: list[int]) -> list[int]:
    """The even ones."""
    return [value for value in values if value % 2 == 0]


def add_sum(value: Any) -> Any:
    """(array, sums so far) with one more sum."""
    array, sums = value if isinstance(value, tuple) else (value, [])
    return array, [*sums, float(array.sum())]


def last_sum(value: Any) -> Any:
    """The sums alone, with the last one."""
    return tuple(add_sum(value)[1])


# What one call does: with a single input, and with a block of them.
ONE_INPUT: dict[str, tuple[Step, Step, Step]] = {
    "W1": (passes, passes, passes),
    "W1b": (passes, passes, passes),
    "W2": (add_sum, add_sum, last_sum),
    "W4": (fan_out, keep_even, passes),
    "W5": (passes, passes, passes),
}
BLOCK: dict[str, tuple[Step, Step, Step]] = {
    "W1": (passes, passes, passes),
    "W1b": (passes, passes, passes),
    "W4": (fan_out_block, keep_even, passes),
}


def plain_loop(workload: str, values: Sequence[Any]) -> list[Any]:
    """One process, one loop, no Ray."""
    first, second, third = ONE_INPUT[workload]
    results = [third(second(first(value))) for value in values]
    return _flat(results) if workload == "W4" else results


def _flat(blocks: list[list[Any]]) -> list[Any]:
    return [value for block in blocks for value in block]


def _blocks(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), BATCH):
        yield list(values[start : start + BATCH])


class Worker:
    """What a raw actor is."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def call(self, value: Any) -> Any:
        """The step, applied."""
        return self._step(value)


def start_actors(steps: Sequence[Step]) -> list[Any]:
    """One actor a step."""
    import ray

    remote = ray.remote(num_cpus=1)(Worker)
    return [remote.remote(step) for step in steps]


def _chain(steps: Sequence[Step], inputs: Iterator[Any] | Sequence[Any], window: int) -> list[Any]:
    import ray

    actors = start_actors(steps)
    under_way: list[Any] = []
    results: list[Any] = []
    for value in inputs:
        reference = value
        for actor in actors:
            reference = actor.call.remote(reference)
        under_way.append(reference)
        if len(under_way) >= window:
            half = window // 2
            results.extend(ray.get(under_way[:half]))
            del under_way[:half]
    results.extend(ray.get(under_way))
    for actor in actors:
        ray.kill(actor)
    return results


def raw_actors(workload: str, values: Sequence[Any]) -> list[Any]:
    """Chained actor calls, one input a call."""
    window = WINDOW_OF_ARRAYS if workload == "W2" else WINDOW
    results = _chain(ONE_INPUT[workload], values, window)
    return _flat(results) if workload == "W4" else results


def raw_actors_in_blocks(workload: str, values: Sequence[Any]) -> list[Any]:
    """Chained actor calls, 32 inputs a call."""
    return _flat(_chain(BLOCK[workload], _blocks(values), WINDOW))


def sleep(seconds: float, value: Any) -> Any:
    """The value, after a while."""
    time.sleep(seconds)
    return value


def raw_fixed_counts(workload: str, values: Sequence[Any]) -> list[Any]:
    """Sleeps on the best number of actors for each stage, known beforehand, in turn."""
    import ray

    steps = [partial(sleep, seconds) for seconds in SLEEPS_S[workload]]
    pools = [start_actors([step] * count) for step, count in zip(steps, BEST_COUNTS, strict=True)]
    references = []
    for index, value in enumerate(values):
        reference = value
        for pool in pools:
            reference = pool[index % len(pool)].call.remote(reference)
        references.append(reference)
    results = ray.get(references)
    for pool in pools:
        for actor in pool:
            ray.kill(actor)
    return list(results)


def split_fan_out(values: list[int]) -> list[list[int]]:
    """Ten values for each, in ten lists as long as the input."""
    many = fan_out_block(values)
    return [many[start : start + len(values)] for start in range(0, len(many), len(values))]


class Joiner:
    """The last raw actor where blocks are filled up again: takes two halves."""

    def call(self, values: list[int], more: list[int]) -> list[int]:
        """Both lists in one."""
        return [*values, *more]


def raw_actors_refilled(workload: str, values: Sequence[Any]) -> list[Any]:
    """W4 with about 32 tasks in every call: what fans out is split, what was halved is joined."""
    import ray

    first, second = start_actors((split_fan_out, keep_even))
    joiner: Any = ray.remote(num_cpus=1)(Joiner)
    third = joiner.remote()
    under_way: list[Any] = []
    results: list[Any] = []
    for block in _blocks(values):
        parts = first.call.options(num_returns=FAN_OUT).remote(block)
        kept = [second.call.remote(part) for part in parts]
        under_way += [third.call.remote(*kept[k : k + 2]) for k in range(0, FAN_OUT, 2)]
        if len(under_way) >= WINDOW:
            half = WINDOW // 2
            results.extend(ray.get(under_way[:half]))
            del under_way[:half]
    results.extend(ray.get(under_way))
    for actor in (first, second, third):
        ray.kill(actor)
    return _flat(results)


class RowStep:
    """A row function for Ray Data; a class, so that it runs in an actor."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return row


class BatchStep:
    """A batch function for Ray Data."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


class FanOutRows:
    """Ten rows for one."""

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"item": value} for value in fan_out(int(row["item"]))]


class KeepEvenRows:
    """Whether a row stays."""

    def __call__(self, row: dict[str, Any]) -> bool:
        return int(row["item"]) % 2 == 0


class SumRow:
    """A row with one more sum."""

    def __init__(self, last: bool) -> None:
        self._last = last

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        sums = [*row.get("sums", ()), float(row["item"].sum())]
        return {"sums": sums} if self._last else {"item": row["item"], "sums": sums}


class SleepRow:
    """A row, after a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self._seconds)
        return row


def ray_data_scaled(workload: str, values: Sequence[Any]) -> list[Any]:
    """Sleeps on Ray Data's own autoscaled actor pools; a row a block, which spreads best."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"item": value} for value in values]
    data: Any = ray.data.from_items(items, override_num_blocks=len(items))
    for seconds in SLEEPS_S[workload]:
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=sum(BEST_COUNTS))
        data = data.map(SleepRow, fn_constructor_args=[seconds], compute=pool, num_cpus=1)
    return [row["item"] for row in data.take_all()]


def ray_data(workload: str, values: Sequence[Any]) -> list[Any]:
    """Ray Data, one actor a stage: `map`, or `map_batches` of 32 for W1b."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    one: dict[str, Any] = {"compute": ray.data.ActorPoolStrategy(size=1), "num_cpus": 1}
    data: Any = ray.data.from_items([{"item": value} for value in values])
    if workload == "W2":
        for last in (False, False, True):
            data = data.map(SumRow, fn_constructor_args=[last], **one)
        return [tuple(row["sums"]) for row in data.take_all()]
    if workload == "W4":
        data = data.flat_map(FanOutRows, **one).filter(KeepEvenRows, **one).map(RowStep, **one)
    elif workload == "W1b":
        for _ in range(3):
            data = data.map_batches(BatchStep, batch_size=BATCH, **one)
    else:
        for _ in range(3):
            data = data.map(RowStep, **one)
    return [row["item"] for row in data.take_all()]


BASELINES: dict[str, Callable[[str, Sequence[Any]], list[Any]]] = {
    "plain": plain_loop,
    "raw": raw_actors,
    "raw32": raw_actors_in_blocks,
    "raw32_refilled": raw_actors_refilled,
    "raw_fixed": raw_fixed_counts,
    "ray_data": ray_data,
    "ray_data_scaled": ray_data_scaled,
}
