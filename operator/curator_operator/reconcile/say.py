"""The plain words of a decision put into the status: its message and its conditions.

Called by every part of `plan` that decides something.
"""

from __future__ import annotations

from curator_api.v1alpha1.status import LONGEST_MESSAGE, PipelineStatus
from curator_operator.reconcile.case import Case
from curator_operator.reconcile.conditions import Says, with_conditions
from curator_operator.reconcile.text import cut


def say(case: Case, status: PipelineStatus, message: str, *says: Says) -> PipelineStatus:
    """The status with this message and these conditions."""
    said = status.model_copy(update={"message": cut(message, LONGEST_MESSAGE) or None})
    return with_conditions(said, says, case.now, case.pipeline.generation)
