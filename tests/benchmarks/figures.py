"""From measurements to figures, and from figures to verdicts: pure, no Ray, no clock.

Used by `report`, `run` and the tests. `bounds.yaml` says for each figure what is aimed at and what
was measured before; a figure without the measurements that it needs is left out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Result = dict[str, Any]
Measured = dict[str, Any]
STAGES = 3
MB = 1e6
BOUNDS = Path(__file__).with_name("bounds.yaml")


@dataclass(frozen=True)
class Bound:
    """What is known of a figure beforehand.

    Attributes:
        title: what it is, for people.
        unit: `x`, `MB`, `us` or `%`.
        better: `higher` or `lower`.
        target: what is aimed at.
        margin: by which share of mean (or target) a run may be worse and still pass.
        mean: over earlier runs; None if never measured.
        spread: standard deviation over those.
        hardware: what they ran on.
    """

    title: str
    unit: str
    better: str
    target: float
    margin: float
    mean: float | None = None
    spread: float | None = None
    hardware: str | None = None

    def meets_target(self, value: float) -> bool:
        """Whether a value is as good as is aimed at."""
        return value >= self.target if self.better == "higher" else value <= self.target

    @property
    def limit(self) -> float:
        """The worst value that is no regression."""
        base = self.target if self.mean is None else self.mean
        return base * (1 - self.margin if self.better == "higher" else 1 + self.margin)

    def holds(self, value: float) -> bool:
        """Whether a value is no regression."""
        return value >= self.limit if self.better == "higher" else value <= self.limit


@dataclass(frozen=True)
class Figure:
    """One figure of a run, beside its bound."""

    name: str
    value: float
    bound: Bound


def load_bounds(path: Path = BOUNDS) -> dict[str, Bound]:
    """The bounds by figure name.

    Raises:
        TypeError: an entry has an unknown field or lacks one.
    """
    entries = yaml.safe_load(path.read_text())
    return {name: Bound(**entry) for name, entry in entries.items()}


class Measurements:
    """The measurements of a run, by workload and contestant."""

    def __init__(self, results: Result) -> None:
        self._by_key: dict[tuple[str, str], list[Measured]] = {}
        self.store_bytes: dict[str, int] = {}
        for run in results["runs"]:
            key = (run["workload"], run["contestant"])
            self._by_key.setdefault(key, []).extend(run["measurements"])
            self.store_bytes[run["workload"]] = run["store_bytes"]

    def all(self, workload: str, contestant: str = "ours") -> list[Measured]:
        """Every counted run.

        Raises:
            KeyError: there is none.
        """
        found = self._by_key.get((workload, contestant))
        if not found:
            raise KeyError(f"{contestant} was not measured on {workload}")
        return found

    def contestants(self) -> list[tuple[str, str]]:
        """(workload, contestant) of all that was measured, in order."""
        return [key for key, found in self._by_key.items() if found]

    def sizes(self, workload: str, contestant: str = "ours") -> list[int]:
        """The sizes that were run, ascending."""
        return sorted({m["n"] for m in self.all(workload, contestant)})

    def median(self, workload: str, contestant: str, n: int, field: str) -> float:
        """Median of a field over the runs of one size."""
        values = [float(m[field]) for m in self.all(workload, contestant) if m["n"] == n]
        return statistics.median(values)

    def whole_per_s(self, workload: str, contestant: str, n: int | None = None) -> float:
        """Inputs per second of the whole run, start-up of the workers included."""
        n = n or self.sizes(workload, contestant)[-1]
        return n / self.median(workload, contestant, n, "wall_s")

    def steady_per_s(self, workload: str, contestant: str) -> float:
        """Inputs per second between a run of one input and the largest run.

        NaN (which meets no bound) if the larger took no longer: the machine was too busy to tell.

        Raises:
            KeyError: no run of one input.
        """
        one, n = self._one_and_largest(workload, contestant)
        took = self.median(workload, contestant, n, "wall_s")
        took -= self.median(workload, contestant, one, "wall_s")
        return (n - 1) / took if took > 0 else math.nan

    def steady_cpu_us(self, workload: str, contestant: str, fields: tuple[str, ...]) -> float:
        """CPU per input and stage, µs, between a run of one input and the largest run."""
        one, n = self._one_and_largest(workload, contestant)
        spent = sum(
            self.median(workload, contestant, n, field)
            - self.median(workload, contestant, one, field)
            for field in fields
        )
        return spent / ((n - 1) * STAGES) * 1e6

    def peak(self, workload: str, field: str, contestant: str = "ours") -> float:
        """Largest value of a field over all runs."""
        return float(max(m[field] for m in self.all(workload, contestant)))

    def _one_and_largest(self, workload: str, contestant: str) -> tuple[int, int]:
        sizes = self.sizes(workload, contestant)
        if len(sizes) < 2 or sizes[0] != 1:
            raise KeyError(f"{contestant} on {workload}: needs a run of one input, has {sizes}")
        return sizes[0], sizes[-1]


ALL_CPU = ("driver_cpu_s", "worker_cpu_s", "ray_cpu_s")
IDLE_ACTOR = "ray::Worker"


def _whole_w1(m: Measurements, against: str) -> float:
    # The first size above 1 is the one of the comparison; a larger one is for the steady rate.
    above_one = [n for n in m.sizes("W1") if n > 1]
    if not above_one:
        raise KeyError("W1 was run with one input only")
    return m.whole_per_s("W1", "ours", above_one[0]) / m.whole_per_s("W1", against)


def _wall(m: Measurements, workload: str, contestant: str = "ours") -> float:
    return m.median(workload, contestant, m.sizes(workload, contestant)[-1], "wall_s")


def _many_ratio(m: Measurements) -> float:
    small, large = m.sizes("M")
    return m.median("M", "ours", large, "anon_peak") / m.median("M", "ours", small, "anon_peak")


def idle_shares(m: Measurements) -> dict[str, float]:
    """Percent of a core by process of the idle measurement: driver, workers, idle raw actor."""
    (found,) = m.all("I")
    return {
        f"{process['role']} {process['title'].split()[0]} {process['pid']}": 100
        * process["fine_cpu_s"]
        / found["wall_s"]
        for process in found["processes"]
        if process["role"] in {"driver", "worker"} and not process["title"].startswith("ray::IDLE")
    }


def _idle_above(m: Measurements) -> float:
    shares = idle_shares(m)
    base = min(share for name, share in shares.items() if IDLE_ACTOR in name.split())
    return max(share for name, share in shares.items() if IDLE_ACTOR not in name.split()) - base


# How each figure of `bounds.yaml` comes about.
FORMULAS: dict[str, Callable[[Measurements], float]] = {
    "W1_whole_vs_raw": lambda m: _whole_w1(m, "raw"),
    "W1_whole_vs_ray_data": lambda m: _whole_w1(m, "ray_data"),
    "W1_steady_vs_raw": lambda m: m.steady_per_s("W1", "ours") / m.steady_per_s("W1", "raw"),
    "W1_cpu_all_us": lambda m: m.steady_cpu_us("W1", "ours", ALL_CPU),
    "W1_cpu_driver_us": lambda m: m.steady_cpu_us("W1", "ours", ("driver_cpu_s",)),
    "W1b_steady_vs_raw32": lambda m: m.steady_per_s("W1b", "ours") / m.steady_per_s("W1b", "raw32"),
    "W2_whole_vs_raw": lambda m: m.whole_per_s("W2", "ours") / m.whole_per_s("W2", "raw"),
    "W2_driver_over_input_mb": lambda m: (
        (m.peak("W2", "anon_peak") - m.peak("W2", "input_bytes")) / MB
    ),
    "W2_pinned_peak_mb": lambda m: m.peak("W2", "pinned_peak") / MB,
    "W3_wall_vs_raw": lambda m: _wall(m, "W3") / _wall(m, "W3", "raw_fixed"),
    "W3s_wall_vs_raw": lambda m: _wall(m, "W3s") / _wall(m, "W3s", "raw_fixed"),
    "W3s_wall_vs_ray_data": lambda m: _wall(m, "W3s") / _wall(m, "W3s", "ray_data_scaled"),
    "W4_steady_vs_raw32": lambda m: m.steady_per_s("W4", "ours") / m.steady_per_s("W4", "raw32"),
    "W4_steady_vs_raw32_refilled": lambda m: (
        m.steady_per_s("W4", "ours") / m.steady_per_s("W4", "raw32_refilled")
    ),
    "W5_wall_vs_raw": lambda m: (
        m.median("W5", "ours", 1, "wall_s") / m.median("W5", "raw", 1, "wall_s")
    ),
    "M_driver_peak_mb": lambda m: m.peak("M", "anon_peak") / MB,
    "M_driver_peak_ratio": _many_ratio,
    "S_pinned_peak_percent": lambda m: 100 * m.peak("S", "pinned_peak") / m.store_bytes["S"],
    "I_above_idle_actor_percent": _idle_above,
}


def figures(results: Result, bounds: dict[str, Bound] | None = None) -> list[Figure]:
    """Every figure that the measurements allow, in the order of `bounds.yaml`."""
    measured = Measurements(results)
    found = []
    for name, bound in (bounds or load_bounds()).items():
        try:
            value = FORMULAS[name](measured)
        except KeyError as missing:
            if name not in FORMULAS:
                raise KeyError(f"bounds.yaml has {name}, which no formula makes") from missing
            continue
        found.append(Figure(name, value, bound))
    return found


def faults(results: Result) -> list[str]:
    """What went wrong: contestants that failed, wrong outputs, spilling, workers left behind."""
    found = []
    for run in results["runs"]:
        who = f"{run['workload']} {run['contestant']}"
        if "error" in run:
            found.append(f"{who}: {run['error']}")
        for m in run["measurements"]:
            found += [f"{who} n={m['n']}: {problem}" for problem in m["problems"]]
            if run["contestant"].startswith("ours"):
                found += [f"{who} n={m['n']}: {what}" for what in _own_faults(m)]
    return found


def _own_faults(m: Measured) -> list[str]:
    found = [f"left behind: {title}" for title in m["left_behind"]]
    if m["spilled"]:
        found.append(f"{m['spilled']} bytes were spilled to disk")
    if m["fallback_peak"]:
        found.append(f"{m['fallback_peak']} bytes of objects lay outside shared memory")
    return found
