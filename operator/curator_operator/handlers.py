"""kopf's handlers: what the watches see goes into the cache, and the pipeline into the queue.

Called by kopf; registered by `__main__`. Nothing is decided or changed here. kopf itself puts
neither finalizers nor annotations on objects that are only watched; the finalizer is `plan`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import kopf

from curator_operator.cluster.cache import Cache, Object
from curator_operator.cluster.client import PIPELINES, PODS, RAYCLUSTERS
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.desired.labels import MANAGED_BY, MANAGER, SELECTOR
from curator_operator.metrics import Metrics

_PREFIX = "curator.dev"
_LABELS: dict[str, Any] = {MANAGED_BY: MANAGER}
Event = Any  # kopf's RawEvent: {"type": …, "object": …}
Put = Callable[[Object], PipelineKey | None]


def handlers(
    cache: Cache, metrics: Metrics, enqueue: Callable[[PipelineKey], None]
) -> kopf.OperatorRegistry:
    """The registry for `kopf.operator`: three watches, and how to log in."""
    registry = kopf.OperatorRegistry()

    def saw(kind: str, event: Event, put: Put, drop: Put) -> None:
        metrics.watch_events.labels(kind).inc()
        key = (drop if event["type"] == "DELETED" else put)(event["object"])
        if key is not None:
            enqueue(key)

    @kopf.on.login(registry=registry)
    async def login(**given: Any) -> kopf.ConnectionInfo | None:
        # The same order as that of our own client; kopf's default would load another library.
        if os.environ.get("KUBECONFIG"):
            return kopf.login_with_kubeconfig(**given)
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    @kopf.on.event(*PIPELINES, registry=registry)
    async def pipeline(event: Event, **_: Any) -> None:
        saw("pipeline", event, cache.put_pipeline, cache.drop_pipeline)

    @kopf.on.event(*RAYCLUSTERS, labels=_LABELS, registry=registry)
    async def cluster(event: Event, **_: Any) -> None:
        saw("cluster", event, cache.put_cluster, cache.drop_cluster)

    @kopf.on.event(*PODS, labels=_LABELS, registry=registry)
    async def pod(event: Event, **_: Any) -> None:
        saw("pod", event, cache.put_pod, cache.drop_pod)

    return registry


def watch_settings(*, scan: bool) -> kopf.OperatorSettings:
    """How kopf watches.

    Args:
        scan: whether it may look for kinds of objects that come later, which needs the right to
            list and watch CustomResourceDefinitions.
    """
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = f"{_PREFIX}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    settings.posting.enabled = False
    settings.scanning.disabled = not scan
    # A watch ends on the server's side before ours gives up on it; bookmarks come every minute, so
    # one that is silent for 70 s (kopf's default) is dead.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = 100
    for plural in (RAYCLUSTERS[1], PODS[1]):
        settings.watching.label_selectors[plural] = SELECTOR
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    # A handler here takes microseconds: a worker that waited longer would only take memory.
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.5
    # kopf would kill the process some time after its watches failed; `__main__` starts them anew.
    settings.process.ultimate_exiting_timeout = None
    return settings
