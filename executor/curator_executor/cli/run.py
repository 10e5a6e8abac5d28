"""`curator run`: a manifest from start to end, with a live display and an exit code."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from curator_api.progress import ProgressSnapshot, RunReport, StageProgress
from curator_executor.api.pipeline import Stage
from curator_executor.cli.outcome import (
    CANCELLED,
    DEAD_LETTERS,
    FAILED,
    OK,
    CommandError,
    code_of,
    explain,
)
from curator_executor.cli.prepare import Prepared, prepare
from curator_executor.cli.samples import print_samples
from curator_executor.cli.services import Services
from curator_executor.core.errors import CuratorError
from curator_executor.core.types import BatchError
from curator_executor.runtime.environment import WorkerEnvironment
from curator_executor.runtime.failed_tasks import failed_directory, save_failed
from curator_executor.runtime.loop import Terminated
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.run import RunOutcome
from curator_executor.sinks.console import console_sink
from curator_executor.sinks.formatting import count_of
from curator_executor.sinks.guarded import GuardedSink
from curator_executor.sinks.html import HtmlReportSink
from curator_executor.sinks.jsonl import JsonLinesSink

SHOWN_FAILED_BATCHES = 3
# A batch takes up to 4 MiB; the first ones tell what is wrong.
KEPT_FAILED_BATCHES = 100


class _ReportKeeper:
    """Remembers the run's id and report, which an exception does not carry."""

    def __init__(self) -> None:
        self.run_id = ""
        self.report: RunReport | None = None

    def publish(self, snapshot: ProgressSnapshot) -> None:
        self.run_id = snapshot.run_id

    def close(self, report: RunReport) -> None:
        self.run_id = report.snapshot.run_id
        self.report = report


def run_pipeline(options: Namespace, services: Services) -> int:
    """Run the pipeline; the exit code.

    Raises:
        ManifestError: the manifest is wrong.
        CommandError: an option is wrong, or a file cannot be written.
    """
    prepared = prepare(options, services)
    console = Console()
    for note in prepared.notes:
        print(f"note: {note}", file=sys.stderr)
    keeper = _ReportKeeper()
    files = _file_sinks(options, prepared)
    display = console_sink(console, prepared.settings.logging_interval)
    guarded_display = GuardedSink(display, "the display")
    # Ray takes seconds to start and the run's own snapshots begin after that.
    guarded_display.publish(_starting(prepared))
    sinks: list[ProgressSink] = [
        keeper,
        guarded_display,
        *(GuardedSink(sink, name) for name, sink in files),
    ]
    failed: Sequence[object] = ()
    try:
        with _terminated_like_interrupted():
            outcome = services.run(
                prepared.stages,
                None,
                prepared.settings,
                sinks,
                prepared.pipeline.name,
                WorkerEnvironment(
                    tuple(prepared.pipeline.python_paths), prepared.pipeline.runtime_env
                ),
            )
        failed = outcome.failed
        display.stop()
        return _end(options, console, prepared, outcome)
    except KeyboardInterrupt:
        display.stop()
        print("curator: cancelled", file=sys.stderr)
        return CANCELLED
    except CuratorError as error:
        display.stop()
        failed = error.failed
        explain(error, options.verbose)
        return code_of(error)
    finally:
        display.stop()
        for _, sink in files:
            if isinstance(sink, JsonLinesSink):
                sink.stop()
        _name_files(options, keeper)
        _keep_failed(options, keeper.run_id, prepared.stages, failed)


def _starting(prepared: Prepared) -> ProgressSnapshot:
    """What is shown until the run has something to say."""
    return ProgressSnapshot(
        run_id="",
        pipeline=prepared.pipeline.name,
        state="Starting",
        time=time.time(),
        elapsed_s=0.0,
        stages=[StageProgress(name=stage.name) for stage in prepared.stages],
        message="connecting to Ray, or starting it here",
    )


def _end(options: Namespace, console: Console, prepared: Prepared, outcome: RunOutcome) -> int:
    """Show outputs if they were asked for; say what was lost; the exit code."""
    if options.until is not None:
        print_samples(console, outcome.tasks, prepared.stages[-1].name)
    dry = _ran_dry(prepared.stages, outcome.report)
    if dry:
        print(f"curator: {dry}", file=sys.stderr)
        return FAILED
    lost = sum(stage.progress.failed for stage in outcome.report.stages)
    if not lost and not outcome.report.dead_letters:
        return OK
    batches = count_of(len(outcome.report.dead_letters), "batch", "batches")
    print(
        f"curator: done, but {batches} ({count_of(lost, 'task')}) failed: dead letters",
        file=sys.stderr,
    )
    return DEAD_LETTERS


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


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM drains and cancels as Ctrl-C does: it is what a pod gets before it is killed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _file_sinks(options: Namespace, prepared: Prepared) -> list[tuple[str, ProgressSink]]:
    """(name, sink) of the files asked for, each known to be writable."""
    sinks: list[tuple[str, ProgressSink]] = []
    try:
        if options.progress is not None:
            sinks.append((f"progress file {options.progress}", JsonLinesSink(options.progress)))
        if options.report is not None:
            report = HtmlReportSink(options.report, prepared.settings, prepared.notes)
            sinks.append((f"report {options.report}", report))
    except OSError as error:
        raise CommandError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror or error}. "
            "Give --report and --progress files in a directory that exists and is yours"
        ) from error
    return sinks


def _name_files(options: Namespace, keeper: _ReportKeeper) -> None:
    if keeper.report is None:
        return
    for kind in ("report", "progress"):
        name = getattr(options, kind)
        if name is not None and Path(name).exists():
            print(f"{kind}: {name}", file=sys.stderr)


def _keep_failed(
    options: Namespace, run_id: str, stages: Sequence[Stage], failed: Sequence[object]
) -> None:
    """Save the inputs of failed batches, and say how to run them again.

    Trouble here is said and no more: it must not hide how the run ended.
    """
    held = [error for error in failed if isinstance(error, BatchError) and error.inputs]
    if not held or not run_id:
        return
    directory = failed_directory(run_id)
    try:
        paths = [
            save_failed(
                directory,
                error.stage,
                stages[error.stage].name,
                error.inputs,
                (error.error, error.message, error.traceback),
            )
            for error in held[:KEPT_FAILED_BATCHES]
        ]
    except OSError as error:
        print(f"curator: failed batches were not kept in {directory}: {error}", file=sys.stderr)
        return
    # One of each kind: a thousand bad lines of one sort are one mistake.
    kinds = {
        (error.stage, error.error): path
        for error, path in reversed([*zip(held, paths, strict=False)])
    }
    for path in sorted(kinds.values(), key=paths.index)[:SHOWN_FAILED_BATCHES]:
        command = shlex.join(["curator", "debug", options.manifest, str(path), "--pdb"])
        print(f"run it again under a debugger: {command}", file=sys.stderr)
    if len(held) > 1:
        kept = count_of(len(paths), "failed batch", "failed batches")
        print(f"{kept} of {len(held)} kept in {directory}", file=sys.stderr)
