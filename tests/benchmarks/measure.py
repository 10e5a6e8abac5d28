"""`Meter`: wall time, CPU, memory and object-store use of one run in this driver process.

Used by `child`. Works with `sampler`, a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.head import ROOT, HeadAddress
from tests.benchmarks.sampler import children_of, is_worker, title_of

LEFT_BEHIND_S = 10.0
# What the sampler says under the names that a measurement has for it.
SEEN = ("anon_begin", "anon_peak", "store_peak", "pinned_peak", "fallback_peak", "spilled")


@dataclass(frozen=True)
class Measurement:
    """One run.

    Attributes:
        n: how large the run was.
        wall_s: seconds from the call to its outputs; workers' start-up is in it, Ray's is not.
        driver_cpu_s: CPU of the driver, all threads.
        worker_cpu_s: CPU of the workers, those that ended included (to 0.1 s each).
        ray_cpu_s: CPU of the raylet and the control store.
        agent_cpu_s: CPU of the node's agents, which do not depend on the contestant.
        input_bytes: bytes of array payloads that the driver held as inputs.
        anon_begin: driver's anonymous memory before.
        anon_peak: and at its peak.
        store_peak: most bytes in the object store, freed ones that Ray has yet to delete included.
        pinned_peak: most bytes of objects that somebody refers to.
        fallback_peak: most bytes of objects outside shared memory.
        spilled: bytes spilled to disk.
        left_behind: workers still there ten seconds after the end; the caller asks for them.
        problems: what was wrong with the outputs; empty if nothing.
        processes: CPU by process.
    """

    n: int
    wall_s: float
    driver_cpu_s: float
    worker_cpu_s: float = 0.0
    ray_cpu_s: float = 0.0
    agent_cpu_s: float = 0.0
    input_bytes: int = 0
    anon_begin: int = 0
    anon_peak: int = 0
    store_peak: int = 0
    pinned_peak: int = 0
    fallback_peak: int = 0
    spilled: int = 0
    left_behind: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    processes: list[dict[str, Any]] = field(default_factory=list)


class Meter:
    """Watches this process and the node's workers; one per driver.

    Args:
        head: the node, or None for a contestant without Ray.
        store_hz: how often a second the object store is looked at.
    """

    def __init__(self, head: HeadAddress | None, store_hz: float) -> None:
        self._raylet = head.raylet if head else 0
        spec = {
            "driver": os.getpid(),
            "raylet": self._raylet,
            "gcs": head.gcs if head else 0,
            "node_manager": head.node_manager if head else "",
            "store_hz": store_hz,
        }
        self._sampler = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.sampler", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._expect("ready")
        self._before: set[int] = set()

    def _expect(self, word: str) -> str:
        assert self._sampler.stdout
        line = self._sampler.stdout.readline().strip()
        if word and line != word:
            raise RuntimeError(f"the sampler said {line!r}, wanted {word!r}")
        return line

    def _tell(self, word: str) -> None:
        assert self._sampler.stdin
        self._sampler.stdin.write(word + "\n")
        self._sampler.stdin.flush()

    def begin(self) -> None:
        """Start watching."""
        self._tell("begin")
        self._expect("begun")

    def end(self) -> dict[str, Any]:
        """What was seen since `begin`."""
        self._tell("end")
        seen: dict[str, Any] = json.loads(self._expect(""))
        return seen

    def measure(
        self, n: int, run: Callable[[], Sequence[Any]], input_bytes: int = 0
    ) -> tuple[Measurement, Sequence[Any]]:
        """Time `run()`; its outputs come back beside the figures."""
        self._before = set(self._actors())
        self.begin()
        cpu_before, before = time.process_time(), time.perf_counter()
        outputs = run()
        wall_s = time.perf_counter() - before
        driver_cpu_s = time.process_time() - cpu_before
        seen = self.end()
        cpu = {"worker": 0.0, "raylet": 0.0, "gcs": 0.0, "agent": 0.0, "driver": 0.0}
        for process in seen["processes"]:
            cpu[process["role"]] += process["cpu_s"]
        measurement = Measurement(
            n,
            wall_s,
            driver_cpu_s,
            cpu["worker"],
            cpu["raylet"] + cpu["gcs"],
            cpu["agent"],
            input_bytes,
            **{name: seen[name] for name in SEEN},
            processes=seen["processes"],
        )
        return measurement, outputs

    def _actors(self) -> dict[int, str]:
        """Titles of the node's workers that are or were in use, by pid."""
        titles = {pid: title_of(pid) for pid in children_of(self._raylet)} if self._raylet else {}
        return {p: t for p, t in titles.items() if is_worker(t) and not t.startswith("ray::IDLE")}

    def wait_for_quiet(self) -> list[str]:
        """Wait until no actor of the last run is left, at most ten seconds; those that stay."""
        deadline = time.monotonic() + LEFT_BEHIND_S
        while True:
            left = [title for pid, title in self._actors().items() if pid not in self._before]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def close(self) -> None:
        """End the sampler."""
        assert self._sampler.stdin
        self._sampler.stdin.close()
        self._sampler.wait(30)


def spread(values: Sequence[float]) -> float:
    """Standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def as_json(measurement: Measurement) -> dict[str, Any]:
    """A measurement as plain values."""
    return asdict(measurement)
