"""`run_timeline`: a simulated run as a person wants it told: how long, and what was at work when.

Called by the command `simulate`. Invariants are not checked: that is for tests, and takes most of
the time of a large run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from curator_executor.core.progress import inputs_done
from curator_executor.core.state import State
from curator_executor.simulation.simulate import Simulation, simulate

# Virtual seconds from one look to the next, at least.
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What there was at one time of a simulated run.

    Attributes:
        at_s: virtual seconds since the begin.
        inputs_done: inputs that have gone through, estimated as in a real run.
        nodes: nodes there were.
        gpus: GPUs there were.
        gpus_at_work: GPUs, and shares of them, whose workers had a call.
        workers: workers of each pool that had been set up.
        at_work: those of them that had a call.
    """

    at_s: float
    inputs_done: float
    nodes: int
    gpus: float
    gpus_at_work: float
    workers: tuple[int, ...]
    at_work: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a simulated run went.

    Attributes:
        seconds: virtual seconds from begin to end.
        started: workers that were started.
        died: workers that died.
        moments: looks at the run, in order; what was seen is taken to last until the next one.
        ending: how it ended.
    """

    seconds: float
    started: int
    died: int
    moments: tuple[Moment, ...]
    ending: str

    @property
    def has_gpus(self) -> bool:
        """Whether there was a GPU at any time."""
        return any(moment.gpus for moment in self.moments)

    @property
    def gpu_use(self) -> float:
        """Share of the GPUs' time in which their workers had a call."""
        busy = there = 0.0
        ends = [*(moment.at_s for moment in self.moments[1:]), self.seconds]
        for moment, end_s in zip(self.moments, ends, strict=True):
            busy += moment.gpus_at_work * (end_s - moment.at_s)
            there += moment.gpus * (end_s - moment.at_s)
        return busy / there if there else 0.0


@dataclass
class _Watch:
    """Looks at the run once in a while: with thousands of workers a look takes some time."""

    moments: list[Moment] = field(default_factory=list)

    def look(self, state: State, now: float) -> None:
        if self.moments and now - self.moments[-1].at_s < LOOK_EVERY_S:
            return
        by_id = {node.id: node for node in state.nodes}
        workers, at_work = [0] * len(state.pools), [0] * len(state.pools)
        gpus = 0.0
        for worker in state.workers.values():
            workers[worker.pool] += worker.pool in worker.hosted
            if worker.calls:
                at_work[worker.pool] += 1
                need = state.pools[worker.pool].spec.need
                if need.gpus and worker.node in by_id:
                    gpus += need.on(by_id[worker.node]).gpus
        self.moments.append(
            Moment(
                at_s=now,
                inputs_done=inputs_done(state),
                nodes=len(state.nodes),
                gpus=sum(node.gpus for node in state.nodes),
                gpus_at_work=gpus,
                workers=tuple(workers),
                at_work=tuple(at_work),
            )
        )


def run_timeline(run: Simulation) -> Timeline:
    """Run to the end.

    Raises:
        Stalled: nothing goes on though the run has not ended.
        TooManySteps: it does not end.
    """
    watch = _Watch()
    result = simulate(replace(run, checks=False), watch=watch.look)
    pools = result.state.pools
    return Timeline(
        seconds=result.seconds,
        started=sum(pool.workers_started for pool in pools),
        died=sum(pool.workers_died for pool in pools),
        moments=tuple(watch.moments),
        ending=result.state.ending,
    )
