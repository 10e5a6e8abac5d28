"""The pool on Ray keeps the contract that the simulated one keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cloudpickle
import pytest
import ray

from curator_executor.api import ProcessingStage, Task, WorkerMetadata
from curator_executor.core.fusion import plan_pools
from curator_executor.core.types import Need, StageSpec
from curator_executor.ray_backend.pool import PoolLaunch, RayWorkerPool
from curator_executor.runtime.host import PoolPlan
from tests.worker_pool_contract import Output, Scenario, WorkerPoolContract

pytestmark = pytest.mark.integration


@dataclass
class Numbered(Task[Any]):
    """A task with its source's number and its own ordinal."""

    dataset_name: str = "numbers"
    data: Any = None
    number: int = 0
    ordinal: int = 0

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


class ScenarioStage(ProcessingStage[Numbered, Numbered]):
    """Does what a scenario says."""

    name = "s0"

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.is_global_stage = scenario.is_global
        self.taken: list[Numbered] = []

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        if self.scenario.dies_in_setup:
            os._exit(1)
        if self.scenario.setup_raises:
            raise OSError("no model")

    def process(self, task: Numbered) -> Any:
        if task.number in self.scenario.dies_on:
            os._exit(1)
        if task.number in self.scenario.raises_on:
            raise ValueError("it raises")
        if self.scenario.is_global:
            self.taken.append(task)
            return None
        made = (
            Numbered(data="x" * self.scenario.output_bytes, number=task.number, ordinal=n)
            for n in range(self.scenario.fan_out)
        )
        return made if self.scenario.yields else list(made)

    def finish(self) -> Iterator[Numbered]:
        yield from self.taken


class RayBench:
    """A pool on the local Ray."""

    def __init__(self, scenario: Scenario) -> None:
        spec = StageSpec(
            0, "s0", need=Need(1.0), is_global=scenario.is_global, ignore_failures=True
        )
        (pool,) = plan_pools([spec], fuse=False)
        plan = PoolPlan(
            stages=cloudpickle.dumps([ScenarioStage(scenario)]),
            indexes=(0,),
            attempts=(1,),
            setup_attempts=(1,),
            ignore_failures=(True,),
            batch_size=1,
            timeout_s=None,
            names=("s0",),
            target_call_s=10.0,
            block_bytes=scenario.block_bytes,
        )
        source = [Numbered(number=n) for n in range(10)]
        for task in source:
            task._set_task_id("0", task.number)
        self.pool = RayWorkerPool([PoolLaunch(pool, plan, None)], source, 1.0)

    def read(self, outputs: list[Any]) -> list[Output]:
        return [(task.number, task.ordinal) for task in outputs]

    def crash(self, worker: int) -> None:
        ray.kill(self.pool._actors[worker].handle, no_restart=True)


class TestRayPool(WorkerPoolContract):
    """On a real local Ray."""

    benches: list[RayBench]

    @pytest.fixture(autouse=True)
    def closes(self, on_ray: None) -> Iterator[None]:
        self.benches = []
        yield
        for bench in self.benches:
            bench.pool.close()

    def make(self, scenario: Scenario) -> RayBench:
        self.benches.append(RayBench(scenario))
        return self.benches[-1]
