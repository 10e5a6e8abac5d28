"""`ClusterSpec`: the Ray cluster that the operator makes for a pipeline, or an existing one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from curator_api.base import SpecModel
from curator_api.quantities import MemoryQuantity, parse_bytes
from curator_api.v1alpha1.names import (
    BY_NAME,
    MOST_LISTED,
    MOST_WORKER_GROUPS,
    MOUNT_PATTERN,
    VERSION_PATTERN,
    Count,
    FreeForm,
    LabelName,
)
from curator_api.v1alpha1.rules import (
    cluster_rules,
    cpus_as_number,
    raise_broken,
    replica_rules,
)
from curator_api.v1alpha1.volumes import Volume


class SecretRef(SpecModel):
    """A Secret in the pipeline's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the Secret.")


class ExistingCluster(SpecModel):
    """A RayCluster that is used, but never created, changed or deleted."""

    name: LabelName = Field(description="Name of the RayCluster, in the pipeline's namespace.")
    auth_secret_ref: SecretRef | None = Field(
        None, description="Secret whose key `auth_token` opens the cluster."
    )


class PodResources(SpecModel):
    """Requests and limits of the Ray container of a pod."""

    cpus: float = Field(gt=0, allow_inf_nan=False, description="CPU cores.")
    memory: MemoryQuantity = Field(description="Memory, as a quantity (`32Gi`).")

    _cpus = field_validator("cpus", mode="before")(cpus_as_number)

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return parse_bytes(self.memory)


class HeadSpec(SpecModel):
    """The head pod: it runs the driver and no stages."""

    resources: PodResources | None = Field(
        None, description="Its resources; the operator's defaults if left out."
    )


class Accelerator(SpecModel):
    """The GPUs of a worker pod."""

    resource_name: str = Field(
        "nvidia.com/gpu",
        min_length=1,
        max_length=253,
        description="Extended resource that the pod asks for.",
    )
    count: int = Field(1, ge=1, le=64, description="GPUs in each pod.")
    type: str | None = Field(
        None, min_length=1, max_length=63, description="Type, as Ray names it: `H100`."
    )
    memory: MemoryQuantity | None = Field(
        None, description="Memory of each GPU (`80Gi`); `gpuMemory` of a stage is judged by it."
    )

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else parse_bytes(self.memory)


class Toleration(SpecModel):
    """A taint that the pods tolerate, as in a pod's own `tolerations`."""

    key: str | None = Field(None, max_length=316, description="Key of the taint; none: every.")
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="`Exists`, or `Equal` (Kubernetes' default)."
    )
    value: str | None = Field(None, max_length=63, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; none: every."
    )
    toleration_seconds: Count | None = Field(
        None, description="How long `NoExecute` is tolerated; none: for ever."
    )


class WorkerGroup(SpecModel):
    """Worker pods of one kind."""

    name: LabelName = Field(description="Unique in the cluster; stages name it.")
    min_replicas: Count = Field(0, ge=0, description="Fewest pods.")
    max_replicas: Count = Field(
        ge=1, description="Most pods. Equal to `minReplicas`: fixed; else Ray's autoscaler decides."
    )
    resources: PodResources = Field(description="Resources of each pod.")
    accelerator: Accelerator | None = Field(None, description="GPUs of each pod.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, max_length=MOST_LISTED, description="Labels that a node must have."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=MOST_LISTED, description="Taints that are tolerated."
    )
    pod_template: FreeForm = Field(
        default_factory=dict,
        description="Merged into the pods of this group, containers by name.",
    )

    @model_validator(mode="after")
    def _rules(self) -> WorkerGroup:
        raise_broken(replica_rules(self))
        return self


class EnvVar(SpecModel):
    """An environment variable of every Ray container."""

    name: str = Field(min_length=1, max_length=256, description="Name of the variable.")
    value: str | None = Field(None, description="Its value.")
    value_from: FreeForm | None = Field(
        None, description="Where its value is, as in a container: `secretKeyRef`, …"
    )


class VolumeMount(SpecModel):
    """Where a volume appears in every Ray container."""

    name: str = Field(min_length=1, max_length=63, description="Name of the volume.")
    mount_path: str = Field(pattern=MOUNT_PATTERN, max_length=512, description="Path inside.")
    sub_path: str | None = Field(None, max_length=512, description="Path within the volume.")
    read_only: bool = Field(False, description="Mounted read-only.")


class ClusterSpec(SpecModel):
    """The Ray cluster: either made for the pipeline, or `existing`."""

    existing: ExistingCluster | None = Field(
        None, description="A RayCluster to use. Nothing else is given with it."
    )
    ray_version: str | None = Field(
        None,
        pattern=VERSION_PATTERN,
        max_length=32,
        description="Ray in the image, such as `2.60.0`; the operator's own if left out.",
    )
    head: HeadSpec | None = Field(None, description="The head pod.")
    worker_groups: list[WorkerGroup] = Field(
        default_factory=list,
        max_length=MOST_WORKER_GROUPS,
        json_schema_extra=BY_NAME,
        description="Kinds of worker pods, at least one unless `existing`.",
    )
    env: list[EnvVar] = Field(
        default_factory=list, max_length=MOST_LISTED, description="Environment of all pods."
    )
    env_from: list[FreeForm] = Field(
        default_factory=list,
        max_length=MOST_LISTED,
        description="ConfigMaps and Secrets as environment, as in a container.",
    )
    volumes: list[Volume] = Field(
        default_factory=list,
        max_length=MOST_LISTED,
        json_schema_extra=BY_NAME,
        description="Volumes of all pods, as in a pod.",
    )
    volume_mounts: list[VolumeMount] = Field(
        default_factory=list, max_length=MOST_LISTED, description="Where the volumes appear."
    )
    image_pull_secrets: list[SecretRef] = Field(
        default_factory=list, max_length=MOST_LISTED, description="Secrets to pull the image with."
    )
    service_account_name: LabelName | None = Field(
        None, description="Service account of all pods, from the operator's list of allowed ones."
    )
    pod_template: FreeForm = Field(
        default_factory=dict, description="Merged into all pods, containers by name."
    )
    keep_after_finish: bool = Field(
        False, description="Leave the cluster standing when the pipeline ends."
    )

    @model_validator(mode="after")
    def _rules(self) -> ClusterSpec:
        raise_broken(cluster_rules(self))
        return self
