"""Conditions: set by type, with `lastTransitionTime` only moving when `status` changes.

Called by every part of `plan` that has something to say. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from curator_api.times import seconds
from curator_api.v1alpha1.status import (
    LONGEST_MESSAGE,
    Condition,
    ConditionStatus,
    ConditionType,
    PipelineStatus,
)
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import cut
from curator_operator.reconcile.times import stamp

_ORDER: dict[str, int] = {name: index for index, name in enumerate(get_args(ConditionType))}


@dataclass(frozen=True)
class Says:
    """What a condition should say."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str = ""


def condition_of(status: PipelineStatus, kind: ConditionType) -> Condition | None:
    """The condition of this type, if there is one."""
    return next((one for one in status.conditions if one.type == kind), None)


def is_true(status: PipelineStatus, kind: ConditionType) -> bool:
    """Whether the condition is there and `True`."""
    found = condition_of(status, kind)
    return found is not None and found.status == "True"


def reason_of(status: PipelineStatus, kind: ConditionType) -> str:
    """The condition's reason; "" without one."""
    found = condition_of(status, kind)
    return "" if found is None else found.reason


def _since(before: Condition, now: float) -> str:
    """When a condition that stays as it is began; not later than now.

    A time that lies ahead was written before the clock was set back. Whoever waits for some time
    after it would wait until the clock has caught up.
    """
    at = seconds(before.last_transition_time)
    return before.last_transition_time if at is not None and at <= now else stamp(now)


def with_conditions(
    status: PipelineStatus, says: Iterable[Says], now: float, generation: int
) -> PipelineStatus:
    """The status with these conditions set; the others stay, and all keep their usual order.

    Args:
        status: as it was.
        says: what to set; of several for one type the last counts.
        now: becomes `lastTransitionTime` of those whose status changes.
        generation: of the spec that was judged.
    """
    by_type = {one.type: one for one in status.conditions}
    for wanted in says:
        before = by_type.get(wanted.type)
        same = before is not None and before.status == wanted.status
        by_type[wanted.type] = Condition(
            type=wanted.type,
            status=wanted.status,
            reason=wanted.reason.value,
            message=cut(wanted.message, LONGEST_MESSAGE),
            last_transition_time=_since(before, now) if before is not None and same else stamp(now),
            observed_generation=generation,
        )
    ordered = sorted(by_type.values(), key=lambda one: _ORDER[one.type])
    return status.model_copy(update={"conditions": ordered})
