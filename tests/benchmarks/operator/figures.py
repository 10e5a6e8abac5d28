"""From what was seen to figures: pure.

Used by `run`, `report` and the tests. Times are seconds since 1970, by the one clock of the one
machine.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.figures import Figure, load_bounds

Counts = tuple[int, ...]
BOUNDS = Path(__file__).with_name("bounds.yaml")
MIB = 2**20
TEN_MINUTES_S = 600.0


class Seen(NamedTuple):
    """Counts, and when they were served by a driver or seen in a status."""

    at: float
    counts: Counts


def quantile(values: Iterable[float], share: float) -> float:
    """Smallest value that at least `share` (0 to 1) of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def staleness(served: Sequence[Seen], shown: Sequence[Seen], at: float) -> float | None:
    """How old what a status shows is at a time.

    Returns:
        Seconds since the newest snapshot with the counts that the status shows was taken; None
        where it shows none, or counts that no driver ever served.
    """
    seen = bisect_right(shown, at, key=lambda one: one.at)
    if not seen:
        return None
    counts = shown[seen - 1].counts
    for one in reversed(served[: bisect_right(served, at, key=lambda one: one.at)]):
        if one.counts == counts:
            return at - one.at
    return None


def stalenesses(
    served: Mapping[str, Sequence[Seen]],
    shown: Mapping[str, Sequence[Seen]],
    times: Iterable[float],
) -> tuple[list[float], list[str]]:
    """The staleness of every pipeline at every time.

    Args:
        served: by pipeline, what its driver served.
        shown: by pipeline, what its status showed.
        times: at which it is looked.

    Returns:
        All ages in seconds, and the pipelines that at some time showed nothing that was served.
    """
    moments = list(times)
    ages: list[float] = []
    wrong: list[str] = []
    for key, statuses in shown.items():
        found = [staleness(served.get(key, ()), statuses, at) for at in moments]
        ages += [one for one in found if one is not None]
        if None in found:
            wrong.append(key)
    return ages, wrong


def growth(samples: Sequence[tuple[float, int]]) -> float:
    """MiB that memory grows in ten minutes: the slope of a straight line through the samples.

    Args:
        samples: (seconds, bytes).
    """
    count = len(samples)
    if count < 2:
        return math.nan
    mean_t = sum(t for t, _ in samples) / count
    mean_b = sum(b for _, b in samples) / count
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    slope = sum((t - mean_t) * (b - mean_b) for t, b in samples) / spread
    return slope * TEN_MINUTES_S / MIB


def figures(results: Mapping[str, Any]) -> list[Figure]:
    """What a run measured, beside its bounds; what was not measured is left out."""
    measured = results["measured"]
    return [
        Figure(name, measured[name], bound)
        for name, bound in load_bounds(BOUNDS).items()
        if measured.get(name) is not None
    ]
