"""When a run will be done, said so that it does not wobble.

Called by `status`. The driver estimates anew with every snapshot; a person wants to be told
another time only when it is really another one.
"""

from __future__ import annotations

from curator_api.progress import ProgressSnapshot
from curator_api.times import seconds
from curator_api.v1alpha1.status import StatusProgress
from curator_operator.reconcile.times import duration

# (up to this many seconds left, rounded to so many): about one part in twenty.
_STEPS = ((120.0, 5.0), (600.0, 30.0), (3600.0, 60.0), (6 * 3600.0, 300.0), (86400.0, 1800.0))
_LONGEST_STEP_S = 3600.0
# A century: an estimate beyond is none, and would not fit a calendar.
_LONGEST_S = 100 * 365 * 86400.0


def completion(snapshot: ProgressSnapshot, before: StatusProgress | None) -> float | None:
    """Seconds since 1970 at which the run will be done; None while unknown.

    Args:
        snapshot: with the driver's own estimate.
        before: what the status shows; its time stays while the new one is less than two steps off.
    """
    left_s = snapshot.eta_s
    if left_s is None or not 0 <= left_s <= _LONGEST_S:
        return None
    step = _step(left_s)
    at = snapshot.time + left_s
    shown = seconds(before.estimated_completion_time) if before is not None else None
    if shown is not None and abs(shown - at) < 2 * step and shown >= snapshot.time:
        return shown
    return round(at / step) * step


def remaining(left_s: float) -> str:
    """The time left as a person reads it, rounded like the estimate: `1h20m`, `1m30s`."""
    left = max(0.0, left_s)
    step = _step(left)
    return duration(round(left / step) * step)


def _step(left_s: float) -> float:
    return next((step for limit, step in _STEPS if left_s <= limit), _LONGEST_STEP_S)
