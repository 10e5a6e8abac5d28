"""Bring the present attempt's job to rest: drain it, then stop it, and never wait for ever.

Called while a pipeline is suspending, stopping or being deleted; the observed phase says so, which
is what allows the calls. How long it has taken is read from the `Progressing` condition, which
turned `False` when it began.
"""

from __future__ import annotations

from dataclasses import dataclass

from curator_operator.reconcile.actions import Action, DrainDriver, StopJob
from curator_operator.reconcile.case import OVER, ROUNDING_S, Case
from curator_operator.reconcile.conditions import condition_of
from curator_operator.reconcile.times import since
from curator_operator.reconcile.verdict import HEAD_GONE_S, head_is_lost

# The driver ends by itself within spec.execution.drainSeconds; this is for its last words.
GRACE_S = 20.0
# Ray stops a job by force after 3 s; the answer may take a poll to arrive.
STOP_S = 20.0
ASK_AGAIN_S = 5.0
# A poll and a half.
ANSWER_S = 10.0


@dataclass(frozen=True)
class Rest:
    """How far the job is from resting.

    Attributes:
        reached: nothing runs any more, or nothing more can be done about it.
        why: how it stands, for the message.
        again_s: seconds until it has to be looked at again.
    """

    reached: bool
    why: str
    actions: tuple[Action, ...] = ()
    again_s: float | None = None


def rest(case: Case, drain_s: float, reason: str) -> Rest:
    """What brings the job to rest now.

    Args:
        case: this look; its observed phase is Suspending or Stopping.
        drain_s: seconds that the driver gets to end by itself.
        reason: why it has to end.
    """
    still = _rests(case)
    if still:
        return Rest(True, still)
    taken_s = draining_s(case)
    if case.job.state == "absent" and taken_s < ANSWER_S:
        # It may have been posted after the head was asked.
        return Rest(False, "the head is asked once more for the job", again_s=ASK_AGAIN_S)
    patience_s = drain_s + GRACE_S
    target = (case.cluster_name, case.submission_id)
    if taken_s < patience_s:
        seen = case.snapshot
        left_s = patience_s - taken_s
        if seen is not None and seen.snapshot.state in ("Draining", "Cancelled"):
            return Rest(False, "running batches end", again_s=left_s)
        ask = DrainDriver(*target, reason)
        return Rest(False, "the driver is asked to drain", (ask,), min(ASK_AGAIN_S, left_s))
    if taken_s < patience_s + STOP_S:
        stop = StopJob(*target, f"{reason}; it did not end within {patience_s:.0f} s of draining")
        return Rest(False, "the job is stopped", (stop,), ASK_AGAIN_S)
    return Rest(True, f"the job did not end within {patience_s + STOP_S:.0f} s; it is given up")


def draining_s(case: Case) -> float:
    """Seconds since the job was to come to rest."""
    condition = condition_of(case.status, "Progressing")
    if condition is None or condition.status != "False":
        return 0.0
    return since(condition.last_transition_time, case.now)


def _rests(case: Case) -> str:
    """Why nothing runs; "" if something may."""
    job = case.job
    if not case.submitted:
        return "no job was submitted"
    if job.state in OVER:
        return "the job has ended"
    if job.state == "absent" and job.at > case.now - draining_s(case) + ROUNDING_S:
        return "the head has no such job"
    if not case.existing and case.cluster is None and not case.head_lives:
        return "its cluster is gone"
    lost = head_is_lost(case)
    if lost:
        return lost
    if case.existing and case.unreachable_s >= HEAD_GONE_S and not case.observed.kuberay:
        return "its cluster is gone"
    return ""
