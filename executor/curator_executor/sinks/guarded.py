"""`GuardedSink`: a sink that breaks is heard once and must not end the run.

Wrapped around every sink by whoever hands sinks to `run_stages`.
"""

from __future__ import annotations

import logging

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.runtime.ports import ProgressSink

log = logging.getLogger("curator_executor.sinks")


class GuardedSink:
    """Passes calls on until one fails; then no more snapshots, only the final report.

    The report is still offered after a failed snapshot: a disk that was full for a moment may
    have room again, and the report is what people keep.

    Args:
        sink: the sink to protect the run from.
        name: what it is, for the message, e.g. `HTML report report.html`.
    """

    def __init__(self, sink: ProgressSink, name: str) -> None:
        self._sink = sink
        self._name = name
        self.error: Exception | None = None

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Pass a snapshot on, unless the sink has failed."""
        if self.error is None:
            try:
                self._sink.publish(snapshot)
            except Exception as error:  # noqa: BLE001 - the run is worth more than a sink
                self._note(error, "no more progress goes there")

    def close(self, report: RunReport) -> None:
        """Pass the report on."""
        try:
            self._sink.close(report)
        except Exception as error:  # noqa: BLE001 - the run is worth more than a sink
            self._note(error, "the final report did not get there")

    def _note(self, error: Exception, consequence: str) -> None:
        if self.error is None:
            log.error("%s failed; %s, the run goes on: %r", self._name, consequence, error)
            log.debug("the failure of %s", self._name, exc_info=error)
        self.error = error
