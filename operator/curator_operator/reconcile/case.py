"""`Case`: one look at one pipeline, with the answers that every part of `plan` asks for.

Made once by `plan`. Here is decided what of the observation counts: whose cluster, which head,
whether a job or a snapshot speaks of the present attempt. What is stale, of another attempt or
edited by hand must not get past this module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from curator_api.times import seconds
from curator_api.v1alpha1.status import Phase, PipelineStatus
from curator_operator.desired import names
from curator_operator.reconcile.accept import Judged
from curator_operator.reconcile.actions import Action
from curator_operator.reconcile.observed import (
    ClusterSeen,
    JobSeen,
    Observed,
    PipelineSeen,
    PodSeen,
    SnapshotSeen,
)
from curator_operator.reconcile.phases import ACTIVE
from curator_operator.settings import OperatorSettings

HEAD_CONTAINER = "ray-head"
ALIVE = ("PENDING", "RUNNING")
OVER = ("SUCCEEDED", "FAILED", "STOPPED")
# Statuses have whole seconds: what happened in the same second is not older.
ROUNDING_S = 1.0


@dataclass(frozen=True)
class Step:
    """What one part of `plan` decided.

    Attributes:
        refused: what is wrong with the spec and only showed when children were to be made.
    """

    status: PipelineStatus
    actions: tuple[Action, ...] = ()
    look_again_s: float | None = None
    poll: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """One look at one pipeline."""

    observed: Observed
    judged: Judged
    settings: OperatorSettings
    now: float

    @property
    def pipeline(self) -> PipelineSeen:
        """The resource."""
        return self.observed.pipeline

    @property
    def status(self) -> PipelineStatus:
        """Its status as it is stored."""
        return self.pipeline.status

    @property
    def attempt(self) -> int:
        """The present attempt; 0 before the first. A wiped status must not strand its cluster."""
        return self.status.attempt or max((one.attempt for one in self.ours), default=0)

    @property
    def phase(self) -> Phase:
        """The phase, mended where it cannot be true: a status may be old or edited by hand."""
        phase = self.status.phase
        if phase is None:
            return "Starting" if self.attempt else "Pending"
        if phase in ACTIVE and not self.attempt:
            return "Pending"
        return phase

    @property
    def existing(self) -> str:
        """Name of the RayCluster that is only used; "" where the pipeline has its own."""
        return self.judged.controls.existing

    @property
    def cluster_name(self) -> str:
        """RayCluster of the present attempt. By the rules, whatever the status says."""
        return self.existing or names.cluster_name(
            self.pipeline.name, self.pipeline.uid, self.attempt
        )

    @property
    def submission_id(self) -> str:
        """Ray job of the present attempt. By the rules, whatever the status says."""
        return names.submission_id(self.pipeline.uid, self.attempt)

    @property
    def submitted(self) -> bool:
        """Whether the status names the job: it may have been submitted."""
        return self.status.submission_id == self.submission_id

    @cached_property
    def ours(self) -> tuple[ClusterSeen, ...]:
        """RayClusters that this pipeline owns, of any attempt."""
        return tuple(one for one in self.observed.clusters if one.owner_uid == self.pipeline.uid)

    @cached_property
    def cluster(self) -> ClusterSeen | None:
        """RayCluster of the present attempt, if it is there and ours (or the existing one)."""
        if self.existing:
            found = self.observed.existing
            return found if found is not None and found.name == self.existing else None
        return next((one for one in self.ours if one.name == self.cluster_name), None)

    @property
    def name_taken(self) -> bool:
        """Whether somebody else's RayCluster has the name of the present attempt's."""
        return not self.existing and any(
            one.name == self.cluster_name and one.owner_uid != self.pipeline.uid
            for one in self.observed.clusters
        )

    def leftovers(self, *, present: bool) -> tuple[ClusterSeen, ...]:
        """RayClusters of ours that are of no use any more and are not going yet.

        Never one of a later attempt than the status knows: then the status is the older of the
        two, and its cluster may be at work.

        Args:
            present: whether the present attempt's counts too.
        """
        return tuple(
            one
            for one in self.ours
            if not one.deleting
            and one.attempt <= self.attempt
            and (present or self.existing or one.name != self.cluster_name)
        )

    @cached_property
    def head(self) -> PodSeen | None:
        """Head pod of the present attempt: the newest, one that runs before one that ended."""
        heads = [
            pod for pod in self.observed.pods if pod.is_head and pod.cluster == self.cluster_name
        ]
        return max(heads, key=lambda pod: (_lives(pod), pod.created_at, pod.uid), default=None)

    @cached_property
    def head_container(self) -> str:
        """Id of the running container of Ray in the head; "" where none is known."""
        if self.head is None or not _lives(self.head):
            return ""
        named = [one for one in self.head.containers if one.name == HEAD_CONTAINER]
        return next((one.id for one in named or self.head.containers if one.id), "")

    @property
    def head_lives(self) -> bool:
        """Whether there is a head pod that runs or will run."""
        return self.head is not None and _lives(self.head)

    @property
    def head_ready(self) -> bool:
        """Whether the head can take a job."""
        cluster = self.cluster
        if cluster is None or cluster.deleting or cluster.suspended:
            return False
        if self.existing and self.head is None:
            # Pods of an existing cluster may be out of sight; KubeRay's word is enough.
            return cluster.state == "ready" or any(
                one.type == "HeadPodReady" and one.status == "True" for one in cluster.conditions
            )
        head = self.head
        return head is not None and _lives(head) and head.ready and bool(self.head_container)

    def heads_left(self, *, present: bool) -> tuple[PodSeen, ...]:
        """Head pods of our clusters that may still run something.

        Args:
            present: whether the present attempt's counts too.
        """
        return tuple(
            pod
            for pod in self.observed.pods
            if pod.is_head
            and pod.phase not in ("Succeeded", "Failed")
            and pod.cluster != self.existing
            and (present or pod.cluster != self.cluster_name)
        )

    @cached_property
    def job(self) -> JobSeen:
        """The present attempt's job; `unknown` where what was seen does not speak of it now."""
        seen = self.observed.job
        unknown = JobSeen(self.submission_id)
        if not self.submitted or seen.submission_id != self.submission_id:
            return unknown
        if seen.state == "unreachable" or not seen.head_container_id:
            return seen
        took, here = self.status.head_container_id, self.head_container
        if here and seen.head_container_id == here:
            return seen
        if seen.head_container_id != took:
            return unknown
        # Of the container that took the job, but another one runs now: only an end stays true.
        return unknown if here and seen.state not in OVER else seen

    @property
    def on_another_head(self) -> bool:
        """Whether another container than the one that took the job answers for it now."""
        took = self.status.head_container_id
        answers = self.job.head_container_id or self.head_container
        return bool(took and answers and took != answers)

    @property
    def unauthorized(self) -> bool:
        """Whether the head answers, but refuses the operator's token."""
        return self.job.state == "unreachable" and self.job.message.startswith("Unauthorized")

    @property
    def unreachable_s(self) -> float:
        """Seconds since the head last answered; 0 while it does."""
        since = self.job.unreachable_since
        if self.job.state != "unreachable" or since is None:
            return 0.0
        if self.unauthorized and self.head_lives:
            # It lives and may well work: another token, not another attempt, is what it takes.
            return 0.0
        return max(0.0, self.now - since)

    @cached_property
    def snapshot(self) -> SnapshotSeen | None:
        """The newest progress of the present attempt."""
        seen = self.observed.snapshot
        if seen is None or not self.submitted or seen.submission_id != self.submission_id:
            return None
        began = seconds(self.status.active_since)
        # A run that Kueue pre-empted had the same id; a clock set back must hide nothing.
        if began is not None and began <= self.now and seen.at < began - ROUNDING_S:
            return None
        return seen

    @property
    def last_known_attempt(self) -> int:
        """The highest attempt that anything seen is of; a wiped status must not repeat one."""
        return max([self.attempt, *(one.attempt for one in self.ours)])

    def at(self, status: PipelineStatus) -> Case:
        """The same look with another status, to ask on after a decision."""
        pipeline = replace(self.pipeline, status=status)
        return replace(self, observed=replace(self.observed, pipeline=pipeline))


def _lives(pod: PodSeen) -> bool:
    return not pod.deleting and pod.phase not in ("Succeeded", "Failed")
