"""`Observed`: all that is known of one pipeline when it is decided what to do.

Made by `cluster.read` from watches and polls, or by a test. Plain values: nothing here asks
anybody. Times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curator_api.progress import ProgressSnapshot
from curator_api.v1alpha1.status import PipelineStatus


@dataclass(frozen=True)
class PipelineSeen:
    """The resource as the API server has it.

    Attributes:
        spec: as it is in the resource, defaults filled in; may be invalid where validation was off.
        status: parsed; empty where there is none or it cannot be read.
        deleting: it has a deletion timestamp.
        finalizers: those it has, ours among them or not.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created_at: float
    spec: Mapping[str, Any]
    status: PipelineStatus = field(default_factory=PipelineStatus)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    deleting: bool = False


@dataclass(frozen=True)
class ConditionSeen:
    """A condition of a RayCluster or a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: float | None = None


@dataclass(frozen=True)
class ClusterSeen:
    """A RayCluster with our label, or the existing one that the pipeline names.

    Attributes:
        owner_uid: uid of its controller; "" where it has none.
        attempt: by its label; 0 without.
        suspended: its `spec.suspend`, which Kueue sets.
        deleting: it has a deletion timestamp.
        state: KubeRay's `status.state`, such as `ready`, `failed`, `suspended`.
    """

    name: str
    uid: str
    resource_version: str
    owner_uid: str = ""
    attempt: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)
    suspended: bool = False
    deleting: bool = False
    state: str = ""
    reason: str = ""
    conditions: tuple[ConditionSeen, ...] = ()
    created_at: float = 0.0


@dataclass(frozen=True)
class ContainerSeen:
    """A container of a pod.

    Attributes:
        id: of the running container, as the kubelet gives it; "" before.
        waiting: reason of waiting, such as `ImagePullBackOff`; "" when it does not wait.
        terminated: reason of its last end, such as `OOMKilled`; "" when it never ended.
    """

    name: str
    id: str = ""
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    waiting_message: str = ""
    terminated: str = ""
    terminated_message: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class PodSeen:
    """A pod of one of the pipeline's clusters.

    Attributes:
        cluster: RayCluster it belongs to (label `ray.io/cluster`).
        group: worker group, `headgroup` for the head (label `ray.io/group`).
        phase: as Kubernetes has it.
    """

    name: str
    uid: str
    cluster: str
    is_head: bool
    group: str
    phase: str
    ready: bool = False
    deleting: bool = False
    created_at: float = 0.0
    reason: str = ""
    message: str = ""
    conditions: tuple[ConditionSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()


JobState = Literal[
    "unknown", "unreachable", "absent", "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"
]


@dataclass(frozen=True)
class JobSeen:
    """What the Ray head said of the attempt's job when it was last asked.

    Attributes:
        submission_id: which job this is about.
        state: `unknown`: not asked yet; `unreachable`: no answer; `absent`: the head does not
            know it; else Ray's own.
        at: when that was.
        message: Ray's; where there was no answer why, beginning with `Unauthorized` if the head
            refuses the token.
        head_container_id: of the head container that answered.
        exit_code: of the driver, once it ended.
        driver_address: node of the driver, for an existing cluster.
        unreachable_since: first of the failed tries in a row, or None; not later than `at`, also
            when the clock was set back.
    """

    submission_id: str = ""
    state: JobState = "unknown"
    at: float = 0.0
    message: str = ""
    head_container_id: str = ""
    exit_code: int | None = None
    driver_address: str = ""
    unreachable_since: float | None = None


@dataclass(frozen=True)
class SnapshotSeen:
    """The newest progress of an attempt's driver.

    Attributes:
        submission_id: which attempt said it.
        at: when it was fetched.
    """

    submission_id: str
    snapshot: ProgressSnapshot
    at: float


@dataclass(frozen=True)
class Refusal:
    """An action that the API server refused, as long as it was not done since.

    Attributes:
        action: type name of the action, such as `CreateRayCluster`.
        code: HTTP status.
        reason: the API server's, such as `Forbidden`.
        count: refusals in a row.
    """

    action: str
    code: int
    reason: str
    message: str
    at: float
    count: int = 1


@dataclass(frozen=True)
class Observed:
    """One pipeline and all that belongs to it.

    Attributes:
        clusters: its RayClusters of any attempt, and any RayCluster that has the name of the
            present attempt's without being ours.
        existing: the RayCluster of `spec.cluster.existing`, None where it is not there.
        children: names of its ConfigMaps and Secrets that exist: `ConfigMap/NAME`, `Secret/NAME`.
        kuberay: whether the API server knows RayClusters.
    """

    pipeline: PipelineSeen
    clusters: tuple[ClusterSeen, ...] = ()
    existing: ClusterSeen | None = None
    pods: tuple[PodSeen, ...] = ()
    children: frozenset[str] = frozenset()
    job: JobSeen = field(default_factory=JobSeen)
    snapshot: SnapshotSeen | None = None
    refusals: tuple[Refusal, ...] = ()
    kuberay: bool = True
