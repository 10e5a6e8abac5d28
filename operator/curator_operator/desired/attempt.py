"""`Attempt`: one try of one pipeline, with the names and labels of all its children.

Made by the public functions of this package from what they are given; read by the modules that
build pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from curator_api.errors import Problem
from curator_api.v1alpha1 import ClusterSpec, PipelineSpec
from curator_operator.desired import labels, names
from curator_operator.desired.errors import DesiredError


class PipelineIdentity(Protocol):
    """What children take from a pipeline besides its spec; `PipelineSeen` has it."""

    @property
    def namespace(self) -> str:
        """Its namespace, and that of its children."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def uid(self) -> str:
        """Its uid, part of every child's name."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels; Kueue's are copied."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations; Kueue's are copied."""


@dataclass(frozen=True)
class Attempt:
    """One try of a pipeline.

    Attributes:
        number: from 1.
    """

    pipeline: PipelineIdentity
    number: int

    @property
    def cluster(self) -> str:
        """Name of its RayCluster."""
        return names.cluster_name(self.pipeline.name, self.pipeline.uid, self.number)

    @property
    def config_map(self) -> str:
        """Name of its ConfigMap."""
        return names.config_map_name(self.pipeline.name, self.pipeline.uid, self.number)

    @property
    def token_secret(self) -> str:
        """Name of its Secret."""
        return names.token_secret_name(self.pipeline.name, self.pipeline.uid, self.number)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all its children and their pods."""
        return labels.child_labels(self.pipeline.name, self.number)

    def metadata(self, name: str) -> dict[str, Any]:
        """Metadata of a child: name, labels, and the pipeline as its owner."""
        return {
            "name": name,
            "namespace": self.pipeline.namespace,
            "labels": self.labels,
            "ownerReferences": [labels.owner_reference(self.pipeline.name, self.pipeline.uid)],
        }


def own_cluster(spec: PipelineSpec) -> ClusterSpec:
    """The cluster that the spec wants to be made.

    Raises:
        DesiredError: it names none, or an existing one.
    """
    if spec.cluster is None:
        raise DesiredError(
            [
                Problem(
                    "spec.cluster",
                    "is missing: on Kubernetes a pipeline says which pods it runs on",
                    "Give workerGroups, or existing with the name of a RayCluster",
                )
            ]
        )
    if spec.cluster.existing is not None:
        raise DesiredError(
            [Problem("spec.cluster.existing", "an existing cluster is used, never made")]
        )
    return spec.cluster
