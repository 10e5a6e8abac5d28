"""`Reason`: every reason that a condition of a pipeline can have, in one word for programs.

Each is explained in docs/concepts/lifecycle.md; a test compares the two lists. A reason that was
once released keeps its name: alerts and scripts go by it.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    # Accepted
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"  # also of Failed: no further attempt can be made from it
    WORK_CHANGED = "WorkChanged"

    # ClusterReady
    HEAD_READY = "HeadReady"
    NOT_STARTED = "NotStarted"
    CLUSTER_STARTING = "ClusterStarting"
    HEAD_STARTING = "HeadStarting"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONFIG_MISSING = "ConfigMissing"
    CONTAINER_FAILED = "ContainerFailed"
    HEAD_CRASHING = "HeadCrashing"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_REFUSED = "PodsRefused"
    FORBIDDEN = "Forbidden"
    OBJECT_REFUSED = "ObjectRefused"
    API_UNAVAILABLE = "ApiUnavailable"
    NAME_TAKEN = "NameTaken"
    KUBERAY_MISSING = "KubeRayMissing"
    KUBERAY_SILENT = "KubeRaySilent"
    CLUSTER_DELETING = "ClusterDeleting"
    PREVIOUS_HEAD_PRESENT = "PreviousHeadPresent"
    HEAD_GONE = "HeadGone"
    HEAD_UNREACHABLE = "HeadUnreachable"
    HEAD_UNAUTHORIZED = "HeadUnauthorized"
    EXISTING_ABSENT = "ExistingAbsent"
    EXISTING_NOT_READY = "ExistingNotReady"
    CLUSTER_NOT_NEEDED = "ClusterNotNeeded"

    # Progressing
    PENDING = "Pending"
    QUEUED = "Queued"  # also of ClusterReady
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDING = "Suspending"  # also of Suspended
    SUSPENDED = "Suspended"  # also of Suspended
    DELETING = "Deleting"
    FINISHED = "Finished"
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # also of Failed

    # Stalled
    NOT_RUNNING = "NotRunning"
    TASKS_FINISH = "TasksFinish"
    NO_TASK_FINISHED = "NoTaskFinished"
    NO_PROGRESS_REPORT = "NoProgressReport"

    # Suspended
    NOT_SUSPENDED = "NotSuspended"

    # Finished, and Complete or Failed
    SUCCEEDED = "Succeeded"
    DEAD_LETTERS = "DeadLetters"
    STAGE_FAILED = "StageFailed"
    DRIVER_FAILED = "DriverFailed"
    MANIFEST_REFUSED = "ManifestRefused"
    RUNTIME_ENV_FAILED = "RuntimeEnvFailed"
    SUBMISSION_REFUSED = "SubmissionRefused"
    CANCELLED = "Cancelled"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
