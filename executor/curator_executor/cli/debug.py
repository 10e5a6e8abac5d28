"""`curator debug`: a failed batch again, in this process, without Ray."""

from __future__ import annotations

import pdb  # noqa: T100 - opening the debugger is what the command is for
import sys
import tempfile
import traceback
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from curator_executor.api.pipeline import Stage
from curator_executor.api.stage import NodeInfo, WorkerMetadata
from curator_executor.cli.outcome import FAILED, OK, CommandError
from curator_executor.cli.prepare import naming
from curator_executor.cli.samples import print_samples
from curator_executor.cli.services import Services
from curator_executor.runtime.failed_tasks import (
    FailedTasks,
    NotFailedTasksError,
    load_failed,
)
from curator_executor.sinks.formatting import count_of, one_line


def debug_batch(options: Namespace, services: Services) -> int:
    """Run the batch; 0 if it goes through now, 1 if it fails again.

    Raises:
        ManifestError: the manifest is wrong.
        CommandError: the file holds no failed batch, or the pipeline has no such stage.
    """
    path = Path(options.manifest)
    manifest = services.load(path)
    with naming(path):
        # First, because it makes the user's modules importable, which loading the tasks needs.
        pipeline = services.compile(manifest, until=None, directory=path.resolve().parent)
    try:
        failed = load_failed(options.failed)
    except OSError as error:
        raise CommandError(f"{options.failed} cannot be read: {error.strerror or error}") from error
    except NotFailedTasksError as error:
        raise CommandError(str(error)) from error
    stage = _stage_of(pipeline.stages, failed, options.manifest)
    print(
        f"stage {failed.stage_name}, {count_of(len(failed.tasks), 'task')}; it failed with "
        f"{failed.error}: {one_line(failed.message)}"
    )
    # The stage asks for a directory that outlives its worker; here nothing outlives it.
    with tempfile.TemporaryDirectory(prefix="curator-debug-") as scratch:
        stage.scratch_dir = scratch
        try:
            outputs = _process(stage, failed.tasks)
        except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
            return _show_failure(error, post_mortem=options.pdb)
        print_samples(Console(), outputs, stage.name)
    print("it went through this time")
    return OK


def _stage_of(stages: list[Stage], failed: FailedTasks, manifest: str) -> Stage:
    by_name = {stage.name: stage for stage in stages}
    if failed.stage_name in by_name:
        return by_name[failed.stage_name]
    raise CommandError(
        f"{manifest} has no stage {failed.stage_name}; its stages: {', '.join(by_name)}. "
        "Give the manifest that the batch failed in"
    )


def _process(stage: Stage, tasks: list[Any]) -> list[Any]:
    """What a worker does: set up, process, tear down; a global stage also finishes."""
    stage.setup_on_node(NodeInfo(node_id="debug"), WorkerMetadata(worker_id="debug"))
    stage.setup(WorkerMetadata(worker_id="debug", allocation=stage.resources))
    try:
        outputs = list(_iterated(stage.process_batch(tasks)))
        if stage.is_global_stage:
            outputs += stage.finish()
        return [task for task in outputs if task is not None]
    finally:
        stage.teardown()


def _iterated(result: Any) -> Iterable[Any]:
    return result if isinstance(result, Iterable) else (result,)


def _show_failure(error: Exception, *, post_mortem: bool) -> int:
    """Print where it was raised, from the stage's own frames on, and open the debugger there."""
    where = _own_frames(error.__traceback__)
    traceback.print_exception(type(error), error, where, file=sys.stderr)
    if post_mortem:
        pdb.post_mortem(where)
    else:
        print("--pdb opens the debugger there", file=sys.stderr)
    return FAILED


def _own_frames(where: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this command: it begins where the stage is called."""
    inside = where
    while inside is not None and inside.tb_frame.f_code.co_filename == __file__:
        inside = inside.tb_next
    return inside or where
