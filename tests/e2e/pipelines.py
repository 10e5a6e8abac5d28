"""CuratorPipelines of the stories: small pods, the stories' own stages, a volume at `/data`."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

CODE_CONFIG_MAP = "story-code"
CODE_FOLDER = "/opt/story"
DATA_FOLDER = "/data"
DATA_CLAIM = "data"
# The nodes share two cores: pods may use more than they ask the scheduler for.
_REQUESTS = {"cpu": "250m", "memory": "512Mi"}


def stage(name: str, kind: str, args: dict[str, Any] | None = None, **fields: Any) -> Resource:
    """A stage of `story_stages`."""
    what = {"name": name, "class": f"story_stages.{kind}", "args": args or {}}
    return {**what, "resources": {"cpus": 0.25}, **fields}


def numbers(
    shards: int, each: int, seconds: float, folder: str = "out", **work: Any
) -> list[Resource]:
    """Shards, split into numbers, worked on, and saved under `/data`.

    Args:
        shards: inputs.
        each: numbers of a shard.
        seconds: that each number takes.
        folder: below `/data`.
        work: fields of the stage that works.
    """
    return [
        stage("shards", "Shards", {"count": shards}),
        stage("split", "Split", {"each": each}),
        stage("work", "Work", {"seconds": seconds}, **work),
        stage("save", "Save", {"folder": f"{DATA_FOLDER}/{folder}"}),
    ]


def group(name: str, **fields: Any) -> Resource:
    """A worker group of one pod."""
    return {
        "name": name,
        "minReplicas": 1,
        "maxReplicas": 1,
        "resources": {"cpus": 1, "memory": "2Gi"},
        **fields,
    }


def gpu_group(name: str, product: str, gpus: int, **fields: Any) -> Resource:
    """A worker group on nodes with such a GPU."""
    return group(
        name,
        accelerator={"resourceName": "nvidia.com/gpu", "count": gpus, "type": product},
        nodeSelector={"nvidia.com/gpu.product": product},
        **fields,
    )


def pipeline(
    name: str, stages: list[Resource], *groups: Resource, image: str, **spec: Any
) -> Resource:
    """A pipeline on a cluster of its own; `spec` is laid over the rest."""
    cluster: Resource = {
        "head": {"resources": {"cpus": 1, "memory": "2Gi"}},
        "workerGroups": list(groups) or [group("cpu")],
        "env": [{"name": "PYTHONPATH", "value": CODE_FOLDER}],
        "volumes": [
            {"name": "code", "configMap": {"name": CODE_CONFIG_MAP}},
            {"name": "data", "persistentVolumeClaim": {"claimName": DATA_CLAIM}},
        ],
        "volumeMounts": [
            {"name": "code", "mountPath": CODE_FOLDER, "readOnly": True},
            {"name": "data", "mountPath": DATA_FOLDER},
        ],
        "podTemplate": {
            "spec": {"containers": [{"name": "ray", "resources": {"requests": _REQUESTS}}]}
        },
    }
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": name},
        "spec": {
            "image": image,
            "stages": stages,
            "execution": {"autoscaleIntervalSeconds": 10, "loggingIntervalSeconds": 5},
            "cluster": cluster,
            **spec,
        },
    }
