"""`simulate`: a whole run of the core in virtual time, with every invariant checked at every step.

Called by tests, and by anybody who wants to know how a pipeline would do on other nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from curator_executor.core import invariants
from curator_executor.core.backpressure import block_limit_bytes
from curator_executor.core.fusion import plan_pools
from curator_executor.core.state import CoreSettings, State, new_state
from curator_executor.core.types import Node
from curator_executor.runtime.loop import Loop
from curator_executor.simulation.autoscaler import Autoscaling
from curator_executor.simulation.ledger import Ledger
from curator_executor.simulation.pool import SimulatedPool
from curator_executor.simulation.workload import TaskPath, Workload

SOURCE_TASK_BYTES = 1000


class TooManySteps(AssertionError):
    """The run goes on and on."""


@dataclass(frozen=True)
class SimulationResult:
    """How a simulated run went.

    Attributes:
        state: the core's state at the end.
        outputs: output tasks, in the order in which `execute` would return them.
        ledger: what happened to each task.
        seconds: virtual seconds.
        steps: how often the core was asked.
        blocks_left: blocks that nobody released.
    """

    state: State
    outputs: list[TaskPath]
    ledger: Ledger
    seconds: float
    steps: int
    blocks_left: int


@dataclass(frozen=True)
class Simulation:
    """A run to simulate.

    Attributes:
        workload: stages, what they do, what goes wrong.
        nodes: where workers may be.
        settings: of the core.
        fuse: whether neighbouring stages may share workers.
        block_bytes: bytes after which a call returns; the core's own limit if None.
        most_steps: the run fails after so many.
        drain_s: seconds that workers get to end on failure.
        autoscaling: nodes that come when workers wait for them, and go when idle.
        checks: whether every invariant is checked at every step.
    """

    workload: Workload
    nodes: tuple[Node, ...] = (Node("n1", cpus=4.0),)
    settings: CoreSettings = field(default_factory=CoreSettings)
    fuse: bool = False
    block_bytes: int | None = None
    most_steps: int = 100_000
    drain_s: float = 3.0
    autoscaling: Autoscaling = field(default_factory=Autoscaling)
    checks: bool = True


def simulate(
    run: Simulation, watch: Callable[[State, float], None] | None = None
) -> SimulationResult:
    """Run to the end.

    Args:
        run: what to simulate.
        watch: called after each step with the state and the virtual time.

    Raises:
        Violation: an invariant of the core does not hold.
        ContractBroken: the core asked for something that no worker pool can do.
        Stalled: nothing goes on though the run has not ended.
        TooManySteps: it does not end.
    """
    pools = plan_pools(run.workload.stages, fuse=run.fuse)
    workers = SimulatedPool(pools, run.nodes, run.workload, autoscaling=run.autoscaling)
    tasks = run.workload.source_tasks
    state = new_state(
        pools, run.nodes, run.settings, tasks, tasks * SOURCE_TASK_BYTES, workers.now()
    )
    state.groups = run.autoscaling.groups
    workers.block_bytes = run.block_bytes or block_limit_bytes(state)
    steps = 0

    def check(state: State) -> None:
        nonlocal steps
        steps += 1
        if steps > run.most_steps:
            raise TooManySteps(f"{steps} steps, {workers.now():.1f} virtual seconds")
        if run.checks:
            invariants.check(state)
        if watch is not None:
            watch(state, workers.now())

    Loop(state, workers, drain_s=run.drain_s, check=check).run()
    result = SimulationResult(
        state, workers.outputs(), workers.ledger, workers.now(), steps, workers.blocks_left
    )
    workers.close()
    return result
