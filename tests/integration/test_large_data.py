"""Large payloads stay out of the driver and inside the object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from curator_api.progress import ProgressSnapshot, RunReport
from tests.integration.pieces import Apply, Number, number, run, values
from tests.integration.scripts import run_script

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
MB = 1_000_000


class Memory:
    """A sink that keeps the largest anonymous memory of this process."""

    def __init__(self) -> None:
        self.most = 0

    def publish(self, snapshot: ProgressSnapshot) -> None:
        memory = psutil.Process().memory_full_info()
        self.most = max(self.most, memory.uss)

    def close(self, report: RunReport) -> None:
        pass


@pytest.mark.usefixtures("on_ray")
@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_large_arrays_come_through_right_and_not_through_the_driver(fusion: bool) -> None:
    def source(_: Any) -> Iterator[Number]:
        for position in range(50):
            yield number(np.full(5 * MB // 8, position, dtype=np.float64))

    def double(task: Number) -> Number:
        return number(task.data * 2)

    def check(task: Number) -> Number:
        assert task.data.min() == task.data.max()
        return number((float(task.data[0]), task.data.nbytes))

    before = psutil.Process().memory_full_info().uss
    memory = Memory()
    stages = [Apply(source, "source"), Apply(double, "double"), Apply(check, "check")]
    outcome = run(stages, fusion=fusion, sinks=[memory])
    assert sorted(values(outcome.tasks)) == [(2.0 * n, 5 * MB) for n in range(50)]
    assert memory.most - before < 60 * MB


@pytest.mark.usefixtures("on_ray")
def test_arrays_that_a_run_returns_are_the_drivers_own_and_can_be_changed() -> None:
    def make(task: Number) -> Number:
        return number(np.full(MB, task.data, dtype=np.uint8))

    outcome = run([Apply(make), Apply(lambda task: task)], [number(n) for n in range(5)])
    for task in outcome.tasks:
        first = int(task.data[0])
        assert (task.data == first).all()
        task.data += 1
        assert (task.data == first + 1).all()


SPILL = """
import ray
from tests.integration.pieces import Apply, number, run, values

ray.init(num_cpus=2, include_dashboard=False, logging_level="warning",
         object_store_memory=150_000_000)

def source(_):
    for position in range(1_000):
        yield number((position, bytes(1_000_000)))

stages = [
    Apply(source, "source"),
    Apply(lambda task: number((task.data[0], task.data[1][::-1])), "reverse"),
    Apply(lambda task: number((task.data[0], len(task.data[1]))), "length"),
]
outcome = run(stages, fusion=False, cpu_allocation_percentage=1.0)
assert sorted(values(outcome.tasks)) == [(n, 1_000_000) for n in range(1_000)]
from ray._private.internal_api import memory_summary
address = ray.get_runtime_context().gcs_address
summary = memory_summary(address, stats_only=True)
print("SPILLED" if "Spilled" in summary else "NOTHING SPILLED")
"""


def test_a_fan_out_of_seven_times_the_object_store_does_not_spill(tmp_path: Path) -> None:
    result = run_script(SPILL, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "NOTHING SPILLED" in result.stdout
