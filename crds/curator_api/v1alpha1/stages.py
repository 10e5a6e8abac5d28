"""`StageSpec` and what belongs to it: which class, with which arguments, on how many workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from curator_api.base import SpecModel
from curator_api.quantities import MemoryQuantity, parse_bytes
from curator_api.v1alpha1.names import (
    AS_SET,
    MOST_GPUS,
    MOST_PARTS,
    MOST_WORKER_GROUPS,
    Count,
    DottedName,
    FreeForm,
    LabelName,
    StageName,
    Unrepeated,
)
from curator_api.v1alpha1.rules import (
    args_rules,
    cpus_as_number,
    gpu_rules,
    raise_broken,
    worker_range_rules,
)


class StageResources(SpecModel):
    """What one worker of a stage needs. What is left out stays as the stage's class says."""

    cpus: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="CPU cores; may be a fraction, or 0."
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=MOST_GPUS,
        allow_inf_nan=False,
        description="GPUs: below 1 a share of one device, else a whole number.",
    )
    gpu_memory: MemoryQuantity | None = Field(
        None,
        description="GPU memory on a single device, as a quantity (`10Gi`). Instead of `gpus`.",
    )
    memory: MemoryQuantity | None = Field(None, description="Main memory, as a quantity (`4Gi`).")

    _cpus = field_validator("cpus", mode="before")(cpus_as_number)

    @model_validator(mode="after")
    def _rules(self) -> StageResources:
        raise_broken(gpu_rules(self))
        return self

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else parse_bytes(self.memory)

    @property
    def gpu_memory_bytes(self) -> int | None:
        """`gpuMemory` in bytes."""
        return None if self.gpu_memory is None else parse_bytes(self.gpu_memory)


class WorkerRange(SpecModel):
    """How many workers a stage has."""

    min: Count | None = Field(None, ge=0, description="At least this many, while there is work.")
    max: Count | None = Field(None, ge=1, description="At most this many.")
    count: Count | None = Field(
        None, ge=1, description="Exactly this many, never scaled. Instead of `min` and `max`."
    )

    @model_validator(mode="after")
    def _rules(self) -> WorkerRange:
        raise_broken(worker_range_rules(self))
        return self


class StageIdentity(SpecModel):
    """Which class a stage is, and under which name."""

    name: StageName = Field(description="Unique in the pipeline; progress is shown under it.")
    class_: DottedName = Field(
        alias="class",
        description="Where the class is: `package.module.Class`. A function that "
        "`@processing_stage` made a stage of may stand there too.",
    )
    args: FreeForm = Field(
        default_factory=dict,
        description="Keyword arguments of the constructor, passed on as they are, in Python's "
        "names; `{fromEnv: NAME}` anywhere in them is the value of an environment variable.",
    )


class StageOptions(SpecModel):
    """How a stage, or a part of one, runs. What is left out stays as its class says."""

    resources: StageResources | None = Field(None, description="What one worker needs.")
    worker_groups: Annotated[list[LabelName], Unrepeated] = Field(
        default_factory=list,
        max_length=MOST_WORKER_GROUPS,
        json_schema_extra=AS_SET,
        description="Names of the worker groups it may run in; empty: wherever it fits.",
    )
    batch_size: Count | None = Field(None, ge=1, description="Tasks in one call of the stage.")
    workers: WorkerRange | None = Field(None, description="How many workers.")
    retries: int | None = Field(
        None, ge=0, le=100, description="How often a failed batch is tried again."
    )
    timeout_seconds: Count | None = Field(
        None, ge=1, description="Most seconds that one batch may take."
    )
    runtime_env: FreeForm | None = Field(
        None,
        description="Ray runtime environment of its workers (`pip`, `env_vars`, …), passed on "
        "as it is.",
    )


class StageSpec(StageOptions, StageIdentity):
    """One stage: a class, the arguments of its constructor, and how it runs."""

    parts: dict[str, StageOptions] = Field(
        default_factory=dict,
        max_length=MOST_PARTS,
        description="For a stage made of several: how each part runs, by the part's name.",
    )

    @model_validator(mode="after")
    def _rules(self) -> StageSpec:
        raise_broken(args_rules(self.args))
        return self


class BuilderSpec(SpecModel):
    """A function that builds the stages, instead of `stages`."""

    callable: DottedName = Field(
        description="Where the function is: `package.module:function`. It returns a `Pipeline` "
        "or a list of stages."
    )
    args: FreeForm = Field(
        default_factory=dict,
        description="Keyword arguments of the function; `{fromEnv: NAME}` as in a stage.",
    )

    @model_validator(mode="after")
    def _rules(self) -> BuilderSpec:
        raise_broken(args_rules(self.args))
        return self
