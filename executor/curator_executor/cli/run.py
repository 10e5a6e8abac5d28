"""`curator run`: a manifest from start to end, with a live display and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curator_api.progress import ProgressSnapshot, RunReport, RunState, StageProgress
from curator_api.v1alpha1 import CuratorPipeline
from curator_executor.api.pipeline import Stage
from curator_executor.cli.artifacts import LOG, Artifacts, TableSink, gathering
from curator_executor.cli.endpoint import linger, serving
from curator_executor.cli.failed_batches import keep_failed
from curator_executor.cli.outcome import (
    CANCELLED,
    DEAD_LETTERS,
    FAILED,
    OK,
    CommandError,
    Ending,
    ending_of,
)
from curator_executor.cli.prepare import Prepared, prepare
from curator_executor.cli.ray_job import tell_end
from curator_executor.cli.samples import print_samples
from curator_executor.cli.services import Services
from curator_executor.core.errors import CuratorError
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.report import new_run_id
from curator_executor.runtime.run import RunContext, RunOutcome
from curator_executor.runtime.stop import StopRequest
from curator_executor.sinks.console import LinesSink, LiveSink, console_sink
from curator_executor.sinks.formatting import count_of
from curator_executor.sinks.guarded import GuardedSink
from curator_executor.sinks.html import HtmlReportSink
from curator_executor.sinks.jsonl import JsonLinesSink

if TYPE_CHECKING:
    from curator_executor.sinks.http import ProgressServer

_STATE_BY_CODE: dict[int, RunState] = {
    OK: "Succeeded",
    DEAD_LETTERS: "Succeeded",
    CANCELLED: "Cancelled",
}


class _Keeper:
    """Remembers what the run said last, which an exception does not carry."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.report: RunReport | None = None
        self.last = ProgressSnapshot(
            run_id=run_id, pipeline="", state="Starting", time=time.time(), elapsed_s=0.0
        )

    def publish(self, snapshot: ProgressSnapshot) -> None:
        self.last = snapshot

    def close(self, report: RunReport) -> None:
        self.last = report.snapshot
        self.report = report

    def final(self, ending: Ending) -> ProgressSnapshot:
        """The last snapshot, with the end that the exit code tells of."""
        state = _STATE_BY_CODE.get(ending.code, "Failed")
        changes = {"state": state, "message": ending.message, "time": time.time()}
        return self.last.model_copy(update=changes)


class _Running:
    """One `curator run`: what its steps share.

    Args:
        options: the command line.
        services: the steps to work with.
        stop: where the end of the run is asked for.
        server: the HTTP endpoint, or None.
    """

    def __init__(
        self,
        options: Namespace,
        services: Services,
        stop: StopRequest,
        server: ProgressServer | None,
    ) -> None:
        self.options = options
        self.services = services
        self.stop = stop
        self.server = server
        self.keeper = _Keeper(new_run_id())
        self.artifacts: Artifacts | None = None
        # The display writes here and not into the transcript, which gets the tables of the end.
        self.console = Console(file=sys.stdout)

    def to_its_end(self) -> Ending:
        """Load the manifest and run it; keep artifacts if it names a place for them.

        Raises:
            ManifestError: it cannot be read.
        """
        manifest = self.services.load(Path(self.options.manifest))
        named = {"pipeline": manifest.metadata.name}
        self.keeper.last = self.keeper.last.model_copy(update=named)
        if manifest.spec.artifacts is None:
            return self._ending(manifest)
        with gathering(manifest.spec.artifacts.uri, self.keeper.run_id) as self.artifacts:
            with self.artifacts.transcript.recording():
                ending = self._ending(manifest)
            self.artifacts.save()
        return ending

    def _ending(self, manifest: CuratorPipeline) -> Ending:
        return ending_of(lambda: self._run(manifest), self.options.verbose)

    def _run(self, manifest: CuratorPipeline) -> Ending:
        prepared = prepare(manifest, self.options, self.services)
        for note in prepared.notes:
            print(f"note: {note}", file=sys.stderr)
        files = self._file_sinks(prepared)
        over = self.artifacts.transcript.over if self.artifacts else None
        display = console_sink(self.console, prepared.settings.logging_interval, over)
        named: list[tuple[str, ProgressSink]] = [("the display", display), *files]
        sinks: list[ProgressSink] = [self.keeper]
        sinks += [GuardedSink(sink, name) for name, sink in named]
        if self.server is not None:
            sinks.append(self.server)
        # Ray takes seconds to start and the run's own snapshots begin after that.
        starting = _starting(prepared, self.keeper.last)
        for sink in sinks:
            sink.publish(starting)
        failed: list[object] = []
        try:
            return ending_of(
                lambda: self._work(prepared, sinks, display, failed), self.options.verbose
            )
        finally:
            for _, sink in files:
                if isinstance(sink, JsonLinesSink):
                    sink.stop()
            self._name_files()
            keep_failed(self.options, self.keeper.last.run_id, prepared.stages, failed)

    def _work(
        self,
        prepared: Prepared,
        sinks: Sequence[ProgressSink],
        display: LiveSink | LinesSink,
        failed: list[object],
    ) -> Ending:
        """Run; what failed is added to the list, also when the run ends with an error."""
        pipeline = prepared.pipeline
        context = RunContext(
            environment=pipeline.environment,
            run_id=self.keeper.last.run_id,
            stop=self.stop,
            checked=True,
        )
        try:
            outcome = self.services.run(
                prepared.stages, None, prepared.settings, sinks, pipeline.name, context
            )
            failed += outcome.failed
        except CuratorError as error:
            failed += error.failed
            raise
        finally:
            display.stop()
        return _end(self.options, prepared.stages, outcome)

    def _file_sinks(self, prepared: Prepared) -> list[tuple[str, ProgressSink]]:
        """(name, sink) of the files to write, each known to be writable."""
        options, kept = self.options, self.artifacts
        sinks: list[tuple[str, ProgressSink]] = []
        histories = [options.progress, *([kept.progress] if kept else [])]
        reports = [options.report, *([kept.report] if kept else [])]
        try:
            sinks += [(f"progress file {path}", JsonLinesSink(path)) for path in histories if path]
            sinks += [
                (f"report {path}", HtmlReportSink(path, prepared.settings, prepared.notes))
                for path in reports
                if path
            ]
        except OSError as error:
            raise CommandError(
                f"{error.filename or 'a file'} cannot be written: {error.strerror or error}. "
                "Give --report and --progress files in a directory that exists and is yours"
            ) from error
        if kept:
            sinks.append((LOG, TableSink(kept.transcript)))
        return sinks

    def _name_files(self) -> None:
        if self.keeper.report is None:
            return
        for kind in ("report", "progress"):
            name = getattr(self.options, kind)
            if name is not None and Path(name).exists():
                print(f"{kind}: {name}", file=sys.stderr)


def run_pipeline(options: Namespace, services: Services) -> int:
    """Run the pipeline; the exit code.

    Raises:
        CommandError: the HTTP endpoint cannot be opened.
    """
    stop = StopRequest((signal.SIGINT, signal.SIGTERM))
    with stop.listening(), serving(options, stop) as server:
        running = _Running(options, services, stop, server)
        ending = ending_of(running.to_its_end, options.verbose)
        final = running.keeper.final(ending)
        # Before it can be fetched: whoever fetches it may be gone before it has told anybody.
        tell_end(final, os.environ)
        if server is not None:
            linger(server, final, options)
    return ending.code


def _starting(prepared: Prepared, before: ProgressSnapshot) -> ProgressSnapshot:
    """What is shown until the run has something to say."""
    return before.model_copy(
        update={
            "pipeline": prepared.pipeline.name,
            "time": time.time(),
            "stages": [StageProgress(name=stage.name) for stage in prepared.stages],
            "message": "connecting to Ray, or starting it here",
        }
    )


def _end(options: Namespace, stages: Sequence[Stage], outcome: RunOutcome) -> Ending:
    """Show outputs if they were asked for; say what was lost."""
    if options.until is not None:
        print_samples(Console(), outcome.tasks, stages[-1].name)
    report = outcome.report
    dry = _ran_dry(stages, report)
    if dry:
        print(f"curator: {dry}", file=sys.stderr)
        return Ending(FAILED, dry)
    lost = sum(stage.progress.failed for stage in report.stages)
    if not lost and not report.dead_letters:
        return Ending(OK)
    batches = count_of(len(report.dead_letters), "batch", "batches")
    said = f"done, but {batches} ({count_of(lost, 'task')}) failed: dead letters"
    print(f"curator: {said}", file=sys.stderr)
    return Ending(DEAD_LETTERS, said)


def _ran_dry(stages: Sequence[Stage], report: RunReport) -> str:
    """Which source or reader found nothing to emit, and lost nothing either; "" if none did.

    A script that curates an empty input by mistake must hear of it.
    """
    for stage, said in zip(stages[:-1], report.stages, strict=False):
        reads = stage.is_source_stage or stage.is_fanout_stage()
        lost = said.dropped or said.progress.failed
        if reads and said.progress.done and not said.progress.emitted and not lost:
            took = count_of(said.progress.done, "task")
            return (
                f'the input is empty: stage "{said.progress.name}" took {took} and emitted '
                "none. Look at the files or tasks it was given"
            )
    return ""
