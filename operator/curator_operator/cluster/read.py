"""`Reader`: what is known of a pipeline, as `Observed`.

Called at the beginning of each look at a pipeline. Almost always the cache answers; asked for
itself is only what no watch tells: the RayCluster of `spec.cluster.existing`, and a RayCluster that
stands under the name of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from curator_api.v1alpha1.status import ENDED
from curator_operator.cluster.cache import Cache, Entry
from curator_operator.cluster.client import CONFIG_MAPS, PODS, RAYCLUSTERS, ApiRefused, KubeApi
from curator_operator.cluster.reduce import (
    CLUSTER_LABEL,
    HEAD_SELECTOR,
    PipelineKey,
    cluster_seen,
    head_container_id,
    owner_uid,
    pod_seen,
)
from curator_operator.cluster.targets import existing_of
from curator_operator.desired.names import config_map_name
from curator_operator.reconcile.observed import (
    ClusterSeen,
    Observed,
    PipelineSeen,
    PodSeen,
    Refusal,
)

logger = logging.getLogger(__name__)
# How old an answer about an object that no watch covers may be.
LOOK_S = 10.0
# Waiting reasons of a container that lacks its ConfigMap or Secret.
_LACKS = {"CreateContainerConfigError", "ContainerCreating"}
_CHECK_CHILDREN_S = 15.0
READ_EXISTING = "ReadExisting"


class Reader:
    """Makes `Observed` of what is cached, and asks for the little that is not."""

    def __init__(self, api: KubeApi, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    async def observe(self, key: PipelineKey, now: float) -> Observed | None:
        """All that is known of a pipeline; None when it does not exist.

        Args:
            key: which.
            now: seconds since 1970.

        Raises:
            ApiError: something had to be asked for, and the API server did not tell.
        """
        entry = self._cache.find(key)
        if entry is None or entry.pipeline is None:
            return None
        pipeline = entry.pipeline.seen
        await self._look_at_existing(entry, pipeline, now)
        await self._look_at_strangers(entry, pipeline, now)
        await self._look_for_leftovers(entry, pipeline)
        _doubt_children(entry, now)
        # The pipeline may have changed, or gone, while the API server was asked.
        if entry.pipeline is None:
            return None
        return observed(entry, entry.pipeline.seen, kuberay=self._cache.kuberay)

    async def head_container_id(self, pipeline: PipelineSeen, cluster: str) -> str:
        """Id of the head's running container, asked for just now.

        Raises:
            ApiError: the API server did not tell.
        """
        return head_container_id(await self._head_pods(pipeline.namespace, cluster), cluster)

    async def _look_at_existing(self, entry: Entry, pipeline: PipelineSeen, now: float) -> None:
        existing = existing_of(pipeline)
        if existing is None:
            entry.existing = None
            return
        if entry.existing is not None and 0 <= now - entry.existing[0] < LOOK_S:
            return
        name = existing["name"]
        try:
            found = await self._api.get(RAYCLUSTERS, pipeline.namespace, name)
            pods = await self._head_pods(pipeline.namespace, name)
        except ApiRefused as refused:
            if not refused.not_found:
                entry.refused(
                    Refusal(READ_EXISTING, refused.code, refused.reason, refused.message, now)
                )
            entry.existing = (now, None, ())
            return
        entry.refusals.pop(READ_EXISTING, None)
        entry.existing = (now, cluster_seen(found), pods)

    async def _look_at_strangers(self, entry: Entry, pipeline: PipelineSeen, now: float) -> None:
        for name, (at, _) in list(entry.strangers.items()):
            if 0 <= now - at < LOOK_S:
                continue
            del entry.strangers[name]
            if name != pipeline.status.ray_cluster:
                continue
            try:
                found = await self._api.get(RAYCLUSTERS, pipeline.namespace, name)
            except ApiRefused as refused:
                if not refused.not_found:
                    raise
                continue
            entry.strangers[name] = (now, cluster_seen(found))

    async def _look_for_leftovers(self, entry: Entry, pipeline: PipelineSeen) -> None:
        """After an end, once: which ConfigMaps of its attempts are still there? An operator may
        have died before they were deleted, and nobody watches ConfigMaps.
        """
        status = pipeline.status
        if status.phase not in ENDED or not status.attempt or entry.leftovers_looked_for:
            return
        if existing_of(pipeline) is None:
            for attempt in range(status.attempt, 0, -1):
                name = config_map_name(pipeline.name, pipeline.uid, attempt)
                if f"ConfigMap/{name}" not in entry.children and await self._is_left(
                    pipeline, name
                ):
                    entry.children.add(f"ConfigMap/{name}")
        entry.leftovers_looked_for = True

    async def _is_left(self, pipeline: PipelineSeen, name: str) -> bool:
        try:
            found = await self._api.get(CONFIG_MAPS, pipeline.namespace, name)
        except ApiRefused as refused:
            if refused.not_found:
                return False
            if refused.code >= 500 or refused.code == 429:
                raise
            logger.warning(
                "cannot look for leftovers",
                extra={
                    "pipeline": f"{pipeline.namespace}/{pipeline.name}",
                    "why": str(refused),
                },
            )
            return False
        return owner_uid(found) == pipeline.uid

    async def _head_pods(self, namespace: str, cluster: str) -> tuple[PodSeen, ...]:
        selector = f"{CLUSTER_LABEL}={cluster},{HEAD_SELECTOR}"
        return tuple(
            [
                pod_seen(pod)
                async for page in self._api.list_pages(PODS, namespace, selector)
                for pod in page["items"]
            ]
        )


def observed(entry: Entry, pipeline: PipelineSeen, *, kuberay: bool) -> Observed:
    """What an entry of the cache says of its pipeline."""
    existing = entry.existing
    pods = [*_own_pods(entry, pipeline), *(existing[2] if existing else ())]
    return Observed(
        pipeline=pipeline,
        clusters=tuple(sorted(_own_clusters(entry, pipeline), key=lambda one: one.attempt)),
        existing=existing[1] if existing else None,
        pods=tuple(pods),
        children=frozenset(entry.children),
        job=entry.job,
        snapshot=entry.snapshot,
        refusals=tuple(entry.refusals.values()),
        kuberay=kuberay,
    )


def _own_clusters(entry: Entry, pipeline: PipelineSeen) -> Iterable[ClusterSeen]:
    """Those that the pipeline owns, and what stands under the name of its present one."""
    named = pipeline.status.ray_cluster
    for name, held in entry.clusters.items():
        if held.seen.owner_uid == pipeline.uid or name == named:
            yield held.seen
    for name, (_, stranger) in entry.strangers.items():
        if name == named and name not in entry.clusters:
            yield stranger


def _own_pods(entry: Entry, pipeline: PipelineSeen) -> Iterable[PodSeen]:
    # A pipeline that was made again under its old name has another uid, and other clusters.
    prefix = f"{pipeline.name}-{pipeline.uid[:5]}-"
    return (held.seen for held in entry.pods.values() if held.seen.cluster.startswith(prefix))


def _doubt_children(entry: Entry, now: float) -> None:
    """Forget the children where a pod seems to lack one: they are then made again.

    Making one that is there is refused by the API server and changes nothing, and for Secrets it is
    the only question that the operator may ask.
    """
    if not entry.children or 0 <= now - entry.children_checked_at < _CHECK_CHILDREN_S:
        return
    lacking = any(
        one.waiting in _LACKS and now - held.seen.created_at > _CHECK_CHILDREN_S
        for held in entry.pods.values()
        for one in held.seen.containers
        if not held.seen.deleting
    )
    if lacking:
        entry.children.clear()
        entry.children_checked_at = now
