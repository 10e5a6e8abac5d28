"""A process that plays KubeRay, nodes and Ray heads for a benchmark of the operator.

`python -m tests.benchmarks.operator.stand_in KUBECONFIG DIRECTORY`, started by `run`. Each
RayCluster gets its head pod and its workers with the labels that KubeRay gives them, as soon as the
Secret with its token is there; pods are bound, start and become ready at once, or find no node;
deleted ones end. The heads are those of `tests.cluster.ray_heads`. Every snapshot that a driver
served goes to DIRECTORY/served.jsonl, the address of the heads to DIRECTORY/heads.url.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

from tests.benchmarks.operator.api import (
    CORE,
    MERGE_PATCH,
    RAYCLUSTERS,
    Api,
    ApiFailed,
    Json,
    until_cancelled,
)
from tests.benchmarks.operator.load import kind_of, script_of
from tests.cluster.pod_status import Happening, running, starting, unschedulable
from tests.cluster.ray_heads import Container, Head, RayHeads

NODE = "stand-in"
LABEL = "curator.dev/pipeline"
AT_ONCE = 16
SECRET_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1
# The object is gone, or another one by now.
OVERTAKEN = {404, 409}


class RecordedHeads(RayHeads):
    """Heads that note what their drivers told: cluster, time and counts of each snapshot."""

    def __init__(self, containers: dict[tuple[str, str], Container], out: TextIO) -> None:
        super().__init__(lambda namespace, cluster: containers.get((namespace, cluster)))
        self._out = out

    def _progress(self, head: Head, request: web.Request, body: Any) -> web.Response:
        response = super()._progress(head, request, body)
        if response.text:
            told = json.loads(response.text)
            counts = [told["inputsDone"], *(one["done"] for one in told["stages"])]
            line = {"cluster": request.match_info["cluster"], "t": told["time"], "n": counts}
            self._out.write(json.dumps(line) + "\n")
        return response


class StandIn:
    """Follows RayClusters and pods, and does what KubeRay and kubelets would."""

    def __init__(
        self, api: Api, heads: RayHeads, containers: dict[tuple[str, str], Container]
    ) -> None:
        self._api = api
        self._heads = heads
        self._containers = containers
        self._places = asyncio.Semaphore(AT_ONCE)

    async def follow(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clusters(group))
            group.create_task(self._pods(group))

    async def _clusters(self, group: asyncio.TaskGroup) -> None:
        async for kind, cluster in self._api.watch(f"{RAYCLUSTERS}/rayclusters"):
            if kind == "ADDED":
                group.create_task(self._bring_up(cluster))
            elif kind == "DELETED":
                self._containers.pop(_key(cluster), None)

    async def _pods(self, group: asyncio.TaskGroup) -> None:
        query = {"labelSelector": "ray.io/cluster"}
        async for kind, pod in self._api.watch(f"{CORE}/pods", query):
            if kind == "MODIFIED" and pod["metadata"].get("deletionTimestamp"):
                group.create_task(self._end(pod))

    async def _bring_up(self, cluster: Json) -> None:
        async with self._places:
            try:
                await self._make_pods(cluster)
            except ApiFailed as error:
                # The cluster may be deleted at any moment.
                if error.code not in OVERTAKEN:
                    raise

    async def _make_pods(self, cluster: Json) -> None:
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        pipeline = cluster["metadata"]["labels"][LABEL]
        token = await self._token(cluster)
        head = await self._make(cluster, f"{name}-head", "head", "headgroup", spec["headGroupSpec"])
        if kind_of(pipeline) == "waiting":
            await self._tell(head, unschedulable)
            return
        self._heads.head(*_key(cluster)).script = script_of(pipeline)
        head = await self._run(head)
        container = head["status"]["containerStatuses"][0]["containerID"]
        self._containers[_key(cluster)] = Container(container, token)
        for group in spec.get("workerGroupSpecs", []):
            for number in range(group["replicas"]):
                title = f"{name}-{group['groupName']}-{number}"
                worker = await self._make(cluster, title, "worker", group["groupName"], group)
                await self._run(worker)
        await self._api.ask(
            "PATCH",
            f"{_path(RAYCLUSTERS, 'rayclusters', cluster)}/status",
            {"status": {"state": "ready"}},
            MERGE_PATCH,
        )

    async def _token(self, cluster: Json) -> str:
        """The token that the head's container gets: without its Secret a kubelet starts none."""
        namespace = cluster["metadata"]["namespace"]
        name = cluster["spec"]["authOptions"]["secretName"]
        deadline = time.monotonic() + SECRET_WITHIN_S
        while True:
            try:
                secret = await self._api.ask("GET", f"{CORE}/namespaces/{namespace}/secrets/{name}")
            except ApiFailed as error:
                if error.code != 404 or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return base64.b64decode(secret["data"]["auth_token"]).decode()

    async def _make(
        self, cluster: Json, name: str, node_type: str, group: str, described: Json
    ) -> Json:
        """A pod as KubeRay makes it of a group's template."""
        template, meta = described["template"], cluster["metadata"]
        ray = {
            "ray.io/cluster": meta["name"],
            "ray.io/node-type": node_type,
            "ray.io/group": group,
            "ray.io/is-ray-node": "yes",
        }
        owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "controller": True}
        owner |= {"name": meta["name"], "uid": meta["uid"], "blockOwnerDeletion": True}
        body = {
            "metadata": {
                "name": name,
                "labels": {**(template["metadata"].get("labels") or {}), **ray},
                "annotations": template["metadata"].get("annotations") or {},
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
        }
        return await self._api.ask("POST", f"{CORE}/namespaces/{meta['namespace']}/pods", body)

    async def _run(self, pod: Json) -> Json:
        """Bound, starting, running: three changes, as the operator's watch would see them."""
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
        await self._api.ask("POST", f"{_path(CORE, 'pods', pod)}/binding", binding)
        await self._tell(pod, starting)
        return await self._tell(pod, running)

    async def _tell(self, pod: Json, happening: Happening) -> Json:
        status = {"status": happening(pod, datetime.now(UTC))}
        return await self._api.ask(
            "PATCH", f"{_path(CORE, 'pods', pod)}/status", status, MERGE_PATCH
        )

    async def _end(self, pod: Json) -> None:
        labels = pod["metadata"]["labels"]
        if labels["ray.io/node-type"] == "head":
            self._containers.pop((pod["metadata"]["namespace"], labels["ray.io/cluster"]), None)
        try:
            await self._api.ask("DELETE", _path(CORE, "pods", pod), {"gracePeriodSeconds": 0})
        except ApiFailed as error:
            if error.code not in OVERTAKEN:
                raise


def _key(cluster: Json) -> tuple[str, str]:
    return cluster["metadata"]["namespace"], cluster["metadata"]["name"]


def _path(group: str, plural: str, obj: Json) -> str:
    meta = obj["metadata"]
    return f"{group}/namespaces/{meta['namespace']}/{plural}/{meta['name']}"


async def play(kubeconfig: Path, directory: Path) -> None:
    """Play until SIGTERM; then note how often each job was accepted."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    containers: dict[tuple[str, str], Container] = {}
    with (
        (directory / "served.jsonl").open("w", buffering=1) as out,
        RecordedHeads(containers, out) as heads,
    ):
        (directory / "heads.url").write_text(heads.url_template)
        async with Api(kubeconfig) as api:
            playing = asyncio.create_task(until_cancelled(StandIn(api, heads, containers).follow()))
            waiting = asyncio.create_task(ended.wait())
            await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        accepted = {
            submission: count
            for head in heads.heads().values()
            for submission, count in head.accepted.items()
        }
    (directory / "accepted.json").write_text(json.dumps(accepted))


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), Path(sys.argv[2])))
