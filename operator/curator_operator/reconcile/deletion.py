"""Deletion: stop what runs, shortly, then let the pipeline go; its children follow by owner.

Called by `plan` when the pipeline has a deletion timestamp. Nothing here waits for KubeRay, for
the API server's garbage collector or for a head that does not answer: a finalizer that stays is
worse than a job that is cut off, since the checkpoint is kept.
"""

from __future__ import annotations

from curator_operator.desired.labels import FINALIZER
from curator_operator.reconcile.actions import RemoveFinalizer
from curator_operator.reconcile.case import Case, Step
from curator_operator.reconcile.conditions import Says
from curator_operator.reconcile.draining import rest
from curator_operator.reconcile.phases import ACTIVE
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.say import say

# Whoever deletes a pipeline does not wait as long as one who suspends it.
MOST_DRAIN_S = 30.0


def deleting(case: Case) -> Step:
    """Bring the job to rest, then take our finalizer away."""
    if FINALIZER not in case.pipeline.finalizers:
        return Step(case.status)
    if case.phase not in ACTIVE or not case.submitted:
        return Step(case.status, (RemoveFinalizer("nothing runs that must be stopped"),))
    message = "the pipeline is being deleted: its job is brought to rest first"
    says = Says("Progressing", "False", Reason.DELETING, message)
    status = say(case, case.status.model_copy(update={"phase": "Stopping"}), message, says)
    if case.status.phase not in ("Stopping", "Suspending"):
        return Step(status, look_again_s=0.0, poll=True)
    drain_s = min(case.judged.controls.drain_s, MOST_DRAIN_S)
    resting = rest(case, drain_s, "the pipeline is being deleted")
    if resting.reached:
        return Step(status, (RemoveFinalizer(resting.why),))
    return Step(status, resting.actions, resting.again_s, poll=True)
