"""What plays KubeRay, the nodes and the Ray heads in a storm: light enough for a hundred clusters.

Used by `storm.py`. Each RayCluster gets a head pod that runs as soon as the Secret with its token
is there, and no workers. It talks to the API server itself, past the operator's proxy.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.benchmarks.operator.api import CORE, MERGE_PATCH, RAYCLUSTERS, Api, ApiFailed, Json
from tests.cluster.pod_status import Happening, restarted, running
from tests.cluster.ray_heads import Asked, Container, Fault, Head, RayHeads
from tests.cluster.storm_lives import Life

PIPELINE_LABEL = "curator.dev/pipeline"
ATTEMPT_LABEL = "curator.dev/attempt"
LOOK_EVERY_S = 0.1
AT_ONCE = 8
# The object is gone, or another one by now.
OVERTAKEN = {404, 409}
# Answers of heads that get lost after a submission took effect, by the life's number.
SPOILED_SUBMISSIONS = {3: Fault.REPLY_LOST, 5: Fault.ERROR, 7: Fault.LATE}
# Called before a submission is taken: cluster, submission id, whether the head knows it already.
Submitting = Callable[[str, str, bool], None]


class StormHeads(RayHeads):
    """Heads that tell of every submission before they take it."""

    def __init__(self, containers: dict[tuple[str, str], Container], tell: Submitting) -> None:
        super().__init__(lambda namespace, cluster: containers.get((namespace, cluster)))
        self._tell = tell

    def _submit(self, head: Head, request: web.Request, body: Any) -> web.Response:
        submission_id = body["submission_id"]
        self._tell(request.match_info["cluster"], submission_id, submission_id in head.jobs)
        return super()._submit(head, request, body)


class StormCluster:
    """Follows the RayClusters of a namespace, and does what KubeRay and kubelets would.

    Attributes:
        containers: of the heads that run, by namespace and cluster; the heads listen by it.
    """

    def __init__(self, api: Api, namespace: str, lives: dict[str, Life]) -> None:
        self._api = api
        self._namespace = namespace
        self._lives = lives
        self._there: set[str] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.containers: dict[tuple[str, str], Container] = {}
        self.heads: RayHeads | None = None

    async def follow(self) -> None:
        """Work until cancelled."""
        path = f"{RAYCLUSTERS}/namespaces/{self._namespace}/rayclusters"
        async with asyncio.TaskGroup() as group:
            async for kind, cluster in self._api.watch(path):
                name = cluster["metadata"]["name"]
                if kind == "ADDED":
                    self._there.add(name)
                    group.create_task(self._bring_up(cluster))
                elif kind == "DELETED":
                    self._there.discard(name)
                    group.create_task(self.delete_head(name))

    async def delete_head(self, cluster: str) -> None:
        """The head's pod goes, and with it the head."""
        self.containers.pop((self._namespace, cluster), None)
        try:
            await self._api.ask(
                "DELETE", f"{self._pods()}/{cluster}-head", {"gracePeriodSeconds": 0}
            )
        except ApiFailed as error:
            if error.code not in OVERTAKEN:
                raise

    async def restart_head(self, cluster: str) -> None:
        """The head's container ends, and another one runs in its pod."""
        before = self.containers[self._namespace, cluster]
        pod = await self._api.ask("GET", f"{self._pods()}/{cluster}-head")
        await self._tell(pod, restarted, cluster, before.token)

    async def _bring_up(self, cluster: Json) -> None:
        meta = cluster["metadata"]
        try:
            async with self._places:
                await self._make_head(cluster)
        except ApiFailed as error:
            # The cluster may be deleted at any moment.
            if error.code not in OVERTAKEN:
                raise
        if meta["name"] not in self._there:
            await self.delete_head(meta["name"])

    async def _make_head(self, cluster: Json) -> None:
        name, labels = cluster["metadata"]["name"], cluster["metadata"]["labels"]
        life = self._lives[labels[PIPELINE_LABEL]]
        attempt = int(labels[ATTEMPT_LABEL])
        token = await self._token(cluster)
        pod = await self._api.ask("POST", self._pods(), _head_pod(cluster))
        assert self.heads, "the heads were not handed over"
        head = self.heads.head(self._namespace, name)
        head.script = life.script(attempt)
        spoiled = SPOILED_SUBMISSIONS.get((life.number + attempt) % 10)
        if spoiled:
            head.fail_next(spoiled, Asked.SUBMIT)
        # Listening before it is ready, as a head does.
        await self._tell(pod, running, name, token)
        status = {"status": {"state": "ready"}}
        path = f"{RAYCLUSTERS}/namespaces/{self._namespace}/rayclusters/{name}/status"
        await self._api.ask("PATCH", path, status, MERGE_PATCH)

    async def _token(self, cluster: Json) -> str:
        """The token that the head's container gets: without its Secret a kubelet starts none."""
        secrets = f"{CORE}/namespaces/{self._namespace}/secrets"
        name = cluster["spec"]["authOptions"]["secretName"]
        while True:
            try:
                secret = await self._api.ask("GET", f"{secrets}/{name}")
            except ApiFailed as error:
                if error.code != 404 or cluster["metadata"]["name"] not in self._there:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return base64.b64decode(secret["data"]["auth_token"]).decode()

    async def _tell(self, pod: Json, happening: Happening, cluster: str, token: str) -> None:
        told = happening(pod, datetime.now(UTC))
        container = told["containerStatuses"][0]["containerID"]
        self.containers[self._namespace, cluster] = Container(container, token)
        path = f"{self._pods()}/{pod['metadata']['name']}/status"
        await self._api.ask("PATCH", path, {"status": told}, MERGE_PATCH)

    def _pods(self) -> str:
        return f"{CORE}/namespaces/{self._namespace}/pods"


def _head_pod(cluster: Json) -> Json:
    """The head pod as KubeRay labels it; of its containers the first alone, by name and image."""
    meta, template = cluster["metadata"], cluster["spec"]["headGroupSpec"]["template"]
    owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "controller": True}
    owner |= {"name": meta["name"], "uid": meta["uid"], "blockOwnerDeletion": True}
    ray = {
        "ray.io/cluster": meta["name"],
        "ray.io/node-type": "head",
        "ray.io/group": "headgroup",
    }
    container = template["spec"]["containers"][0]
    return {
        "metadata": {
            "name": f"{meta['name']}-head",
            "labels": {**(template["metadata"].get("labels") or {}), **ray},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": "stand-in",
            "automountServiceAccountToken": False,
            "containers": [{"name": container["name"], "image": container["image"]}],
        },
    }
