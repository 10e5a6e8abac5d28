"""Pipelines whose children are made on the API server, so that KubeRay makes pods of them.

Used by `test_kuberay_*`. The namespace enforces Pod Security's `restricted` profile: a pod that
does not keep to it is refused when KubeRay makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired import (
    config_map,
    raycluster,
    token,
    token_secret,
    with_token,
)
from curator_operator.reconcile.observed import PipelineSeen
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import emptied, made
from tests.cluster.processes import eventually
from tests.unit.operator.desired.scenarios import SETTINGS, spec_of

Json = dict[str, Any]
PIPELINES = ("curator.dev", "v1alpha1")
RAYCLUSTERS = ("ray.io", "v1")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True)
class MadePipeline:
    """A pipeline and its first attempt on the API server.

    Attributes:
        name: of its RayCluster.
        spec: what it was made of.
    """

    api: client.ApiClient
    pipeline: PipelineSeen
    spec: PipelineSpec

    @property
    def namespace(self) -> str:
        return self.pipeline.namespace

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def body(self) -> Json:
        """The RayCluster as it was asked for."""
        return raycluster(self.pipeline, self.spec, 1, SETTINGS)

    def cluster(self) -> Json:
        """The RayCluster as it is now."""
        custom = client.CustomObjectsApi(self.api)
        found: Any = custom.get_namespaced_custom_object(
            *RAYCLUSTERS, self.namespace, "rayclusters", self.name
        )
        return dict(found)

    def patch(self, operations: list[Json]) -> Json:
        """The RayCluster after a JSON patch."""
        custom = client.CustomObjectsApi(self.api)
        changed: Any = custom.patch_namespaced_custom_object(
            *RAYCLUSTERS,
            self.namespace,
            "rayclusters",
            self.name,
            operations,
            _content_type="application/json-patch+json",
        )
        return dict(changed)

    def pods(self, group: str | None = None) -> list[Json]:
        """Its pods, found as the operator finds them; of one group (`headgroup`: the head)."""
        selector = "app.kubernetes.io/managed-by=curator-operator,curator.dev/pipeline=clean-web"
        if group is not None:
            selector += f",ray.io/group={group}"
        core = client.CoreV1Api(self.api)
        found = core.list_namespaced_pod(self.namespace, label_selector=selector)
        plain: list[Json] = self.api.sanitize_for_serialization(found.items)
        return plain

    def wait_for_pods(self, group: str, count: int) -> list[Json]:
        """The pods of a group, once KubeRay has made so many; what it says if it does not."""

        def enough() -> list[Json] | None:
            found = self.pods(group)
            assert len(found) == count, self.events()
            return found or [{}]

        return eventually(enough, f"{count} pods of group {group} of {self.name}")

    def events(self) -> list[str]:
        """What was said of its objects, such as why a pod was refused."""
        core = client.CoreV1Api(self.api)
        found = core.list_namespaced_event(self.namespace).items
        return [f"{one.reason}: {one.message}" for one in found]


@contextmanager
def restricted_namespace(control_plane: ControlPlane, title: str) -> Iterator[str]:
    """A namespace that admits restricted pods only."""
    core = client.CoreV1Api(control_plane.api)
    name = made(core, title)
    core.patch_namespace(name, {"metadata": {"labels": RESTRICTED}})
    yield name
    emptied(control_plane.api, name)


def pipeline_in(control_plane: ControlPlane, namespace: str, text: str) -> MadePipeline:
    """The pipeline `clean-web` with a spec, itself on the API server, without children yet."""
    body = {
        "apiVersion": "/".join(PIPELINES),
        "kind": "CuratorPipeline",
        "metadata": {"name": "clean-web"},
        "spec": yaml.safe_load(text),
    }
    custom = client.CustomObjectsApi(control_plane.api)
    there: Any = custom.create_namespaced_custom_object(
        *PIPELINES, namespace, "curatorpipelines", body, field_validation="Strict"
    )
    seen = PipelineSeen(
        namespace=namespace,
        name="clean-web",
        uid=there["metadata"]["uid"],
        generation=1,
        resource_version=there["metadata"]["resourceVersion"],
        created_at=0.0,
        spec=there["spec"],
    )
    return MadePipeline(control_plane.api, seen, spec_of(text))


def make_children(this: MadePipeline) -> None:
    """Secret, ConfigMap and RayCluster of the first attempt; a field too many is an error."""
    core = client.CoreV1Api(this.api)
    value = token(SETTINGS.token_key, this.pipeline.uid, 1)
    secret: Any = with_token(token_secret(this.pipeline, 1), value)
    manifest: Any = config_map(this.pipeline, this.spec, 1)
    core.create_namespaced_secret(this.namespace, secret, field_validation="Strict")
    core.create_namespaced_config_map(this.namespace, manifest, field_validation="Strict")
    client.CustomObjectsApi(this.api).create_namespaced_custom_object(
        *RAYCLUSTERS, this.namespace, "rayclusters", this.body, field_validation="Strict"
    )


def allow_templates(control_plane: ControlPlane, namespace: str) -> None:
    """What the scenario `templates` names: a service account and a priority class."""
    core = client.CoreV1Api(control_plane.api)
    account: Any = {"metadata": {"name": "curator-jobs"}}
    core.create_namespaced_service_account(namespace, account)
    batch: Any = {"metadata": {"name": "batch"}, "value": 1}
    try:
        client.SchedulingV1Api(control_plane.api).create_priority_class(batch)
    except ApiException as error:
        if error.status != 409:
            raise
