"""Suspension: drain, stop, delete the cluster; and resume with the next attempt.

Called by `plan` when `spec.suspend` is true, and in the phases Suspending and Suspended. A
suspension that began is carried through, even if `spec.suspend` is false again meanwhile: then it
resumes at once.
"""

from __future__ import annotations

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.actions import Action, DeleteConfigMap, DeleteRayCluster
from curator_operator.reconcile.case import Case, Step
from curator_operator.reconcile.clock import stop_clock
from curator_operator.reconcile.conditions import Says, condition_of
from curator_operator.reconcile.draining import rest
from curator_operator.reconcile.ending import finish
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.say import say
from curator_operator.reconcile.status import at_rest, stopped
from curator_operator.reconcile.verdict import Ended, verdict_of


def suspend(case: Case) -> Step:
    """Begin to suspend; at once suspended where nothing was made."""
    if not case.attempt:
        return Step(_suspended(case, "suspended before anything was made"))
    message = "the run drains, then its cluster is deleted"
    status = at_rest(case.status).model_copy(update={"phase": "Suspending"})
    says = (
        Says("Progressing", "False", Reason.SUSPENDING, message),
        Says("Suspended", "False", Reason.SUSPENDING, message),
    )
    return Step(say(case, status, message, *says), look_again_s=0.0, poll=case.submitted)


def suspending(case: Case) -> Step:
    """Drain, stop, delete the cluster, wait until the head pod is gone."""
    verdict = verdict_of(case)
    if isinstance(verdict, Ended) and not verdict.cancelled:
        return finish(case, verdict)
    resting = rest(case, case.judged.controls.drain_s, "spec.suspend is true")
    if not resting.reached:
        status = at_rest(case.status).model_copy(update={"phase": "Suspending"})
        says = Says("Progressing", "False", Reason.SUSPENDING, resting.why)
        return Step(
            say(case, status, resting.why, says), resting.actions, resting.again_s, poll=True
        )
    clusters = [] if case.existing else list(case.ours)
    heads = case.heads_left(present=True)
    if clusters or heads:
        waits_for = f"head pod {heads[0].name}" if heads else f"RayCluster {clusters[0].name}"
        message = f"{resting.why}; {waits_for} has to go"
        actions: list[Action] = [
            DeleteRayCluster(one.name, one.uid, "the pipeline is suspended")
            for one in case.leftovers(present=True)
        ]
        says = Says("Progressing", "False", Reason.SUSPENDING, message)
        status = at_rest(case.status).model_copy(update={"phase": "Suspending"})
        return Step(say(case, status, message, says), tuple(actions))
    return Step(_suspended(case, f"suspended: {resting.why}"), look_again_s=0.0)


def suspended(case: Case, message: str = "") -> Step:
    """Stay suspended: nothing of ours may be left.

    Args:
        case: this look.
        message: why it cannot resume although it should.
    """
    actions: list[Action] = [
        DeleteRayCluster(one.name, one.uid, "the pipeline is suspended")
        for one in case.leftovers(present=True)
    ]
    actions += config_maps(case)
    return Step(_suspended(case, message or _still(case)), tuple(actions))


def config_maps(case: Case) -> list[Action]:
    """Delete the ConfigMaps of attempts that are over.

    Secrets stay until the pipeline goes: the operator may make them, but neither read nor delete
    any.
    """
    return [
        DeleteConfigMap(name.removeprefix("ConfigMap/"), "its attempt is over")
        for name in sorted(case.observed.children)
        if name.startswith("ConfigMap/")
    ]


def _still(case: Case) -> str:
    """What was said when it was suspended."""
    said = condition_of(case.status, "Suspended")
    return said.message if said is not None and said.message else "suspended"


def _suspended(case: Case, message: str) -> PipelineStatus:
    status = stopped(stop_clock(case.status, case.now)).model_copy(
        update={
            "phase": "Suspended",
            "submission_id": None,
            "ray_cluster": None,
            "head_container_id": None,
            "driver_address": None,
        }
    )
    return say(
        case,
        status,
        message,
        Says("ClusterReady", "False", Reason.CLUSTER_NOT_NEEDED, "the pipeline is suspended"),
        Says("Progressing", "False", Reason.SUSPENDED, message),
        Says("Suspended", "True", Reason.SUSPENDED, message),
    )
