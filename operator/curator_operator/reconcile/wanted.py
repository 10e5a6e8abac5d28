"""What an attempt needs made, as actions: the one place where `reconcile` asks `desired`.

Called by `accept` (can it be made at all?) and by `attempt` (make it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired import names
from curator_operator.desired.children import config_map, token_secret
from curator_operator.desired.job import is_existing, submission
from curator_operator.desired.raycluster import raycluster
from curator_operator.reconcile.actions import (
    Body,
    CreateConfigMap,
    CreateRayCluster,
    CreateSecret,
    SubmitJob,
)
from curator_operator.reconcile.observed import PipelineSeen
from curator_operator.settings import OperatorSettings


@dataclass(frozen=True)
class Children:
    """What an attempt consists of; no cluster, Secret and ConfigMap on an existing cluster."""

    job: Body
    secret: Body | None = None
    config_map: Body | None = None
    cluster: Body | None = None


def children(
    pipeline: PipelineSeen, spec: PipelineSpec, attempt: int, settings: OperatorSettings
) -> Children:
    """All manifests of an attempt.

    Raises:
        ManifestError: they cannot be made of this spec; names every field.
    """
    body = submission(pipeline, spec, attempt)
    if is_existing(spec):
        return Children(body)
    return Children(
        body,
        token_secret(pipeline, attempt),
        config_map(pipeline, spec, attempt),
        raycluster(pipeline, spec, attempt, settings),
    )


def job(pipeline: PipelineSeen, spec: PipelineSpec, attempt: int) -> Body:
    """The job of an attempt.

    Raises:
        ManifestError: it cannot be made of this spec.
    """
    return submission(pipeline, spec, attempt)


def secret_key(pipeline: PipelineSeen, attempt: int) -> str:
    """How `Observed.children` names the Secret of an attempt."""
    return f"Secret/{names.token_secret_name(pipeline.name, pipeline.uid, attempt)}"


def config_map_key(pipeline: PipelineSeen, attempt: int) -> str:
    """How `Observed.children` names the ConfigMap of an attempt."""
    return f"ConfigMap/{names.config_map_name(pipeline.name, pipeline.uid, attempt)}"


def make_secret(pipeline: PipelineSeen, attempt: int, reason: str) -> CreateSecret:
    """Make the Secret of an attempt; the same whatever the spec says."""
    body = token_secret(pipeline, attempt)
    return CreateSecret(_name(body), body, reason)


def make_config_map(body: Body, reason: str) -> CreateConfigMap:
    """Make the ConfigMap of an attempt."""
    return CreateConfigMap(_name(body), body, reason)


def make_cluster(body: Body, reason: str) -> CreateRayCluster:
    """Make the RayCluster of an attempt."""
    return CreateRayCluster(_name(body), body, reason)


def submit(cluster: str, body: Body, reason: str) -> SubmitJob:
    """Submit the job of an attempt."""
    return SubmitJob(cluster, str(body["submission_id"]), body, reason)


def _name(body: Body) -> str:
    metadata: dict[str, Any] = body["metadata"]
    return str(metadata["name"])
