"""What the driver is told of a batch that failed in a worker. Called by `runner` and `host`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle

from curator_executor.core.types import BatchError

TRACEBACK_CHARACTERS = 8000
Fresh = Callable[[], list[Any]]

# Input of a failed batch that is kept for running it again by hand.
KEPT_INPUT_BYTES = 4 * 1024 * 1024


def batch_error(
    index: int,
    ids: list[str],
    error: BaseException,
    *,
    attempts: int = 1,
    emitted: int = 0,
    fresh: Fresh | None = None,
) -> BatchError:
    """What the driver is told of a batch that failed."""
    try:
        cause = cloudpickle.dumps(error)
    except Exception:  # noqa: BLE001 - a user's exception may raise anything when pickled
        cause = b""
    inputs = b""
    if fresh is not None:
        try:
            inputs = cloudpickle.dumps(fresh())
        except Exception:  # noqa: BLE001 - as above, for a user's payload
            inputs = b""
    text = "".join(traceback.format_exception(error))
    if len(text) > TRACEBACK_CHARACTERS:
        half = TRACEBACK_CHARACTERS // 2
        text = f"{text[:half]}\n… cut …\n{text[-half:]}"
    return BatchError(
        stage=index,
        tasks=len(ids),
        task_ids=tuple(ids),
        error=type(error).__name__,
        message=str(error),
        traceback=text,
        attempts=attempts,
        emitted=emitted,
        cause=cause,
        inputs=inputs if len(inputs) <= KEPT_INPUT_BYTES else b"",
    )
