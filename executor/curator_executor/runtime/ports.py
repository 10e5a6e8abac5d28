"""The seams between the loop and the world: `WorkerPool` and `ProgressSink`.

`ray_backend` and `simulation` implement `WorkerPool` (with its clock); `sinks` implement
`ProgressSink`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.core.actions import SetupWorker, StartWorker
from curator_executor.core.events import Event
from curator_executor.core.types import BlockId, Call, Node, WorkerId


class WorkerPool(Protocol):
    """Workers somewhere. Everything returns at once; what happens comes back as events.

    For each worker: `WorkerCreated` once, or `WorkerDied`; after `setup`, `WorkerReady`,
    `WorkerSetupFailed` or `WorkerDied`; for each call, `CallDone`, `CallBroken`, or one
    `WorkerDied` for all it had; after `stop`, `WorkerStopped` or `WorkerDied`. Nothing comes after
    a worker's end, but `stop` and `kill` of one that is not there are answered with `WorkerDied`:
    the news of its end may have been lost in an interrupt.
    """

    def now(self) -> float:
        """Seconds on this pool's clock."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """The nodes there are."""
        ...

    def start(self, action: StartWorker) -> None:
        """Bring up a worker's process."""
        ...

    def setup(self, action: SetupWorker) -> None:
        """Set up a pool's stages in a worker."""
        ...

    def submit(self, call: Call) -> None:
        """Send a call. Calls of one worker are carried out in order."""
        ...

    def stop(self, worker: WorkerId) -> None:
        """Tear the stages down after the calls it has, then end the worker."""
        ...

    def kill(self, worker: WorkerId, reason: str) -> None:
        """End a worker now."""
        ...

    def release(self, block: BlockId) -> None:
        """Nothing will read the block again."""
        ...

    def keep(self, block: BlockId, order: tuple[int, int]) -> None:
        """The block is output of the run."""
        ...

    def outputs(self) -> list[Any]:
        """The tasks of all kept blocks, by their order."""
        ...

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        """Block until something happens or the time is up; all that happened since."""
        ...

    def close(self) -> None:
        """Kill what is left and give everything back."""
        ...


class ProgressSink(Protocol):
    """Shows or stores progress. Called from the run's own thread; must not block for long."""

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Take a snapshot; called about once a second while something changes."""
        ...

    def close(self, report: RunReport) -> None:
        """Take the final report; called once, whatever the end."""
        ...
