"""`PipelineStatus`: what the operator says of a pipeline, in its resource's `status`.

Written by the operator alone, read by `kubectl`, by `curator watch` and by the operator itself
after a restart: whatever it has to remember of an attempt is here. Rates and seconds are text,
rounded to what a person reads, so that a status changes only when something visible does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, computed_field, model_validator

from curator_api.base import WireModel
from curator_api.v1alpha1.names import BY_NAME, BY_TYPE, unrepeated_by

Phase = Literal[
    "Pending",
    "Queued",
    "Starting",
    "Running",
    "Suspending",
    "Suspended",
    "Stopping",
    "Succeeded",
    "Failed",
]
ENDED: frozenset[Phase] = frozenset({"Succeeded", "Failed"})

ConditionType = Literal[
    "Accepted",
    "ClusterReady",
    "Progressing",
    "Stalled",
    "Suspended",
    "Finished",
    "Complete",
    "Failed",
]
ConditionStatus = Literal["True", "False", "Unknown"]

MOST_CONDITIONS = 16
# Twice what a manifest may name: a stage made of parts shows each of them.
MOST_SHOWN_STAGES = 128
MOST_FAILURES = 10
LONGEST_MESSAGE = 1024


class Condition(WireModel):
    """One thing that is true of the pipeline or not, as in every Kubernetes resource."""

    type: ConditionType = Field(description="What is judged.")
    status: ConditionStatus = Field(description="`True`, `False` or `Unknown`.")
    reason: str = Field(
        min_length=1, max_length=128, description="Why, in one word that programs can use."
    )
    message: str = Field("", max_length=LONGEST_MESSAGE, description="Why, for a person.")
    last_transition_time: str = Field(
        max_length=32, description="When `status` last changed, RFC 3339."
    )
    observed_generation: int | None = Field(
        None, ge=0, description="Generation of the spec that was judged."
    )


class StatusBottleneck(WireModel):
    """The stage that holds the others up."""

    stage: str = Field(max_length=128, description="Its name.")
    reason: str = Field(max_length=256, description="Why it is thought to.")


class StatusProgress(WireModel):
    """How far the pipeline is."""

    inputs_done: int = Field(0, ge=0, description="Inputs whose results are all finished.")
    inputs_total: int | None = Field(
        None, ge=0, description="Inputs in all; none until the source stage has named them all."
    )
    percent: int | None = Field(
        None, ge=0, le=100, description="Share that is done; none until the total is known."
    )
    inputs_per_second: str | None = Field(None, max_length=16, description="Recent rate.")
    estimated_completion_time: str | None = Field(
        None, max_length=32, description="When it will be done at this rate, RFC 3339."
    )
    remaining: str | None = Field(
        None, max_length=16, description="How long that is from now, such as `1h20m`."
    )
    bottleneck: StatusBottleneck | None = Field(
        None, description="The stage that holds the others up."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_summary(cls, value: Any) -> Any:
        """What is read back is computed afresh."""
        if isinstance(value, dict) and "summary" in value:
            return {name: given for name, given in value.items() if name != "summary"}
        return value

    @computed_field(  # type: ignore[prop-decorator]
        description="`inputsDone`, `inputsTotal` and `percent`, for a table."
    )
    @property
    def summary(self) -> str:
        """What `kubectl get` shows: `812/2000 (40%)`, or `812` until the total is known."""
        if self.inputs_total is None:
            return str(self.inputs_done)
        share = "" if self.percent is None else f" ({self.percent}%)"
        return f"{self.inputs_done}/{self.inputs_total}{share}"


class StatusWorkers(WireModel):
    """Workers of a stage."""

    ready: int = Field(0, ge=0, description="Set up and taking calls.")
    starting: int = Field(0, ge=0, description="On their way.")
    wanted: int = Field(0, ge=0, description="What the last scaling decision asked for.")


class StageStatus(WireModel):
    """One stage. Counts are tasks since the attempt began."""

    name: str = Field(max_length=128, description="The stage.")
    workers: StatusWorkers = Field(default_factory=StatusWorkers, description="Its workers.")
    queued: int = Field(0, ge=0, description="Tasks waiting.")
    running: int = Field(0, ge=0, description="Tasks inside workers.")
    done: int = Field(0, ge=0, description="Tasks finished.")
    failed: int = Field(0, ge=0, description="Tasks given up on.")
    dropped: int = Field(0, ge=0, description="Tasks that gave no output.")
    items_per_second: str | None = Field(None, max_length=16, description="Recent rate.")
    seconds_per_task: str | None = Field(
        None, max_length=16, description="Mean time in `process` per task."
    )
    busy_percent: int | None = Field(
        None, ge=0, le=100, description="Share of its ready workers' time spent in `process`."
    )
    gpus: str | None = Field(
        None, max_length=16, description="GPUs that its ready workers hold, such as `1.5`."
    )


class FailureStatus(WireModel):
    """Failures of one kind."""

    stage: str = Field(max_length=128, description="Where.")
    task: str = Field("", max_length=256, description="One of the tasks.")
    error: str = Field("", max_length=128, description="Type of the exception.")
    message: str = Field("", max_length=LONGEST_MESSAGE, description="What it said.")
    count: int = Field(1, ge=1, description="How many tasks.")
    last_seen: str | None = Field(None, max_length=32, description="When, RFC 3339.")


class PipelineStatus(WireModel):
    """All that is known of a pipeline.

    What an attempt is (`attempt`, `rayCluster`, `submissionId`, `specHash`) is written before
    anything is made for it, so that an operator that dies in between makes nothing twice.
    """

    observed_generation: int | None = Field(
        None, ge=0, description="Generation of the spec that this status speaks of."
    )
    phase: Phase | None = Field(None, description="Where the pipeline is in its life.")
    message: str | None = Field(
        None, max_length=LONGEST_MESSAGE, description="What it waits for, or how it ended."
    )
    held_up_by: str | None = Field(
        None,
        max_length=128,
        description="What holds it up, in a word: the slowest stage, or why it does not run.",
    )
    conditions: Annotated[list[Condition], unrepeated_by("type")] = Field(
        default_factory=list,
        max_length=MOST_CONDITIONS,
        json_schema_extra=BY_TYPE,
        description="`Accepted`, `ClusterReady`, `Progressing`, `Stalled`, `Suspended`, "
        "`Finished` (at any end), `Complete`, `Failed`.",
    )
    attempt: int | None = Field(None, ge=1, description="Number of the attempt, from 1.")
    retries_used: int = Field(
        0, ge=0, description="Attempts that `backoffLimit` counts: those that lost their cluster."
    )
    submission_id: str | None = Field(
        None, max_length=64, description="Ray's job of this attempt; set before it is submitted."
    )
    ray_cluster: str | None = Field(
        None, max_length=63, description="RayCluster of this attempt; set before it is made."
    )
    head_container_id: str | None = Field(
        None,
        max_length=256,
        description="Container of the Ray head that took the job; another one has lost it.",
    )
    driver_address: str | None = Field(
        None, max_length=256, description="Where the driver of an existing cluster answers."
    )
    spec_hash: str | None = Field(
        None, max_length=64, description="Hash of the work that this attempt runs."
    )
    progress: StatusProgress | None = Field(None, description="How far it is.")
    stages: Annotated[list[StageStatus], unrepeated_by("name")] = Field(
        default_factory=list,
        max_length=MOST_SHOWN_STAGES,
        json_schema_extra=BY_NAME,
        description="Each stage, in order.",
    )
    failures: list[FailureStatus] = Field(
        default_factory=list, max_length=MOST_FAILURES, description="The last ten kinds."
    )
    start_time: str | None = Field(
        None, max_length=32, description="When the first attempt began, RFC 3339."
    )
    completion_time: str | None = Field(None, max_length=32, description="When it ended, RFC 3339.")
    last_progress_time: str | None = Field(
        None, max_length=32, description="When an input last finished, RFC 3339."
    )
    active_since: str | None = Field(
        None,
        max_length=32,
        description="Since when the present attempt counts towards the deadline, RFC 3339.",
    )
    active_seconds: int = Field(
        0, ge=0, description="Seconds that earlier attempts count towards the deadline."
    )
