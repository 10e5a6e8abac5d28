"""A cluster in memory for the tests of `reconcile`: an API server, KubeRay, kubelets, Ray heads.

`World` is the truth and what happens in it by itself (`tick`); everything in it is deterministic.
`Operator` looks at it through caches that lag behind, plans, writes and acts, and can die anywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from curator_api.progress import ProgressSnapshot, StageProgress
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.desired import labels
from curator_operator.reconcile.observed import (
    ClusterSeen,
    ConditionSeen,
    ContainerSeen,
    PipelineSeen,
    PodSeen,
)
from tests.unit.operator.reconcile.seen import NAME, NOW, UID, spec

TICK_S = 6.0
LONG_RUN = 12


class ApiError(Exception):
    """An answer of the API server or of a head that is no success."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")


@dataclass
class Job:
    """A job on a head."""

    state: str = "PENDING"
    done: int = 0
    exit_code: int | None = None
    draining: bool = False

    @property
    def alive(self) -> bool:
        return self.state in ("PENDING", "RUNNING")


@dataclass
class Pod:
    """A head pod and, while its container runs, the Ray head in it.

    Attributes:
        cut_off: its node hears nobody and nobody hears it; what runs there runs on.
    """

    uid: str
    cluster: str
    container: str
    created_at: float
    placed: bool = False
    ready: bool = False
    deleting: bool = False
    cut_off: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)


@dataclass
class Cluster:
    """A RayCluster."""

    name: str
    uid: str
    owner: str
    attempt: int
    spec: dict[str, Any]
    created_at: float
    suspended: bool = False
    provisioned: bool = False


@dataclass
class View:
    """What a watch has delivered up to some moment."""

    clusters: tuple[ClusterSeen, ...]
    pods: tuple[PodSeen, ...]


class World:
    """The truth.

    Attributes:
        pipeline: the resource; None once it is gone.
        runs: (submission, container) of every submission that took effect, in order.
        story: what happened, for whoever has to understand a failure.
    """

    def __init__(self, **fields: Any) -> None:
        self.now = NOW
        self.pipeline: PipelineSeen | None = PipelineSeen(
            "team-a", NAME, UID, 1, "1", NOW, spec(**fields)
        )
        self.clusters: dict[str, Cluster] = {}
        self.pods: dict[str, Pod] = {}
        self.children: set[str] = set()
        self.runs: list[tuple[str, str]] = []
        self.events: list[str] = []
        self.story: list[str] = []
        self.kuberay_runs = True
        self.kuberay_known = True
        self.reachable = True
        self.nodes_hold_pods = False
        self.status_by_hand = False
        self.outcomes: list[int | None] = []
        self._serial = 0
        self.views: list[View] = []
        self.record()

    # -- the API server -------------------------------------------------------------------------

    def change(self, **fields: Any) -> None:
        """Somebody changes the pipeline."""
        assert self.pipeline is not None
        version = str(int(self.pipeline.resource_version) + 1)
        self.pipeline = replace(self.pipeline, resource_version=version, **fields)
        if self.pipeline.deleting and not self.pipeline.finalizers:
            self.pipeline = None
            self.story.append("the pipeline is gone")

    def edit(self, **fields: Any) -> None:
        """A user edits the spec."""
        if self.pipeline is not None and not self.pipeline.deleting:
            self.change(
                spec={**self.pipeline.spec, **fields}, generation=self.pipeline.generation + 1
            )

    def write_status(self, status: PipelineStatus, version: str) -> None:
        if self.pipeline is None:
            raise ApiError(404, "NotFound")
        if self.pipeline.resource_version != version:
            raise ApiError(409, "Conflict")
        self.change(status=status)

    def create_cluster(self, body: Any) -> None:
        name = body["metadata"]["name"]
        if not self.kuberay_known:
            raise ApiError(404, "NotFound")
        if name in self.clusters:
            if self.clusters[name].owner != UID:
                raise ApiError(409, "AlreadyExists")
            return
        self._serial += 1
        attempt = int(body["metadata"]["labels"][labels.ATTEMPT])
        owner = body["metadata"]["ownerReferences"][0]["uid"]
        uid = f"cluster-{self._serial}"
        made = copy.deepcopy(body["spec"])
        self.clusters[name] = Cluster(name, uid, owner, attempt, made, self.now)

    def delete_cluster(self, name: str, uid: str) -> None:
        found = self.clusters.get(name)
        if found is not None and found.uid == uid:
            del self.clusters[name]

    def patch_cluster(self, name: str, patch: tuple[Any, ...]) -> None:
        found = self.clusters.get(name)
        if found is None:
            raise ApiError(404, "NotFound")
        document = {"spec": copy.deepcopy(found.spec)}
        for one in patch:
            *path, last = (int(x) if x.isdigit() else x for x in one["path"].split("/")[1:])
            place: Any = document
            for part in path:
                place = place[part]
            if one["op"] == "test" and place.get(last) != one["value"]:
                raise ApiError(422, "Invalid")
            if one["op"] == "add":
                place[last] = one["value"]
        found.spec = document["spec"]

    # -- Ray heads ------------------------------------------------------------------------------

    def head_of(self, cluster: str) -> Pod:
        """The head that answers under a cluster's name."""
        for pod in self.pods.values():
            if pod.cluster == cluster and pod.ready and self.reachable and not pod.cut_off:
                return pod
        raise ApiError(0, "Unreachable")

    def submit(self, cluster: str, submission_id: str) -> None:
        head = self.head_of(cluster)
        if submission_id in head.jobs:
            return
        head.jobs[submission_id] = Job()
        self.runs.append((submission_id, head.container))

    def live_jobs(self) -> list[str]:
        """Jobs that run or will, wherever."""
        return [
            f"{name} on {pod.container}"
            for pod in self.pods.values()
            for name, job in pod.jobs.items()
            if job.alive
        ]

    # -- what happens by itself -------------------------------------------------------------------

    def tick(self) -> None:
        """Six seconds pass."""
        self.now += TICK_S
        self._garbage()
        if self.kuberay_runs:
            self._kuberay()
        self._kubelet()
        self._ray()
        self.record()

    def _garbage(self) -> None:
        """What lost its owner goes."""
        owner = self.pipeline.uid if self.pipeline is not None else ""
        for cluster in [one for one in self.clusters.values() if one.owner == UID != owner]:
            del self.clusters[cluster.name]
        if not owner:
            self.children.clear()
        for pod in self.pods.values():
            if pod.cluster not in self.clusters:
                pod.deleting = True

    def _kuberay(self) -> None:
        for cluster in self.clusters.values():
            pods = [pod for pod in self.pods.values() if pod.cluster == cluster.name]
            if cluster.suspended:
                cluster.provisioned = False
                for pod in pods:
                    pod.deleting = True
            elif any(pod.ready for pod in pods):
                cluster.provisioned = True
            # As the annotation asks: a head that was ready once is not made again.
            elif not pods and not cluster.provisioned:
                self._serial += 1
                uid = f"pod-{self._serial}"
                self.pods[uid] = Pod(uid, cluster.name, f"c-{self._serial}", self.now)

    def _kubelet(self) -> None:
        for pod in list(self.pods.values()):
            if pod.deleting and not (self.nodes_hold_pods or pod.cut_off):
                del self.pods[pod.uid]
            elif not pod.deleting:
                pod.ready, pod.placed = pod.placed, True

    def _ray(self) -> None:
        for pod in self.pods.values():
            for job in pod.jobs.values():
                if job.state == "PENDING":
                    job.state = "RUNNING"
                elif job.state == "RUNNING" and job.draining:
                    job.state, job.exit_code = "FAILED", 130
                elif job.state == "RUNNING":
                    job.done += 1
                    if job.done >= LONG_RUN:
                        self._end(job)

    def _end(self, job: Job) -> None:
        code = self.outcomes.pop(0) if self.outcomes else 0
        job.state, job.exit_code = ("SUCCEEDED", 0) if code == 0 else ("FAILED", code)

    def restart_container(self) -> None:
        """The container of the newest head ends and begins anew in its pod."""
        for pod in list(self.pods.values())[-1:]:
            self._serial += 1
            pod.container, pod.placed, pod.ready, pod.jobs = f"c-{self._serial}", False, False, {}

    # -- what watches tell ------------------------------------------------------------------------

    def record(self) -> None:
        """Remember what a watch would say now."""
        clusters = tuple(
            ClusterSeen(
                name=one.name,
                uid=one.uid,
                resource_version=str(len(self.views)),
                owner_uid=one.owner,
                attempt=one.attempt,
                spec=copy.deepcopy(one.spec),
                suspended=one.suspended,
                conditions=self._conditions(one),
                created_at=one.created_at,
            )
            for one in self.clusters.values()
        )
        pods = tuple(
            PodSeen(
                name=f"{one.cluster}-head",
                uid=one.uid,
                cluster=one.cluster,
                is_head=True,
                group="headgroup",
                phase="Running" if one.ready else "Pending",
                ready=one.ready,
                deleting=one.deleting,
                created_at=one.created_at,
                containers=(ContainerSeen("ray-head", one.container if one.ready else ""),),
            )
            for one in self.pods.values()
            if one.cluster.startswith(NAME)
        )
        view = View(clusters, pods)
        if not self.views or (self.views[-1].pods, _plain(self.views[-1])) != (pods, _plain(view)):
            self.views.append(view)

    def _conditions(self, cluster: Cluster) -> tuple[ConditionSeen, ...]:
        has_head = any(pod.cluster == cluster.name for pod in self.pods.values())
        ready = any(pod.cluster == cluster.name and pod.ready for pod in self.pods.values())
        return (
            ConditionSeen("RayClusterProvisioned", str(cluster.provisioned)),
            ConditionSeen("HeadPodReady", str(ready), "" if has_head else "HeadPodNotFound"),
        )

    def signature(self) -> Any:
        """Everything that a fixed point leaves alone."""
        return (
            self.pipeline,
            sorted(self.clusters),
            sorted(self.pods),
            sorted(self.children),
            list(self.runs),
        )


def _plain(view: View) -> list[Any]:
    return [(one.uid, one.suspended, one.spec) for one in view.clusters]


def progress_of(job: Job, now: float, submission_id: str) -> ProgressSnapshot:
    """What the driver of a job says."""
    ends: dict[str, Any] = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "RUNNING": "Running"}
    return ProgressSnapshot(
        run_id=submission_id,
        pipeline=NAME,
        state="Draining" if job.draining and job.alive else ends.get(job.state, "Starting"),
        time=now,
        elapsed_s=job.done * TICK_S,
        inputs_done=job.done,
        inputs_total=LONG_RUN,
        percent=100.0 * job.done / LONG_RUN,
        stages=[StageProgress(name="read", done=job.done)],
    )


Act = Callable[[], None]
