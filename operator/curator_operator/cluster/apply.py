"""`Applier`: does what `plan` decided, and writes the status.

Called by the controller. Every action has exactly one performer; those on Kubernetes objects are in
`objects`, those on Ray jobs in `ray_jobs`. Each may be done twice: "already there" and "not there
any more" count as done. What is refused is remembered, so that `plan` sees it, until it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster import objects, ray_jobs
from curator_operator.cluster.client import PIPELINES, ApiRefused
from curator_operator.cluster.faults import WRITE_STATUS, Faults
from curator_operator.cluster.http import HeadError, Unauthorized
from curator_operator.cluster.performing import (
    PERFORMERS,
    ActionRefused,
    Conflict,
    Gone,
    Place,
    Tools,
    look_again,
)
from curator_operator.metrics import Metrics
from curator_operator.reconcile.observed import PipelineSeen, Refusal

__all__ = ["PERFORMERS", "ActionRefused", "Applier", "Conflict", "Gone", "Place", "Tools"]

# Importing them registers their performers.
_REGISTERED = (objects, ray_jobs)
_LONGEST = 1024


class Applier:
    """Does actions and writes statuses, one at a time for each pipeline."""

    def __init__(self, tools: Tools, metrics: Metrics, faults: Faults) -> None:
        self._tools = tools
        self._metrics = metrics
        self._faults = faults
        self.wall: Callable[[], float] = time.time

    async def do(self, place: Place, action: Any) -> None:
        """Do an action.

        Raises:
            ActionRefused: the API server, the head or the driver said no, or did not answer.
            Conflict: the object has changed since it was decided.
            Gone: the pipeline does not exist any more.
            ApiUnreachable: the API server did not answer; the action may have been done.
        """
        name = type(action).__name__
        self._faults.at("before", name)
        result = "error"
        try:
            await PERFORMERS[type(action)](self._tools, place, action)
            result = "done"
        except ApiRefused as refused:
            result = "refused"
            raise self._refused(place, name, refused.code, refused.reason, refused.message) from (
                refused
            )
        except HeadError as error:
            result = "refused"
            if isinstance(error, Unauthorized):
                self._tools.targets.forget_token(place.pipeline)
            raise self._refused(
                place, name, error.code, type(error).__name__, str(error)
            ) from error
        except Conflict:
            result = "conflict"
            raise
        finally:
            self._metrics.actions.labels(name, result).inc()
        place.entry.refusals.pop(name, None)
        self._faults.at("after", name)

    async def write_status(self, place: Place, seen: PipelineSeen, status: PipelineStatus) -> None:
        """Write the status, if the pipeline is still as it was `seen`.

        Raises:
            Conflict: it has changed; the newer version is in the cache.
            Gone: it does not exist any more.
            ApiRefused: the API server does not take the status.
            ApiUnreachable: the API server did not answer; the status may have been written.
        """
        self._faults.at("before", WRITE_STATUS)
        body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        patch: list[dict[str, Any]] = [
            # With a version in it the API server compares, and answers a difference with 409.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version},
            {"op": "add", "path": "/status", "value": body},
        ]
        result = "error"
        try:
            written = await self._tools.api.json_patch(
                PIPELINES, seen.namespace, seen.name, patch, sub="status"
            )
            result = "written"
        except ApiRefused as refused:
            result = "conflict" if refused.conflict else "refused"
            if refused.not_found:
                raise Gone(str(place.key)) from refused
            if refused.conflict:
                await look_again(self._tools, place)
                raise Conflict(str(refused)) from refused
            raise
        finally:
            self._metrics.status_writes.labels(result).inc()
        self._tools.cache.put_pipeline(written)
        self._faults.at("after", WRITE_STATUS)

    def _refused(
        self, place: Place, action: str, code: int, reason: str, message: str
    ) -> ActionRefused:
        refusal = Refusal(action, code, reason, message[:_LONGEST], self.wall())
        place.entry.refused(refusal)
        return ActionRefused(place.entry.refusals[action])
