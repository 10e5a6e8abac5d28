"""`Listing`: all objects of the operator, asked for at once.

Done before the watches start, so that no pipeline is judged while its children are not yet known;
and again from time to time, because a watch that was broken off for long says nothing of what was
deleted meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from curator_operator.cluster.cache import Cache, Object
from curator_operator.cluster.client import (
    PIPELINES,
    PODS,
    RAYCLUSTERS,
    ApiRefused,
    KubeApi,
    Resource,
)
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.desired.labels import SELECTOR
from curator_operator.metrics import Metrics

logger = logging.getLogger(__name__)
_EVERY_VERSION = 2**63


class Listing:
    """Lists everything, and tells what the watches had not."""

    def __init__(
        self, api: KubeApi, cache: Cache, metrics: Metrics, namespaces: tuple[str, ...]
    ) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._complete = False
        self._places: tuple[str | None, ...] = namespaces or (None,)

    async def everything(self) -> set[PipelineKey]:
        """Bring the cache up to date.

        Returns:
            Pipelines of which something was not known.

        Raises:
            ApiError: the API server did not tell; what it told before is kept.
        """
        # Children first: a pipeline must never be judged without them.
        changed = await self.clusters()
        changed |= await self._kind("pods", PODS, SELECTOR, self._cache.put_pod)
        changed |= await self._kind("pipeline", PIPELINES, None, self._cache.put_pipeline)
        self._complete = True
        return changed

    async def clusters(self) -> set[PipelineKey]:
        """Bring RayClusters up to date; without KubeRay there are none.

        Returns:
            Pipelines of which something was not known; all, when KubeRay came or went.

        Raises:
            ApiError: the API server did not tell.
        """
        before = self._cache.kuberay
        try:
            changed = await self._kind("clusters", RAYCLUSTERS, SELECTOR, self._cache.put_cluster)
            # kopf goes by the list of kinds, which may be a little behind the kind itself.
            self._cache.kuberay = before or await self._api.knows(RAYCLUSTERS)
        except ApiRefused as refused:
            if not refused.not_found:
                raise
            self._cache.kuberay = False
            changed = set(self._cache.prune("clusters", set(), _EVERY_VERSION))
        if self._cache.kuberay is not before:
            logger.warning("KubeRay seen", extra={"installed": self._cache.kuberay})
            changed.update(self._cache.pipelines())
        return changed

    async def _kind(
        self,
        kind: str,
        resource: Resource,
        labels: str | None,
        put: Callable[[Object], PipelineKey | None],
    ) -> set[PipelineKey]:
        uids: set[str] = set()
        changed: set[PipelineKey] = set()
        version = 0
        for place in self._places:
            async for page in self._api.list_pages(resource, place, labels):
                # Of several namespaces the first listing is the oldest: prune by that one.
                listed = int(page["metadata"].get("resourceVersion") or 0)
                version = min(version or listed, listed)
                for obj in page["items"]:
                    uids.add(obj["metadata"]["uid"])
                    key = put(obj)
                    if key is not None:
                        changed.add(key)
        changed.update(self._cache.prune(kind, uids, version))
        # Before the first is complete there are no watches that could have missed anything.
        if changed and self._complete:
            self._metrics.missed.labels(kind).inc(len(changed))
        return changed
