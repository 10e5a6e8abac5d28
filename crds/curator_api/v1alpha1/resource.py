"""`CuratorPipeline`: the manifest, the same file for a local run and for Kubernetes."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from curator_api.base import SpecModel
from curator_api.v1alpha1.cluster import ClusterSpec
from curator_api.v1alpha1.metadata import Metadata
from curator_api.v1alpha1.names import (
    AS_SET,
    BY_NAME,
    IMAGE_PATTERN,
    MOST_STAGES,
    Count,
    FreeForm,
    Unrepeated,
    Uri,
)
from curator_api.v1alpha1.rules import pipeline_rules, raise_broken
from curator_api.v1alpha1.stages import BuilderSpec, StageSpec
from curator_api.v1alpha1.status import PipelineStatus

API_VERSION = "curator.dev/v1alpha1"
KIND = "CuratorPipeline"

RetryCause = Literal["StageFailed"]


class ExecutionSpec(SpecModel):
    """How the pipeline as a whole runs."""

    mode: Literal["streaming", "batch"] = Field(
        "streaming",
        description="`streaming`: tasks flow on as they come. `batch`: a stage begins when the "
        "one before has ended.",
    )
    ignore_failures: bool = Field(
        False, description="Go on when a batch fails for good; it becomes a dead letter."
    )
    max_workers_per_stage: Count | None = Field(
        None, ge=1, description="Most workers of any one stage; none: as many as fit."
    )
    cpu_allocation_percent: int = Field(
        95, ge=1, le=100, description="Share of each node's CPUs that stages may use, in percent."
    )
    autoscale_interval_seconds: Count = Field(
        180, ge=1, description="Seconds between decisions on the number of workers."
    )
    logging_interval_seconds: Count = Field(
        60, ge=1, description="Seconds between progress lines in the log."
    )
    max_failures: Count | None = Field(
        None,
        ge=0,
        description="With `ignoreFailures`: dead letters after which the run fails all the same; "
        "none: no limit.",
    )
    drain_seconds: Count = Field(
        60, ge=0, description="Most seconds that running batches get to end when a run is stopped."
    )
    fusion: bool = Field(
        True, description="Let neighbouring stages share a worker where nothing changes by it."
    )


class Location(SpecModel):
    """A place to write to."""

    uri: Uri = Field(description="Where: `s3://bucket/folder`, `file:///mounted/folder`, …")


class PipelineSpec(SpecModel):
    """What to run and how. Exactly one of `stages` and `builder` is given."""

    stages: list[StageSpec] | None = Field(
        None,
        min_length=1,
        max_length=MOST_STAGES,
        json_schema_extra=BY_NAME,
        description="The stages, in order.",
    )
    builder: BuilderSpec | None = Field(
        None, description="A function that builds the stages, instead of `stages`."
    )
    runtime_env: FreeForm | None = Field(
        None,
        description="Ray runtime environment of all workers, passed on as it is; for code that "
        "is not in the image.",
    )
    execution: ExecutionSpec = Field(
        default_factory=ExecutionSpec, description="How the pipeline as a whole runs."
    )
    image: str | None = Field(
        None,
        pattern=IMAGE_PATTERN,
        max_length=1024,
        description="Container image with the executor and your own code. Kubernetes only.",
    )
    cluster: ClusterSpec | None = Field(None, description="The Ray cluster. Kubernetes only.")
    checkpoint: Location | None = Field(
        None, description="Where finished work is recorded, for the next attempt. Kubernetes only."
    )
    dead_letters: Location | None = Field(
        None, description="Where batches go that were given up on. Kubernetes only."
    )
    artifacts: Location | None = Field(
        None, description="Where log, report and progress history of a run are kept."
    )
    suspend: bool = Field(
        False, description="Drain, stop and wait until it is false again. Kubernetes only."
    )
    backoff_limit: int = Field(
        2,
        ge=0,
        le=100,
        description="Attempts after the first, when the cluster was lost. Kubernetes only.",
    )
    retry_on: Annotated[list[RetryCause], Unrepeated] = Field(
        default_factory=list,
        max_length=len(get_args(RetryCause)),
        json_schema_extra=AS_SET,
        description="What else begins a new attempt, within `backoffLimit`: `StageFailed`, when a "
        "stage ended the run. Kubernetes only.",
    )
    active_deadline_seconds: Count | None = Field(
        None, ge=1, description="Most seconds of running, over all attempts. Kubernetes only."
    )
    ttl_seconds_after_finished: Count | None = Field(
        None, ge=0, description="Seconds until a finished pipeline is deleted. Kubernetes only."
    )

    @model_validator(mode="after")
    def _rules(self) -> PipelineSpec:
        raise_broken(pipeline_rules(self))
        return self


class CuratorPipeline(SpecModel):
    """A pipeline: what `curator run` runs."""

    api_version: Literal["curator.dev/v1alpha1"] = Field(description="Version of this format.")
    kind: Literal["CuratorPipeline"] = Field(description="Kind of the resource.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: PipelineSpec = Field(description="What to run and how.")
    status: PipelineStatus | None = Field(
        None, description="Written by the operator; ignored in a file."
    )
