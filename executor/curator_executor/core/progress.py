"""Figures that people see, out of the state: rates, the bottleneck, time left.

Called by the loop when a snapshot is due. Pure: rates come from two readings and their times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import State

# Readings older than this no longer count in "recent" rates.
WINDOW_S = 20.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment; two of them make a rate.

    Attributes:
        at: when.
        inputs_done: estimated inputs finished.
        tasks_in: per stage, input tasks finished.
        process_s: per stage, seconds in `process`.
        ready_s: per stage, summed seconds that ready workers of its pool existed.
    """

    at: float
    inputs_done: float
    tasks_in: tuple[int, ...]
    process_s: tuple[float, ...]
    ready_s: tuple[float, ...]


@dataclass(slots=True)
class Rates:
    """Recent readings of a run."""

    readings: list[Reading] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)

    def add(self, state: State, now: float) -> None:
        """Take a reading."""
        stages = len(state.totals)
        if not self.ready_s:
            self.ready_s = [0.0] * stages
        since = now - self.readings[-1].at if self.readings else 0.0
        for pool in state.pools:
            ready = sum(1 for w in pool.workers if state.workers[w].state is WorkerState.READY)
            for stage in pool.spec.stages:
                self.ready_s[stage.index] += ready * since
        self.readings.append(
            Reading(
                now,
                inputs_done(state),
                tuple(t.figures.tasks_in for t in state.totals),
                tuple(t.figures.process_s for t in state.totals),
                tuple(self.ready_s),
            )
        )
        while len(self.readings) > 2 and now - self.readings[0].at > WINDOW_S:
            del self.readings[0]

    def inputs_per_s(self) -> float:
        """Inputs finished a second, recently."""
        return self._rate(lambda reading: reading.inputs_done)

    def tasks_per_s(self, stage: int) -> float:
        """Input tasks that a stage finished a second, recently."""
        return self._rate(lambda reading: reading.tasks_in[stage])

    def busy_share(self, stage: int) -> float:
        """Share of its ready workers' time that a stage spent in `process`, recently; 0 to 1."""
        if len(self.readings) < 2:
            return 0.0
        first, last = self.readings[0], self.readings[-1]
        ready = last.ready_s[stage] - first.ready_s[stage]
        spent = last.process_s[stage] - first.process_s[stage]
        return min(1.0, spent / ready) if ready > 0 else 0.0

    def _rate(self, value: Callable[[Reading], float]) -> float:
        if len(self.readings) < 2:
            return 0.0
        first, last = self.readings[0], self.readings[-1]
        span = last.at - first.at
        return (value(last) - value(first)) / span if span > 0 else 0.0


def input_pool(state: State) -> int:
    """The pool whose input tasks count as "inputs": the first one, unless it fans out of nothing.

    A run that starts from one task (a source that lists or reads) counts what that source emitted.
    """
    first = state.pools[0]
    return 0 if first.accepted > 1 or len(state.pools) == 1 else 1


def inputs_total(state: State) -> int | None:
    """Inputs known; None while the source is still emitting."""
    index = input_pool(state)
    return state.pools[index].accepted if state.upstream_done(index) else None


def inputs_done(state: State) -> float:
    """Inputs whose descendants are all finished, estimated from what is left at each pool."""
    index = input_pool(state)
    pending = 0.0
    ratio = 1.0
    for pool in state.pools[index:]:
        pending += (pool.accepted - pool.consumed) / max(ratio, 1e-9) if ratio > 0 else 0.0
        ratio *= pool.emitted / pool.consumed if pool.consumed else 1.0
    return max(0.0, state.pools[index].accepted - pending)


def eta_s(state: State, rate: float) -> float | None:
    """Seconds until done at the recent rate, or None while unknown."""
    total = inputs_total(state)
    if total is None or rate <= 0:
        return None
    return max(0.0, (total - inputs_done(state)) / rate)


# Below this share of its workers' time a stage is not what the others wait for.
BUSY_SHARE = 0.5


def bottleneck(state: State, rates: Rates) -> tuple[int, str] | None:
    """The stage that holds the others up and why, or None while it cannot be told.

    The stage whose workers are the busiest, if they are busy at all; else the one with the most
    work waiting, in seconds of its own workers.
    """
    candidates = []
    for pool in state.pools:
        waiting = pool.accepted - pool.consumed
        if pool.done or pool.seconds_per_task is None or not waiting:
            continue
        slowest = max(pool.spec.stages, key=lambda s: state.totals[s.index].figures.process_s)
        seconds = waiting * pool.seconds_per_task / max(1, len(pool.workers))
        busy = rates.busy_share(slowest.index)
        share = round(busy, 1) if busy >= BUSY_SHARE else 0.0
        candidates.append((share, seconds, slowest.index, busy, waiting, len(pool.workers)))
    if not candidates:
        return None
    share, seconds, stage, busy, waiting, workers = max(candidates)
    if not share and seconds < 1:
        return None
    plural = "" if workers == 1 else "s"
    return stage, (
        f"busy {busy:.0%}, {waiting:,} tasks waiting: {seconds:,.0f} s of work for "
        f"{workers} worker{plural}"
    )
