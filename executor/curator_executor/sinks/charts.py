"""Geometry of the report's charts: series in, SVG coordinates and labels out.

Called by `report_view`. Every chart has the view box `0 0 100 100` and is stretched to its frame
by the browser; labels are text of the page beside it, so that they stay readable at any width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curator_executor.sinks.formatting import format_duration

_STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class Chart:
    """One series over time.

    Attributes:
        line: points of the polyline.
        area: points of the polygon below it.
        y_ticks: labels from the top down, evenly spaced, the last for 0.
        x_ticks: labels from left to right, evenly spaced, the first for 0.
        last: the last value, for people.
        peak: the highest value, for people.
        is_flat: nothing but zeros.
    """

    line: str
    area: str
    y_ticks: list[str]
    x_ticks: list[str]
    last: str
    peak: str
    is_flat: bool


@dataclass(frozen=True)
class Span:
    """A stretch of time.

    Attributes:
        name: what held during it, "" for nothing.
        left: where it begins, 0 to 100.
        width: how long it is, 0 to 100.
        said: for people.
    """

    name: str
    left: float
    width: float
    said: str


def chart(
    times_s: Sequence[float],
    values: Sequence[float],
    show: Callable[[float], str],
    top: float | None = None,
    is_step: bool = False,
) -> Chart:
    """The chart of one series.

    Args:
        times_s: seconds since the run began, rising.
        values: one for each time.
        show: turns a value into a label.
        top: value at the upper edge; the next round number above the highest if None.
        is_step: a value holds until the next one (counts of workers), no slope between.
    """
    highest = max(values, default=0.0)
    edge = round_up(highest) if top is None else top
    end_s = times_s[-1] if times_s else 0.0
    points: list[tuple[float, float]] = []
    for at_s, value in zip(times_s, values, strict=True):
        x = 100 * at_s / end_s if end_s > 0 else 0.0
        y = 100 - 100 * value / edge if edge > 0 else 100.0
        if is_step and points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    line = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    area = f"{points[0][0]:.2f},100 {line} {points[-1][0]:.2f},100" if points else ""
    return Chart(
        line=line,
        area=area,
        y_ticks=[show(edge), show(edge / 2), "0"],
        x_ticks=[format_duration(end_s * part / 4) for part in range(5)],
        last=show(values[-1]) if values else "",
        peak=show(highest),
        is_flat=highest <= 0,
    )


def round_up(value: float) -> float:
    """The next round number: 0.7 → 0.8, 43 → 50, 1,152 → 1,500; 1 for 0."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)


def spans(times_s: Sequence[float], names: Sequence[str]) -> list[Span]:
    """Neighbouring times of one name drawn together.

    Args:
        times_s: when each name was seen; it holds since the time before.
        names: what was seen, "" for nothing.
    """
    end_s = times_s[-1] if times_s else 0.0
    if end_s <= 0:
        return []
    merged: list[tuple[str, float, float]] = []
    begin_s = 0.0
    for at_s, name in zip(times_s, names, strict=True):
        if merged and merged[-1][0] == name:
            merged[-1] = (name, merged[-1][1], at_s)
        elif at_s > begin_s:
            merged.append((name, begin_s, at_s))
        begin_s = at_s
    return [
        Span(
            name,
            100 * left_s / end_s,
            100 * (right_s - left_s) / end_s,
            f"{name or 'none'}: {format_duration(left_s)} to {format_duration(right_s)}",
        )
        for name, left_s, right_s in merged
    ]
