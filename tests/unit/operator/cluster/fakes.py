"""An API server and Ray heads that answer from a script, and objects to put into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import ApiRefused, KubeApi
from curator_operator.cluster.http import Endpoint, HeadError, Heads
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.desired.labels import FINALIZER, child_labels, owner_reference
from curator_operator.settings import OperatorSettings

KEY = PipelineKey("team-a", "clean")
UID = "4f1c9a20-1111-4222-8333-444444444444"
CLUSTER = "clean-4f1c9-1"
SUBMISSION = "4f1c9a20-1"
SETTINGS = OperatorSettings(token_key="k" * 32)
NOW = 1_800_000_000.0

PIPELINE_PATH = "/apis/curator.dev/v1alpha1/namespaces/team-a/curatorpipelines/clean"
CLUSTERS_PATH = "/apis/ray.io/v1/namespaces/team-a/rayclusters"
CLUSTER_PATH = f"{CLUSTERS_PATH}/{CLUSTER}"


class ScriptedApi(KubeApi):
    """Answers each (method, path) with what the script says, and remembers what was asked."""

    def __init__(self, answers: Mapping[tuple[str, str], Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, str, Any]] = []

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        self.asked.append((method, path, body))
        answer = self.answers.get((method, path), refused(404, "NotFound"))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def asked_for(self) -> list[tuple[str, str]]:
        """Methods and paths, in order."""
        return [(method, path) for method, path, _ in self.asked]


class ScriptedHeads(Heads):
    """Answers each (method, path) with bytes or an error; the token is remembered."""

    def __init__(self, answers: Mapping[tuple[str, str], Any] | None = None) -> None:
        self.answers = answers if answers is not None else {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.sent: list[Any] = []

    async def ask(
        self,
        method: str,
        at: Endpoint,
        path: str,
        *,
        body: Any = None,
        most_bytes: int = 0,
        patience: float = 1.0,
    ) -> bytes:
        self.asked.append((method, at.url + path))
        self.tokens.append(at.token)
        self.sent.append(body)
        answer = self.answers[method, path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, HeadError):
            raise answer
        assert isinstance(answer, bytes)
        return answer


def refused(code: int, reason: str, message: str = "no") -> ApiRefused:
    return ApiRefused(code, reason, message)


def pipeline(
    version: int = 10,
    *,
    uid: str = UID,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    finalizers: tuple[str, ...] = (FINALIZER,),
    **meta: Any,
) -> dict[str, Any]:
    """A CuratorPipeline as the API server gives it."""
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {
            "namespace": KEY.namespace,
            "name": KEY.name,
            "uid": uid,
            "generation": 1,
            "resourceVersion": str(version),
            "creationTimestamp": "2027-01-15T08:00:00Z",
            "finalizers": list(finalizers),
            "managedFields": [{"manager": "kubectl"}],
            **meta,
        },
        "spec": {"stages": [], "cluster": {"workerGroups": []}} if spec is None else dict(spec),
        **({} if status is None else {"status": dict(status)}),
    }


RUNNING = {"phase": "Running", "attempt": 1, "rayCluster": CLUSTER, "submissionId": SUBMISSION}
EXISTING = {
    "stages": [],
    "cluster": {"existing": {"name": "shared", "authSecretRef": {"name": "shared-token"}}},
}


def ray_cluster(version: int = 20, *, owner: str = UID, **meta: Any) -> dict[str, Any]:
    """A RayCluster of ours as the API server gives it."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "namespace": KEY.namespace,
            "name": CLUSTER,
            "uid": "cluster-uid",
            "resourceVersion": str(version),
            "labels": child_labels(KEY.name, 1),
            "ownerReferences": [owner_reference(KEY.name, owner)] if owner else [],
            **meta,
        },
        "spec": {"headGroupSpec": {"template": {"spec": {"containers": [{"image": "x" * 999}]}}}},
    }


def head_pod(version: int = 30, *, container: str = "containerd://one") -> dict[str, Any]:
    """The head pod of our RayCluster, running."""
    return {
        "metadata": {
            "namespace": KEY.namespace,
            "name": f"{CLUSTER}-head",
            "uid": "pod-uid",
            "resourceVersion": str(version),
            "labels": {
                **child_labels(KEY.name, 1),
                "ray.io/cluster": CLUSTER,
                "ray.io/group": "headgroup",
                "ray.io/node-type": "head",
            },
        },
        "spec": {"containers": [{"name": "ray-head"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "autoscaler",
                    "containerID": "containerd://auto",
                    "state": {"running": {}},
                },
                {"name": "ray-head", "containerID": container, "state": {"running": {}}},
            ],
        },
    }


def cache_with(*, status: Mapping[str, Any] | None = None, **given: Any) -> Cache:
    """A cache that holds our pipeline."""
    cache = Cache()
    cache.put_pipeline(pipeline(status=status, **given))
    return cache
