"""The manifest, version v1alpha1: `CuratorPipeline` and its parts."""

from curator_api.v1alpha1.cluster import (
    Accelerator,
    ClusterSpec,
    EnvVar,
    ExistingCluster,
    HeadSpec,
    PodResources,
    SecretRef,
    Toleration,
    VolumeMount,
    WorkerGroup,
)
from curator_api.v1alpha1.metadata import Metadata
from curator_api.v1alpha1.resource import (
    API_VERSION,
    KIND,
    CuratorPipeline,
    ExecutionSpec,
    Location,
    PipelineSpec,
    RetryCause,
)
from curator_api.v1alpha1.stages import (
    BuilderSpec,
    StageOptions,
    StageResources,
    StageSpec,
    WorkerRange,
)
from curator_api.v1alpha1.status import PipelineStatus

__all__ = [
    "API_VERSION",
    "KIND",
    "Accelerator",
    "BuilderSpec",
    "ClusterSpec",
    "CuratorPipeline",
    "EnvVar",
    "ExecutionSpec",
    "ExistingCluster",
    "HeadSpec",
    "Location",
    "Metadata",
    "PipelineSpec",
    "PipelineStatus",
    "PodResources",
    "RetryCause",
    "SecretRef",
    "StageOptions",
    "StageResources",
    "StageSpec",
    "Toleration",
    "VolumeMount",
    "WorkerGroup",
    "WorkerRange",
]
