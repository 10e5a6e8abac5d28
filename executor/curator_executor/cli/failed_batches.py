"""Keep the inputs of failed batches, for `curator debug`. Called at the end of `run`."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from curator_executor.api.pipeline import Stage
from curator_executor.core.types import BatchError
from curator_executor.runtime.failed_tasks import failed_directory, save_failed
from curator_executor.sinks.formatting import count_of

SHOWN_FAILED_BATCHES = 3
# A batch takes up to 4 MiB; the first ones tell what is wrong.
KEPT_FAILED_BATCHES = 100


def keep_failed(
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
