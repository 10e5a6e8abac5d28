"""`Outlet`: where snapshots and the report of a run go. Made by `run`, called by the loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from curator_api.progress import RunReport
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.report import Reporter

log = logging.getLogger("curator_executor.run")


class Outlet:
    """Gives snapshots to the sinks, and a log line to the log every `logging_interval`."""

    def __init__(
        self, sinks: Sequence[ProgressSink], reporter: Reporter, interval_s: float
    ) -> None:
        self._sinks = list(sinks)
        self._watched = bool(sinks)  # then a sink says how far it is, not the log
        self._reporter = reporter
        self._interval_s = interval_s
        self._next_log: float | None = None

    def tick(self, now: float) -> None:
        """Publish; called by the loop."""
        shot = self._reporter.snapshot(now)
        if self._next_log is None:
            self._next_log = now + self._interval_s
        elif now >= self._next_log and not self._watched:
            self._next_log = now + self._interval_s
            stages = " ".join(
                f"{s.name}[workers={s.workers.ready} queued={s.queued} running={s.running} "
                f"done={s.done} failed={s.failed} rate={s.items_per_second:.1f}/s]"
                for s in shot.stages
            )
            log.info("progress elapsed=%.0fs %s", shot.elapsed_s, stages)
        self._each("publish", shot)

    def close(self, report: RunReport) -> None:
        """Hand over the report."""
        self._each("close", report)

    def _each(self, method: str, value: object) -> None:
        for sink in list(self._sinks):
            try:
                getattr(sink, method)(value)
            except Exception:
                # Progress is worth less than the run: a sink that fails is left out.
                log.exception("progress sink %s failed and is left out", type(sink).__name__)
                self._sinks.remove(sink)
