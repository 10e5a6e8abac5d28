"""Ray's exceptions in our terms. The only place that knows their names."""

from __future__ import annotations

from ray import exceptions

from curator_executor.core.events import NODE_GONE
from curator_executor.core.types import BatchError
from curator_executor.runtime.batch_errors import batch_error


def is_death(error: BaseException) -> bool:
    """Whether the worker is gone."""
    return isinstance(
        error,
        (exceptions.ActorDiedError, exceptions.ActorUnavailableError, exceptions.NodeDiedError),
    )


def death_reason(error: BaseException) -> str:
    """Why a worker is gone, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, exceptions.NodeDiedError) or "its node has died" in text:
        return NODE_GONE
    if isinstance(error, exceptions.ActorDiedError):
        for mark, reason in (
            ("OOM", "it was killed for memory"),
            ("out of memory", "it was killed for memory"),
            ("ray.kill", "it was ended by the executor"),
            ("connection error code 2", "its process ended unexpectedly (killed or crashed)"),
        ):
            if mark in text and not (mark == "OOM" and "OOM killer due" in text):
                return reason
        if "creation task" in text or "__init__" in text:
            return f"it could not start: {text[:400]}"
    return text[:400]


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def call_error(error: BaseException, stage: int) -> BatchError:
    """A call that could not be carried out, as the failure of its batch."""
    cause = error
    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(error, exceptions.ObjectStoreFullError):
        text = (
            "the object store has no room for one output. Emit smaller tasks, or give Ray more "
            f"object store memory. ({error})"
        )
        return batch_error(stage, [], RuntimeError(text))
    if isinstance(cause, exceptions.ObjectLostError):
        text = (
            "its input was on a node that is gone, and is not made again. Run the pipeline again; "
            f"on nodes that may go at any time, use smaller tasks. ({_in_short(cause)})"
        )
        return batch_error(stage, [], RuntimeError(text))
    return batch_error(stage, [], cause)
