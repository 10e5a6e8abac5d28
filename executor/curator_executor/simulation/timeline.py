"""`run_timeline`: a simulated run as a person wants it told: how long, and what the GPUs did.

Called by the command `simulate`. Invariants are not checked: that is for tests, and takes most of
the time of a large run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from curator_executor.core.state import State
from curator_executor.simulation.simulate import Simulation, simulate

# Virtual seconds that are told as one figure.
_SLICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a simulated run went.

    Attributes:
        seconds: virtual seconds from begin to end.
        started: workers that were started.
        died: workers that died.
        gpus: GPUs that there were at the end.
        gpu_use: share of all GPUs whose workers had a call, in slices of equal length.
        ending: how it ended.
    """

    seconds: float
    started: int
    died: int
    gpus: float
    gpu_use: tuple[float, ...]
    ending: str


@dataclass
class _Use:
    """GPU seconds at work and there, by second."""

    at: float = 0.0
    busy: float = 0.0
    there: float = 0.0
    slices: list[list[float]] = field(default_factory=list)

    def look(self, state: State, now: float) -> None:
        """Count the time since the last look with what was at work then."""
        while self.at < now:
            number = int(self.at / _SLICE_S)
            end = min(now, (number + 1) * _SLICE_S)
            while len(self.slices) <= number:
                self.slices.append([0.0, 0.0])
            self.slices[number][0] += self.busy * (end - self.at)
            self.slices[number][1] += self.there * (end - self.at)
            self.at = end
        self.there = sum(node.gpus for node in state.nodes)
        by_id = {node.id: node for node in state.nodes}
        self.busy = sum(
            state.pools[worker.pool].spec.need.on(by_id[worker.node]).gpus
            for worker in state.workers.values()
            if worker.calls and worker.node in by_id
        )


def run_timeline(run: Simulation) -> Timeline:
    """Run to the end.

    Raises:
        Stalled: nothing goes on though the run has not ended.
        TooManySteps: it does not end.
    """
    use = _Use()
    result = simulate(replace(run, checks=False), watch=use.look)
    pools = result.state.pools
    return Timeline(
        seconds=result.seconds,
        started=sum(pool.workers_started for pool in pools),
        died=sum(pool.workers_died for pool in pools),
        gpus=sum(node.gpus for node in result.state.nodes),
        gpu_use=tuple(busy / there for busy, there in use.slices if there),
        ending=result.state.ending,
    )
