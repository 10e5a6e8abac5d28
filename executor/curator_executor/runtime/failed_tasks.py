"""The inputs of batches that failed, kept on disk so that one can be run again by hand.

`curator run` saves them (`save_failed`) under `failed_directory(run_id)`; `curator debug` loads
them (`load_failed`).
A file is a pickle: load only what your own runs wrote, for loading runs code.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

# Raised whenever the fields change, so that an old file is refused by name and not misread.
FORMAT = 1
# Where runs keep what outlives them, unless the environment says otherwise.
RUNS_VARIABLE = "CURATOR_RUNS_DIR"
DEFAULT_RUNS_DIRECTORY = ".curator"


class NotFailedTasksError(ValueError):
    """The file holds no failed batch, or one of another release."""


@dataclass(frozen=True)
class FailedTasks:
    """A batch that failed, as its stage was given it.

    Attributes:
        stage_index: position of the stage in the run.
        stage_name: its name.
        tasks: the batch.
        error: type of the exception.
        message: its message.
        traceback: where it was raised, or "".
    """

    stage_index: int
    stage_name: str
    tasks: list[Any]
    error: str
    message: str
    traceback: str = ""


def failed_directory(run_id: str) -> Path:
    """Where a run keeps its failed batches: `.curator/<run_id>/failed`, not made here."""
    return Path(os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS_DIRECTORY) / run_id / "failed"


def save_failed(
    directory: Path,
    stage_index: int,
    stage_name: str,
    payload_tasks: Sequence[Any] | bytes,
    error: BaseException | tuple[str, str, str],
) -> Path:
    """Write a failed batch as `<n>.pkl`, complete or not at all; n is the next free number.

    Args:
        directory: made if it is not there.
        stage_index: position of the stage in the run.
        stage_name: its name.
        payload_tasks: the input as the stage was given it, before the stage changed it; or that
            list pickled already.
        error: the exception, or its (type, message, traceback) where it is from another process.

    Returns:
        The file.

    Raises:
        OSError: no room, no permission.
        Exception: whatever pickling an unusual payload raises; nothing is left behind.
    """
    kind, message, traceback = (
        error if isinstance(error, tuple) else (type(error).__name__, str(error), "")
    )
    tasks = (
        payload_tasks
        if isinstance(payload_tasks, bytes)
        else cloudpickle.dumps(list(payload_tasks), protocol=5)
    )
    content = pickle.dumps(
        {
            "format": FORMAT,
            "stage_index": stage_index,
            "stage_name": stage_name,
            # Pickled by itself: the rest can be read even where the tasks' classes are missing.
            "tasks": tasks,
            "error": kind,
            "message": message,
            "traceback": traceback,
        },
        protocol=5,
    )
    directory.mkdir(parents=True, exist_ok=True)
    return _write_numbered(directory, content)


def _write_numbered(directory: Path, content: bytes) -> Path:
    """Write a file whole, under the next number that is free."""
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".part", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            number = sum(1 for _ in directory.glob("*.pkl"))
            while True:
                path = directory / f"{number}.pkl"
                try:
                    path.hardlink_to(temporary)  # fails where the name is taken: no overwriting
                    return path
                except FileExistsError:
                    number += 1
        finally:
            temporary.unlink()


def load_failed(path: str | Path) -> FailedTasks:
    """Read a failed batch.

    Args:
        path: a file that `save_failed` wrote.

    Raises:
        OSError: it cannot be read.
        NotFailedTasksError: it is something else, or the classes of its tasks are not importable.
    """
    content = Path(path).read_bytes()
    try:
        held = pickle.loads(content)
    except Exception as error:
        raise NotFailedTasksError(f"{path} is no failed batch: {error}") from error
    if not isinstance(held, dict) or "stage_name" not in held:
        raise NotFailedTasksError(f"{path} is no failed batch; wanted a file of a run's failed/")
    if held.get("format") != FORMAT:
        raise NotFailedTasksError(
            f"{path} has format {held.get('format')}, this release reads {FORMAT}; "
            "load it with the release that wrote it"
        )
    try:
        tasks = pickle.loads(held["tasks"])
    except Exception as error:
        raise NotFailedTasksError(
            f"{path}: the tasks of stage {held['stage_name']} cannot be loaded: {error}; "
            "the code that they were made with must be importable"
        ) from error
    return FailedTasks(
        stage_index=held["stage_index"],
        stage_name=held["stage_name"],
        tasks=tasks,
        error=held["error"],
        message=held["message"],
        traceback=held["traceback"],
    )
