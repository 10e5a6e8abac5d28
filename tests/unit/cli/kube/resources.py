"""Pipelines as the API server gives them, and an API server that is made up."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from curator_executor.cli.kube.api import Api, ApiRefused, Object, Place, Resource

NOW = 1_700_000_000.0
BEGAN = "2023-11-14T22:12:20Z"  # a minute before
PLACE = Place("https://cluster.example", "team", "team-a")
SPEC: Object = {
    "stages": [{"name": "read", "class": "my_team.stages.Read"}],
    "cluster": {
        "workerGroups": [
            {"name": "cpu", "maxReplicas": 1, "resources": {"cpus": 1, "memory": "1Gi"}}
        ]
    },
}


def condition(
    kind: str, status: str, reason: str, message: str = "", generation: int = 1
) -> Object:
    """A condition of a status."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": BEGAN,
        "observedGeneration": generation,
    }


def stage(name: str, done: int = 0, **more: Any) -> Object:
    """A stage of a status."""
    return {
        "name": name,
        "workers": {"ready": 2, "starting": 0, "wanted": 3},
        "queued": 4,
        "running": 1,
        "done": done,
        "failed": 0,
        "dropped": 7,
        "itemsPerSecond": "2.50",
        "busyPercent": 90,
        **more,
    }


def running(done: int = 165, **more: Any) -> Object:
    """The status of a pipeline that runs."""
    return {
        "phase": "Running",
        "attempt": 1,
        "submissionId": "4f1c9a20-1",
        "rayCluster": "clean-web-4f1c9-1",
        "startTime": BEGAN,
        "message": "attempt 1 runs",
        "progress": {
            "inputsDone": done,
            "inputsTotal": 1000,
            "percent": done // 10,
            "inputsPerSecond": "2.50",
            "estimatedCompletionTime": "2023-11-14T22:18:50Z",  # in 330 s
            "bottleneck": {"stage": "embed", "reason": "busy 98 %"},
        },
        "stages": [stage("read", done), stage("embed", done // 2)],
        **more,
    }


def ended(phase: str, kind: str, reason: str, message: str = "the run is done") -> Object:
    """The status of a pipeline that has ended."""
    return running(
        1000,
        phase=phase,
        message=message,
        completionTime="2023-11-14T22:13:05Z",
        conditions=[
            condition("Finished", "True", reason, message),
            condition(kind, "True", reason, message),
        ],
    )


def resource(status: Object | None = None, name: str = "clean-web", **meta: Any) -> Object:
    """A pipeline."""
    obj: Object = {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "uid": "4f1c9a20-7e51-4d0b-9a55-0c9a3b1f2d77",
            "generation": 1,
            "resourceVersion": "7",
            **meta,
        },
        "spec": copy.deepcopy(SPEC),
    }
    if status is not None:
        obj["status"] = status
    return obj


def not_found(name: str) -> ApiRefused:
    """What the API server says of an object that is not there."""
    return ApiRefused(404, "NotFound", f'curatorpipelines.curator.dev "{name}" not found')


class MadeUpApi(Api):
    """An API server in memory, without a watch.

    Attributes:
        objects: by plural and name.
        asked: (method, plural, name) of what changes something; a trial has `?` behind it.
        refuses: what to raise, by method and plural.
        log: lines of every container.
    """

    def __init__(self, *pipelines: Object) -> None:
        self.place = PLACE
        self.objects: dict[tuple[str, str], Object] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.refuses: dict[tuple[str, str], ApiRefused] = {}
        self.log: list[bytes] = []
        self.streams: list[tuple[str, Mapping[str, str]]] = []
        for one in pipelines:
            self.objects["curatorpipelines", one["metadata"]["name"]] = one

    def put(self, plural: str, obj: Object) -> None:
        """Have an object there."""
        self.objects[plural, obj["metadata"]["name"]] = obj

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """An object."""
        found = self.objects.get((resource[1], name))
        if found is None:
            raise not_found(name)
        return copy.deepcopy(found)

    def list_all(self, resource: Resource, namespace: str | None, **query: str) -> Object:
        """All objects of a kind; of the selectors only a name is heeded."""
        wanted = query.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [
            obj
            for (plural, name), obj in self.objects.items()
            if plural == resource[1] and wanted in ("", name)
        ]
        return {"items": copy.deepcopy(items), "metadata": {"resourceVersion": "9"}}

    def create(
        self, resource: Resource, namespace: str, body: Object, dry_run: bool = False
    ) -> Object:
        """Make an object."""
        plural, name = resource[1], str(body["metadata"]["name"])
        self.asked.append(("POST", plural, f"{name}?" if dry_run else name))
        refused = self.refuses.get(("POST?" if dry_run else "POST", plural))
        if refused is not None:
            raise refused
        if (plural, name) in self.objects:
            raise ApiRefused(409, "AlreadyExists", f'"{name}" already exists')
        made = copy.deepcopy(body)
        made["metadata"] |= {"namespace": namespace, "uid": f"uid-of-{name}"}
        if not dry_run:
            self.objects[plural, name] = made
        return made

    def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> Object:
        """Delete an object."""
        self.asked.append(("DELETE", resource[1], name))
        del self.objects[resource[1], name]
        return {}

    def lines(self, path: str, query: Mapping[str, str], silent_s: float) -> Iterator[bytes]:
        """The log of a container."""
        self.streams.append((path, dict(query)))
        yield from self.log
