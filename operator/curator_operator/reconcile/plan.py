"""`plan`: from what is observed of a pipeline to its status and to what is to be done.

Called by the controller for every change, poll and restart alike. Pure: the same observation at
the same time gives the same plan, and once everything is done a plan says nothing new. The order
of the questions is here, the answers are in the modules beside.
"""

from __future__ import annotations

from dataclasses import replace

from curator_api.v1alpha1.status import ENDED, PipelineStatus
from curator_operator.reconcile.accept import judge
from curator_operator.reconcile.actions import Plan
from curator_operator.reconcile.attempt import not_begun, under_way
from curator_operator.reconcile.case import Case, Step
from curator_operator.reconcile.conditions import Says, condition_of, with_conditions
from curator_operator.reconcile.deletion import deleting
from curator_operator.reconcile.ending import ended, stopping
from curator_operator.reconcile.events import events
from curator_operator.reconcile.fit import fitted
from curator_operator.reconcile.observed import Observed
from curator_operator.reconcile.phases import ACTIVE
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.refusals import hold_back
from curator_operator.reconcile.stalled import stalled
from curator_operator.reconcile.status import held_up_by
from curator_operator.reconcile.suspend import suspended, suspending
from curator_operator.settings import OperatorSettings


def plan(observed: Observed, settings: OperatorSettings, now: float) -> Plan:
    """What the status of a pipeline should say and what is to be done about it.

    Args:
        observed: the pipeline and all that belongs to it, stale or not.
        settings: of the operator.
        now: seconds since 1970.

    Returns:
        The status to write where it differs, then the actions in order. An action is planned only
        if the *observed* status already names what it acts for, never on the strength of the
        status that this same plan writes.
    """
    case = Case(observed, judge(observed.pipeline), settings, now)
    step = _decide(case)
    status, stall_s = _completed(case, step)
    actions, held_s = hold_back(step.actions, observed.refusals, now)
    told = events(case.status, status) if status != case.status else ()
    looks = [one for one in (step.look_again_s, stall_s, held_s) if one is not None]
    return Plan(
        status,
        (*actions, *told),
        look_again_s=min(looks, default=None),
        poll=step.poll and bool(status.submission_id),
    )


def _decide(case: Case) -> Step:
    """Which question comes first."""
    if case.pipeline.deleting:
        return deleting(case)
    if case.phase in ENDED:
        return ended(case)
    if case.phase == "Suspended":
        return _resumed(case)
    if case.phase == "Suspending":
        return suspending(case)
    if case.phase == "Stopping":
        return stopping(case)
    if case.phase == "Pending":
        return not_begun(case)
    return under_way(case)


def _resumed(case: Case) -> Step:
    """Suspended: stay so, or begin the next attempt from the checkpoint."""
    if case.judged.controls.suspend or case.judged.spec is None:
        return suspended(case)
    begun = not_begun(case)
    if begun.status.phase == "Starting":
        return replace(begun, actions=())
    # It cannot begin yet: it stays suspended, for the reason that `not_begun` found.
    waits = begun.status.message or ""
    return replace(suspended(case, waits), look_again_s=begun.look_again_s, refused=begun.refused)


def _completed(case: Case, step: Step) -> tuple[PipelineStatus, float | None]:
    """The status with what every status says: the judgement, `Stalled`, the generation; cut."""
    status = step.status
    if case.pipeline.deleting and status == case.status:
        return status, None
    generation = case.pipeline.generation
    stall, stall_s = stalled(case, status)
    says = [_accepted(case, step), stall]
    if condition_of(status, "Suspended") is None:
        says.append(Says("Suspended", "False", Reason.NOT_SUSPENDED))
    whole = with_conditions(status, says, case.now, generation)
    known = {"observed_generation": generation, "attempt": status.attempt or case.attempt or None}
    named = whole.model_copy(update={**known, "held_up_by": held_up_by(whole)})
    return fitted(named), stall_s


def _accepted(case: Case, step: Step) -> Says:
    refused = case.judged.complaint or step.refused
    if refused:
        return Says("Accepted", "False", Reason.INVALID_SPEC, refused)
    status = step.status
    changed = status.spec_hash not in (None, case.judged.work)
    if changed and status.phase in ACTIVE and case.submitted:
        return Says("Accepted", "False", Reason.WORK_CHANGED, _WORK_CHANGED)
    return Says("Accepted", "True", Reason.VALID, "the spec is valid")


_WORK_CHANGED = (
    "the spec's work was edited while an attempt runs; it goes on with what was submitted. Set "
    "spec.suspend: true, wait for Suspended, edit, and set it to false again"
)
