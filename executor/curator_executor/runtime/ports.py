"""The seams between the loop and the world: `Clock`, `WorkerPool`, `ProgressSink`.

The Ray backend and the simulator implement `Clock` and `WorkerPool`; sinks implement
`ProgressSink`.
"""

from __future__ import annotations

from typing import Protocol

from curator_api.progress import ProgressSnapshot, RunReport


class ProgressSink(Protocol):
    """Shows or stores progress. Called from the run's own thread; must not block for long."""

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Take a snapshot; called about once a second while something changes."""
        ...

    def close(self, report: RunReport) -> None:
        """Take the final report; called once, whatever the end."""
        ...
