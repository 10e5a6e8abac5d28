"""One contestant on one workload, in a driver process of its own, so that memory and CPU are its.

Started by `run` as `python -m tests.benchmarks.child SPEC OUT`: SPEC is a JSON `Assignment`, OUT
the file that takes the measurements.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.baselines import BASELINES, passes, start_actors
from tests.benchmarks.contender import execute, problems_of
from tests.benchmarks.head import HeadAddress
from tests.benchmarks.measure import Measurement, Meter, as_json
from tests.benchmarks.workloads import WORKLOADS, IdlePipeline, Workload

# Time for the driver and workers to come to rest before, and for the call to be still under way
# after, what an idle measurement looks at.
SETTLE_S = 2.0
BEGIN_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Assignment:
    """What one driver process does.

    Attributes:
        workload: name of the workload, or `I`.
        contestant: `ours`, `ours_fused`, or a key of `BASELINES`.
        sizes: sizes to run, in order, in every repetition.
        warm_up: size of the run that is not counted.
        repeat: repetitions.
        idle_s: seconds that the long call of `I` lasts.
    """

    workload: str
    contestant: str
    sizes: tuple[int, ...]
    warm_up: int
    repeat: int = 1
    idle_s: float = 0.0


def run_once(
    meter: Meter, workload: Workload, contestant: str, n: int, directory: Path
) -> Measurement:
    """Prepare, time and judge one run."""
    values = workload.values(n)
    input_bytes = sum(getattr(value, "nbytes", 0) for value in values)
    run: Callable[[], Sequence[Any]]
    if contestant in BASELINES:
        run = partial(BASELINES[contestant], workload.name, values)
    else:
        stages, tasks = workload.stages(n, directory), workload.tasks(values)
        run = partial(execute, stages, tasks, contestant == "ours_fused")
    gc.collect()
    measurement, outputs = meter.measure(n, run, input_bytes)
    left_behind = meter.wait_for_quiet()
    if contestant in BASELINES:
        found = workload.problems(n, outputs, directory)
    else:
        found = problems_of(workload, n, outputs, directory)
    return replace(measurement, problems=found, left_behind=left_behind)


def run_all(meter: Meter, assignment: Assignment) -> list[Measurement]:
    """Warm up, then every size in every repetition."""
    workload = WORKLOADS[assignment.workload]
    results = []
    sizes = [assignment.warm_up, *assignment.sizes * assignment.repeat]
    for n in sizes:
        with tempfile.TemporaryDirectory() as directory:
            results.append(run_once(meter, workload, assignment.contestant, n, Path(directory)))
    return results[1:]


def run_idle(meter: Meter, assignment: Assignment) -> list[Measurement]:
    """CPU of a pipeline inside one long call; an idle raw actor stands beside it."""
    import ray

    idle_actors = start_actors((passes,))
    ray.get([actor.call.remote(0) for actor in idle_actors])
    with tempfile.TemporaryDirectory() as directory:
        pipeline = IdlePipeline(assignment.idle_s, Path(directory))
        outputs: list[Any] = []
        thread = threading.Thread(
            target=lambda: outputs.extend(execute(pipeline.stages(), pipeline.tasks(), False))
        )
        thread.start()
        deadline = time.monotonic() + BEGIN_TIMEOUT_S
        while not pipeline.begun.exists():
            if time.monotonic() > deadline or not thread.is_alive():
                raise RuntimeError("the long call did not begin")
            time.sleep(0.2)
        time.sleep(SETTLE_S)
        window_s = assignment.idle_s - 2 * SETTLE_S
        # The main thread waits in the sampler's pipe: it costs the driver nothing meanwhile.
        measurement, _ = meter.measure(1, lambda: _wait(window_s))
        still_running = thread.is_alive()
        thread.join()
    found = [] if len(outputs) == 1 else [f"{len(outputs)} outputs, wanted 1"]
    if not still_running:
        found.append("the long call ended before the measurement did")
    for actor in idle_actors:
        ray.kill(actor)
    return [replace(measurement, wall_s=window_s, problems=found)]


def _wait(seconds: float) -> Sequence[Any]:
    time.sleep(seconds)
    return ()


def main() -> None:
    """Read the assignment, do it, write the measurements."""
    spec = json.loads(sys.argv[1])
    head = HeadAddress(**spec.pop("head")) if spec.get("head") else None
    spec.pop("head", None)
    assignment = Assignment(**{**spec, "sizes": tuple(spec["sizes"])})
    if head:
        import ray

        ray.init(address=head.address, log_to_driver=False)
    hz = WORKLOADS[assignment.workload].store_hz if assignment.workload in WORKLOADS else 1.0
    meter = Meter(head, hz)
    try:
        measure = run_idle if assignment.workload == "I" else run_all
        results = [as_json(m) for m in measure(meter, assignment)]
    finally:
        meter.close()
    Path(sys.argv[2]).write_text(json.dumps({**asdict(assignment), "measurements": results}))


if __name__ == "__main__":
    main()
