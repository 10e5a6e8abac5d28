"""The deadline's clock: counts while an attempt is under way, not while it queues or is suspended.

Called wherever an attempt begins or rests. What the clock shows is in the status alone.
"""

from __future__ import annotations

from curator_api.times import seconds
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.times import since, stamp


def start_clock(status: PipelineStatus, now: float) -> PipelineStatus:
    """The status with the clock going; no change if it goes already.

    A start that lies ahead (the operator's clock was set back) becomes now, or the deadline would
    wait until then.
    """
    began = seconds(status.active_since)
    if began is not None and began <= now:
        return status
    return status.model_copy(update={"active_since": stamp(now)})


def stop_clock(status: PipelineStatus, now: float) -> PipelineStatus:
    """The status with the clock at rest and what it counted added up."""
    if status.active_since is None:
        return status
    return status.model_copy(
        update={"active_since": None, "active_seconds": int(active_s(status, now))}
    )


def active_s(status: PipelineStatus, now: float) -> float:
    """Seconds that count towards the deadline, over all attempts."""
    return status.active_seconds + since(status.active_since, now)


def left_s(status: PipelineStatus, deadline_s: float | None, now: float) -> float | None:
    """Seconds until the deadline, 0 when it is over; None where there is none or nothing counts."""
    if deadline_s is None or status.active_since is None:
        return None
    return max(0.0, deadline_s - active_s(status, now))
