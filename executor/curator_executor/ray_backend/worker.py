"""The actor: a thin shell around `PoolHost`; any number of pools in a process, one at a time.

Called by `pool.RayWorkerPool` alone. A call returns (report, payload): the small report goes to
the driver, the payload stays in the object store under a reference that the driver owns.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from curator_executor.core.types import CallReport
from curator_executor.ray_backend import blame
from curator_executor.ray_backend.prints import Prints
from curator_executor.runtime.host import Piece, PoolHost, PoolPlan, SetupError

# Objects made and not freed before the youngest generation is looked at.
GC_THRESHOLD = 50_000


class StageWorker:
    """Runs in a worker process."""

    def __init__(self, number: int, python_paths: tuple[str, ...], blame_key: str) -> None:
        self.number = number
        self.blame_key = blame_key
        self.hosts: dict[int, PoolHost] = {}
        self.problems: list[str] = []
        self.prints = Prints()
        for path in reversed(python_paths):
            if path not in sys.path:
                sys.path.insert(0, path)

    def where(self) -> tuple[str, tuple[str, ...]]:
        """Id of the node that this process is on, and the GPUs that Ray gave it there."""
        import ray

        devices = tuple(str(name) for name in ray.get_gpu_ids())
        return str(ray.get_runtime_context().get_node_id()), devices

    def setup(self, pool: int, plan: PoolPlan, node: str, node_setup: bool, teardown: int) -> Any:
        """Set up a pool's stages; the seconds it took, or what went wrong."""
        if teardown >= 0 and teardown in self.hosts:
            self._tear_down(teardown)
        host = PoolHost(plan, self.number, node)
        try:
            seconds = host.setup(node_setup=node_setup)
        except SetupError as failure:
            host.teardown()
            return failure.error
        self.hosts[pool] = host
        # What is there now stays (modules, models); tasks come and go by reference count. The usual
        # 700 objects between collections cost a fifth of a no-op stage's time.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        return seconds

    def call(
        self,
        pool: int,
        spans: tuple[tuple[int, int, float], ...],
        finish: bool,
        skip: int,
        solo: bool,
        *payloads: Any,
    ) -> tuple[CallReport, Any]:
        """Do one call; see `PoolHost.call`. `spans` has (start, stop, bytes a task) by payload."""
        host = self.hosts[pool]
        pieces = [
            Piece(payload, start, stop, size)
            for payload, (start, stop, size) in zip(payloads, spans, strict=True)
        ]
        host.record(self._note_stage if solo else None)
        try:
            return host.call(pieces, finish=finish, skip=skip)
        except BaseException:
            host.drop()
            raise

    def _note_stage(self, stage: int) -> None:
        """Leave word of the running stage where it outlives this process."""
        blame.note(self.blame_key, stage)

    def teardown(self) -> tuple[str, float]:
        """Tear down all stages; what went wrong, or "", and seconds since something was printed."""
        for pool in list(self.hosts):
            self._tear_down(pool)
        sys.stdout.flush()
        sys.stderr.flush()
        return "; ".join(self.problems), self.prints.seconds_since()

    def _tear_down(self, pool: int) -> None:
        """Tear a pool's stages down; what goes wrong is told when the worker ends."""
        problem = self.hosts.pop(pool).teardown()
        if problem:
            self.problems.append(problem)
