"""Snapshots and reports as JSON. Called by the sinks that write or serve them.

`to_json` takes whatever text is in a model; `snapshot_json` also keeps within a size.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from curator_api.progress import FailureSummary, ProgressSnapshot

# The operator reads it for every running pipeline every few seconds.
MOST_BYTES = 64 * 1024
# Texts are cut no more than they must be; ten failures of 4,000 characters each still fit.
_LENGTHS = (4000, 1000, 250, 60)


def to_json(model: BaseModel) -> bytes:
    """The model's wire format; lone surrogates, which UTF-8 has no form for, become `?`."""
    try:
        return model.model_dump_json(by_alias=True).encode()
    except PydanticSerializationError:
        text = json.dumps(
            model.model_dump(by_alias=True), ensure_ascii=False, separators=(",", ":")
        )
        return text.encode("utf-8", "replace")


def snapshot_json(snapshot: ProgressSnapshot, most_bytes: int = MOST_BYTES) -> bytes:
    """The snapshot's wire format in at most `most_bytes`.

    What does not fit is left out in this order, and `message` says so: the middle of long texts
    (messages, tracebacks, reasons), `fusedWith`, stages from the end, failures.

    Args:
        snapshot: what to encode.
        most_bytes: at least 1 KiB.
    """
    encoded = to_json(snapshot)
    if len(encoded) <= most_bytes:
        return encoded
    steps: list[tuple[str, Callable[[ProgressSnapshot], ProgressSnapshot]]] = [
        ("texts", lambda shot: _with_texts(shot, _LENGTHS[0])),
        ("fusedWith", _without_fusion),
        *(("texts", lambda shot, n=n: _with_texts(shot, n)) for n in _LENGTHS[1:]),
    ]
    done: list[str] = []
    shot = snapshot
    for what, cut in steps:
        shot = cut(shot)
        done += [what] if what not in done else []
        encoded = to_json(_saying(shot, done, most_bytes))
        if len(encoded) <= most_bytes:
            return encoded
    return _with_fewer_parts(shot, done, most_bytes)


def _with_fewer_parts(shot: ProgressSnapshot, done: list[str], most_bytes: int) -> bytes:
    """Leave out the last stages, then the failures."""
    total, kept = len(shot.stages), len(shot.stages)
    while kept:
        kept //= 2
        fewer = shot.model_copy(update={"stages": shot.stages[:kept]})
        said = _saying(fewer, [*done, f"{total - kept} of {total} stages"], most_bytes)
        encoded = to_json(said)
        if len(encoded) <= most_bytes:
            return encoded
    done = [*done, f"{total} stages", "failures"]
    bare = shot.model_copy(update={"stages": [], "failures": [], "bottleneck": None})
    return to_json(_saying(bare, done, most_bytes))


def _saying(shot: ProgressSnapshot, left_out: list[str], most_bytes: int) -> ProgressSnapshot:
    said = f"(cut to {most_bytes // 1024} KiB: {', '.join(left_out)})"
    return shot.model_copy(update={"message": f"{shot.message} {said}".lstrip()})


def _with_texts(shot: ProgressSnapshot, length: int) -> ProgressSnapshot:
    held = shot.bottleneck
    if held is not None:
        held = held.model_copy(update={"reason": _short(held.reason, length)})
    return shot.model_copy(
        update={
            "message": _short(shot.message, length),
            "bottleneck": held,
            "failures": [_shorter(failure, length) for failure in shot.failures],
        }
    )


def _shorter(failure: FailureSummary, length: int) -> FailureSummary:
    fields = ("error", "message", "task_id", "traceback")
    return failure.model_copy(
        update={name: _short(getattr(failure, name), length) for name in fields}
    )


def _short(text: str, length: int) -> str:
    """The beginning, where messages say what is wrong, and the end, where tracebacks do."""
    if len(text) <= length:
        return text
    gap = f" … ({len(text) - length} characters cut) … "
    return text[: length // 2] + gap + text[-(length // 2) :]


def _without_fusion(shot: ProgressSnapshot) -> ProgressSnapshot:
    stages = [stage.model_copy(update={"fused_with": []}) for stage in shot.stages]
    return shot.model_copy(update={"stages": stages})
