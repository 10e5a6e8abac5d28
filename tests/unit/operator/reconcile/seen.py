"""Observations for the tests of `reconcile`: a pipeline and all that belongs to it, in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curator_api.progress import ProgressSnapshot, StageProgress, WorkerCounts
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.desired import names
from curator_operator.desired.labels import FINALIZER
from curator_operator.reconcile.accept import judge
from curator_operator.reconcile.actions import Action, EmitEvent, Plan
from curator_operator.reconcile.observed import (
    ClusterSeen,
    ConditionSeen,
    ContainerSeen,
    JobSeen,
    Observed,
    PipelineSeen,
    PodSeen,
    SnapshotSeen,
)
from curator_operator.reconcile.plan import plan
from curator_operator.reconcile.times import stamp
from curator_operator.settings import OperatorSettings

NOW = 1_800_000_000.0
UID = "4f1c9a20-0000-4000-8000-000000000001"
NAME = "clean-web"
CLUSTER = names.cluster_name(NAME, UID, 1)
JOB = names.submission_id(UID, 1)
HEAD = "containerd://head-1"
SETTINGS = OperatorSettings(token_key="k" * 32)
CHILDREN = frozenset(
    {
        f"Secret/{names.token_secret_name(NAME, UID, 1)}",
        f"ConfigMap/{names.config_map_name(NAME, UID, 1)}",
    }
)


def spec(**fields: Any) -> dict[str, Any]:
    """A valid spec; `cluster` adds to the cluster's fields."""
    cluster = {
        "workerGroups": [
            {
                "name": "cpu",
                "minReplicas": 1,
                "maxReplicas": 1,
                "resources": {"cpus": 4, "memory": "8Gi"},
            }
        ],
        **fields.pop("cluster", {}),
    }
    return {
        "stages": [{"name": "read", "class": "my_team.stages.Read"}],
        "cluster": cluster,
        **fields,
    }


def on_existing(**fields: Any) -> dict[str, Any]:
    """A valid spec that uses a cluster that is there."""
    return {**spec(**fields), "cluster": {"existing": {"name": "shared"}}}


def pipeline(
    status: PipelineStatus | None = None, work: Mapping[str, Any] | None = None, **fields: Any
) -> PipelineSeen:
    seen = PipelineSeen(
        namespace="team-a",
        name=NAME,
        uid=UID,
        generation=1,
        resource_version="1",
        created_at=NOW - 100,
        spec=spec() if work is None else work,
        status=status or PipelineStatus(),
        finalizers=(FINALIZER,),
    )
    return replace(seen, **fields)


def hash_of(work: Mapping[str, Any]) -> str:
    return judge(pipeline(work=work)).work


def starting(work: Mapping[str, Any] | None = None, **fields: Any) -> PipelineStatus:
    """Status of an attempt that was begun a minute ago and made nothing yet."""
    whole: dict[str, Any] = {
        "phase": "Starting",
        "attempt": 1,
        "ray_cluster": CLUSTER,
        "spec_hash": hash_of(spec() if work is None else work),
        "start_time": stamp(NOW - 60),
        "active_since": stamp(NOW - 60),
        **fields,
    }
    return PipelineStatus(**whole)


def submitted(work: Mapping[str, Any] | None = None, **fields: Any) -> PipelineStatus:
    """Status of an attempt whose job may have been posted."""
    return starting(work, **{"submission_id": JOB, "head_container_id": HEAD, **fields})


def running(work: Mapping[str, Any] | None = None, **fields: Any) -> PipelineStatus:
    """Status of an attempt whose job was seen to run."""
    return submitted(work, **{"phase": "Running", **fields})


def cluster(name: str = CLUSTER, **fields: Any) -> ClusterSeen:
    return replace(
        ClusterSeen(
            name=name,
            uid=f"uid-of-{name}",
            resource_version="5",
            owner_uid=UID,
            attempt=int(name.rsplit("-", 1)[1]) if name[-1].isdigit() else 0,
            created_at=NOW - 50,
            conditions=(ConditionSeen("HeadPodReady", "True"),),
        ),
        **fields,
    )


def head(container: str = HEAD, **fields: Any) -> PodSeen:
    """A head pod that is ready."""
    return replace(
        PodSeen(
            name=f"{CLUSTER}-head",
            uid="uid-of-head",
            cluster=CLUSTER,
            is_head=True,
            group="headgroup",
            phase="Running",
            ready=True,
            created_at=NOW - 45,
            conditions=(ConditionSeen("PodScheduled", "True", since=NOW - 44),),
            containers=(ContainerSeen("ray-head", id=container, ready=True),),
        ),
        **fields,
    )


def stuck_head(waiting: str = "", **container: Any) -> PodSeen:
    """A head pod whose container does not run."""
    return head(
        phase="Pending",
        ready=False,
        containers=(ContainerSeen("ray-head", waiting=waiting, **container),),
    )


def worker(name: str = "w1", **fields: Any) -> PodSeen:
    return replace(
        PodSeen(
            name=name,
            uid=f"uid-of-{name}",
            cluster=CLUSTER,
            is_head=False,
            group="cpu",
            phase="Running",
            ready=True,
            created_at=NOW - 40,
        ),
        **fields,
    )


def job(state: Any = "RUNNING", **fields: Any) -> JobSeen:
    return replace(
        JobSeen(submission_id=JOB, state=state, at=NOW - 3, head_container_id=HEAD), **fields
    )


def unreachable(seconds: float, **fields: Any) -> JobSeen:
    return job("unreachable", head_container_id="", unreachable_since=NOW - seconds, **fields)


def snapshot(at: float = NOW - 3, submission_id: str = JOB, **fields: Any) -> SnapshotSeen:
    whole: dict[str, Any] = {
        "run_id": "r1",
        "pipeline": NAME,
        "state": "Running",
        "time": at,
        "elapsed_s": 30.0,
        "inputs_done": 812,
        "inputs_total": 2000,
        "percent": 40.6,
        "inputs_per_second": 13.12,
        "eta_s": 90.0,
        "stages": [
            StageProgress(
                name="read",
                workers=WorkerCounts(ready=3, starting=1, wanted=4),
                queued=120,
                running=8,
                done=804,
                items_per_second=12.94,
                seconds_per_task=0.2871,
                busy_percent=97.6,
            )
        ],
        **fields,
    }
    return SnapshotSeen(submission_id, ProgressSnapshot(**whole), at)


def look(seen: PipelineSeen | None = None, now: float = NOW, **fields: Any) -> Plan:
    """The plan for a pipeline whose cluster, head, worker and children are as they should be."""
    whole: dict[str, Any] = {
        "pipeline": seen or pipeline(),
        "clusters": (cluster(),),
        "pods": (head(), worker()),
        "children": CHILDREN,
        **fields,
    }
    return plan(Observed(**whole), SETTINGS, now)


def bare(seen: PipelineSeen | None = None, **fields: Any) -> Plan:
    """The plan for a pipeline that has nothing yet."""
    return look(seen, **{"clusters": (), "pods": (), "children": frozenset(), **fields})


def done(made: Plan) -> list[str]:
    """Names of the planned actions, events left out."""
    return [type(one).__name__ for one in actions(made)]


def actions(made: Plan) -> list[Action]:
    return [one for one in made.actions if not isinstance(one, EmitEvent)]


def told(made: Plan) -> list[str]:
    """Names of the events."""
    return [one.event for one in made.actions if isinstance(one, EmitEvent)]


def conditions(made: Plan) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {one.type: (one.status, one.reason) for one in made.status.conditions}


def said(made: Plan, kind: str) -> str:
    """Message of a condition."""
    return next(one.message for one in made.status.conditions if one.type == kind)
