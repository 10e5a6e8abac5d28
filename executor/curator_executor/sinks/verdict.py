"""Which stage held a finished run up. Called by the closing tables and the HTML report."""

from __future__ import annotations

from curator_api.progress import Bottleneck, RunReport


def main_bottleneck(report: RunReport) -> Bottleneck | None:
    """The stage that was the bottleneck for most of the run, with the last reason given for it.

    The last snapshot alone would not do: at the end of a run nothing waits any more.
    """
    seconds: dict[str, float] = {}
    last: dict[str, Bottleneck] = {}
    before_s = 0.0
    for snapshot in [*report.history, report.snapshot]:
        found = snapshot.bottleneck
        if found is not None:
            seconds[found.stage] = seconds.get(found.stage, 0.0) + snapshot.elapsed_s - before_s
            last[found.stage] = found
        before_s = snapshot.elapsed_s
    return last[max(seconds, key=lambda stage: seconds[stage])] if seconds else None
