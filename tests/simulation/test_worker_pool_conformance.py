"""The simulated pool keeps the contract that the Ray one keeps."""

from __future__ import annotations

from typing import Any

from curator_executor.core.fusion import plan_pools
from curator_executor.core.types import Node, StageSpec
from curator_executor.simulation.pool import SimulatedPool
from curator_executor.simulation.workload import StageWork, Workload
from tests.worker_pool_contract import Output, Scenario, WorkerPoolContract


class SimulatedBench:
    """A simulated pool; outputs are paths."""

    def __init__(self, scenario: Scenario) -> None:
        stage = StageSpec(0, "s0", is_global=scenario.is_global, ignore_failures=True)
        work = StageWork(
            batch_s=0.01,
            fan_out=scenario.fan_out,
            output_bytes=scenario.output_bytes,
            yields=scenario.yields,
            raises_on=frozenset((n,) for n in scenario.raises_on),
            kills_on=frozenset((n,) for n in scenario.dies_on),
            setup_raises=scenario.setup_raises,
            setup_kills=scenario.dies_in_setup,
        )
        self.pool = SimulatedPool(
            plan_pools([stage], fuse=False),
            (Node("n1", cpus=4.0),),
            Workload((stage,), (work,), source_tasks=10),
            block_bytes=scenario.block_bytes,
            most_idle_waits=1000,
        )

    def read(self, outputs: list[Any]) -> list[Output]:
        return [(path[0], path[-1]) for path in outputs]

    def crash(self, worker: int) -> None:
        self.pool.crash(worker)


class TestSimulatedPool(WorkerPoolContract):
    """On virtual time."""

    def make(self, scenario: Scenario) -> SimulatedBench:
        return SimulatedBench(scenario)
