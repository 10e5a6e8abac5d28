"""cosmos-xenna on W1 and W1b, on a Ray node of its own: `run.sh` starts it.

Prints one JSON object: inputs per second of whole runs, and seconds for one input. Start-up of Ray
is in no figure, start-up of the workers is. Needs the environment of `requirements.txt`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import ray
from cosmos_xenna.pipelines import v1 as xenna  # type: ignore[import-not-found]

LOGICAL_CPUS = 8
STORE_BYTES = 4_000_000_000


class NoOp(xenna.Stage):  # type: ignore[misc]
    """Hands its input on."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    @property
    def stage_batch_size(self) -> int:
        """Inputs a call."""
        return self._batch

    @property
    def required_resources(self) -> xenna.Resources:
        """One core."""
        return xenna.Resources(cpus=1.0)

    def process_data(self, in_data: list[int]) -> list[int]:
        """The input."""
        return in_data


def run(n: int, batch: int) -> float:
    """Seconds that `n` ints take through three stages with one worker each."""
    stages = [xenna.StageSpec(NoOp(batch), num_workers=1) for _ in range(3)]
    config = xenna.PipelineConfig(return_last_stage_outputs=True)
    before = time.perf_counter()
    results = xenna.run_pipeline(xenna.PipelineSpec(list(range(n)), stages, config))
    took = time.perf_counter() - before
    if sorted(results) != list(range(n)):
        raise RuntimeError(f"outputs differ: {len(results)} for {n} inputs")
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    # xenna lists up to 40,000 actors at once; the node has to allow it from the start.
    os.environ["RAY_MAX_LIMIT_FROM_API_SERVER"] = "40000"
    context: Any = ray.init(
        address="local",
        num_cpus=LOGICAL_CPUS,
        object_store_memory=STORE_BYTES,
        log_to_driver=False,
    )
    # Its monitor looks for the node by itself, and may find another one of this machine.
    os.environ["RAY_ADDRESS"] = context.address_info["address"]
    one_s = run(1, arguments.batch)
    took_s = run(arguments.n, arguments.batch)
    figures = {
        "n": arguments.n,
        "batch": arguments.batch,
        "one_s": round(one_s, 2),
        "wall_s": round(took_s, 2),
        "whole_per_s": round(arguments.n / took_s, 1),
        "steady_per_s": round((arguments.n - 1) / (took_s - one_s), 1),
    }
    print(json.dumps(figures))
    ray.shutdown()


if __name__ == "__main__":
    main()
