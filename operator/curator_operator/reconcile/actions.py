"""Actions: all that the operator can do to the world, each with the reason for doing it.

Decided by `plan`, done by `cluster.apply`. Each may be done twice without harm, because the
operator may die after any of them: names are deterministic, and "already there" and "not there any
more" count as done. `ACTIONS` lists them all; `apply` and the fault injection go by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from curator_api.v1alpha1.status import PipelineStatus

Body = Mapping[str, Any]


@dataclass(frozen=True)
class AddFinalizer:
    """Make sure that the pipeline does not go before its job is stopped."""

    reason: str


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the pipeline go."""

    reason: str


@dataclass(frozen=True)
class CreateSecret:
    """Make the Secret with the attempt's token; the token is filled in when it is made."""

    name: str
    body: Body
    reason: str


@dataclass(frozen=True)
class CreateConfigMap:
    """Make the ConfigMap with the attempt's manifest."""

    name: str
    body: Body
    reason: str


@dataclass(frozen=True)
class CreateRayCluster:
    """Make the attempt's RayCluster."""

    name: str
    body: Body
    reason: str


@dataclass(frozen=True)
class PatchRayCluster:
    """Change a RayCluster by a JSON patch that tests what was read first."""

    name: str
    patch: tuple[Body, ...]
    reason: str


@dataclass(frozen=True)
class DeleteRayCluster:
    """Delete a RayCluster of ours; `uid` is a precondition."""

    name: str
    uid: str
    reason: str


@dataclass(frozen=True)
class DeleteConfigMap:
    """Delete the ConfigMap of an attempt that is over."""

    name: str
    reason: str


@dataclass(frozen=True)
class SubmitJob:
    """Submit the attempt's Ray job; a head that has it already is content."""

    cluster: str
    submission_id: str
    body: Body
    reason: str


@dataclass(frozen=True)
class DrainDriver:
    """Ask the driver to let running batches end and stop."""

    cluster: str
    submission_id: str
    reason: str


@dataclass(frozen=True)
class StopJob:
    """Stop the Ray job, hard after Ray's own three seconds."""

    cluster: str
    submission_id: str
    reason: str


@dataclass(frozen=True)
class EmitEvent:
    """Post a Kubernetes event on the pipeline.

    Attributes:
        kind: `Normal` or `Warning`.
        event: reason of the event, such as `ClusterCreated`.
        key: events with the same key are posted once for each pipeline.
    """

    kind: Literal["Normal", "Warning"]
    event: str
    message: str
    key: str
    reason: str = "what happened is told to whoever looks"


@dataclass(frozen=True)
class DeletePipeline:
    """Delete the pipeline itself: its time to live is over; `uid` is a precondition."""

    uid: str
    reason: str


Action = (
    AddFinalizer
    | RemoveFinalizer
    | CreateSecret
    | CreateConfigMap
    | CreateRayCluster
    | PatchRayCluster
    | DeleteRayCluster
    | DeleteConfigMap
    | SubmitJob
    | DrainDriver
    | StopJob
    | EmitEvent
    | DeletePipeline
)
ACTIONS: tuple[type[Any], ...] = get_args(Action)


@dataclass(frozen=True)
class Plan:
    """What to do about a pipeline now.

    Attributes:
        status: what its status should say; written before the actions, where it differs visibly
            from what is there.
        actions: to be done in order; the first that fails ends the pass.
        look_again_s: seconds until it has to be looked at again if nothing happens; None: never.
        poll: whether its job and driver are to be polled.
    """

    status: PipelineStatus
    actions: tuple[Action, ...] = ()
    look_again_s: float | None = None
    poll: bool = False
