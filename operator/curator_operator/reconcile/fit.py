"""A status that fits: at most 32 KiB, whatever the number of stages and the length of messages.

Called by `plan` last. Things go in order of worth, least first, and the message says what is not
shown. What the operator has to remember of an attempt is never cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from curator_api.v1alpha1.status import LONGEST_MESSAGE, PipelineStatus, StageStatus
from curator_operator.reconcile.text import cut

MOST_BYTES = 32 * 1024
# Room for the sentence that says what was cut.
_NOTE_BYTES = 256
_SHORT = 256
_FEW = 3
# Go's encoder, which the API server uses, writes these as six bytes each.
_ESCAPED_BY_GO = str.maketrans({"<": "......", ">": "......", "&": "......"})


def size_bytes(status: PipelineStatus) -> int:
    """Bytes of the status as JSON, as large as any encoder makes it."""
    data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return len(json.dumps(data).translate(_ESCAPED_BY_GO))


def fitted(status: PipelineStatus) -> PipelineStatus:
    """The status, cut where it is too large; the message then says what is not shown."""
    if size_bytes(status) <= MOST_BYTES:
        return status
    whole = status
    for shorten in _STEPS:
        status = shorten(status)
        if size_bytes(status) <= MOST_BYTES - _NOTE_BYTES:
            return _noted(whole, status)
    for fewer in _fewer_stages(status):
        status = fewer
        if size_bytes(status) <= MOST_BYTES - _NOTE_BYTES:
            break
    return _noted(whole, status)


def _short_failures(status: PipelineStatus) -> PipelineStatus:
    short = [
        one.model_copy(update={"message": cut(one.message, _SHORT), "task": cut(one.task, 64)})
        for one in status.failures
    ]
    return status.model_copy(update={"failures": short})


def _few_failures(status: PipelineStatus) -> PipelineStatus:
    return status.model_copy(update={"failures": status.failures[:_FEW]})


def _short_conditions(status: PipelineStatus) -> PipelineStatus:
    short = [
        one.model_copy(update={"message": cut(one.message, _SHORT)}) for one in status.conditions
    ]
    message = None if status.message is None else cut(status.message, _SHORT)
    return status.model_copy(update={"conditions": short, "message": message})


def _no_failures(status: PipelineStatus) -> PipelineStatus:
    return status.model_copy(update={"failures": []})


def _bare_stages(status: PipelineStatus) -> PipelineStatus:
    """Stages at rest without their rates: nothing goes on there."""
    bare = {"items_per_second": None, "seconds_per_task": None, "busy_percent": None, "gpus": None}
    stages = [
        one if one.running or one.queued else one.model_copy(update=bare) for one in status.stages
    ]
    return status.model_copy(update={"stages": stages})


_STEPS: tuple[Callable[[PipelineStatus], PipelineStatus], ...] = (
    _short_failures,
    _few_failures,
    _bare_stages,
    _short_conditions,
    _no_failures,
)


def _fewer_stages(status: PipelineStatus) -> Iterator[PipelineStatus]:
    """With fewer and fewer stages: those go last that fail, hold others up or have work."""
    held = status.progress.bottleneck if status.progress is not None else None
    named = held.stage if held is not None else ""

    def worth(stage: StageStatus) -> tuple[bool, bool, bool, int]:
        busy = bool(stage.running or stage.queued)
        return stage.name == named, stage.failed > 0, busy, stage.queued

    ranked = sorted(range(len(status.stages)), key=lambda at: worth(status.stages[at]))
    while ranked:
        del ranked[: max(1, len(ranked) // 16)]
        kept = [status.stages[at] for at in sorted(ranked)]
        yield status.model_copy(update={"stages": kept})


def _noted(whole: PipelineStatus, status: PipelineStatus) -> PipelineStatus:
    missing = []
    stages = len(whole.stages) - len(status.stages)
    if stages:
        missing.append(f"{stages} of {len(whole.stages)} stages")
    failures = len(whole.failures) - len(status.failures)
    if failures:
        missing.append(f"{failures} of {len(whole.failures)} kinds of failures")
    shown = f"not shown: {', '.join(missing)}" if missing else "long messages were cut"
    note = f" (status is full at 32 KiB; {shown})"
    message = cut(whole.message or "", LONGEST_MESSAGE - len(note))
    if status.message is not None:
        message = cut(status.message, min(len(status.message), LONGEST_MESSAGE - len(note)))
    return status.model_copy(update={"message": (message + note).strip()})
