"""`Observer`: what anybody sees of pipelines and RayClusters, and when it could be seen.

Run by `run` beside the load. It watches the API server itself, with its own connection; the times
are those at which a change arrived here, so they hold its own delay too.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.operator.api import PIPELINES, RAYCLUSTERS, Api, Json
from tests.benchmarks.operator.figures import Counts, Seen

LABEL = "curator.dev/pipeline"
LOOK_EVERY_S = 0.1


class TooLate(Exception):
    """What was waited for did not happen in time; the message says what is missing."""


@dataclass
class Watched:
    """One pipeline, as last seen.

    Attributes:
        shown: each change of the counts that its status shows.
        writes: when its status changed.
    """

    status: Json = field(default_factory=dict)
    generation: int = 0
    shown: list[Seen] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """`status.phase`."""
        return str(self.status.get("phase", ""))

    @property
    def is_judged(self) -> bool:
        """Whether the status speaks of the newest spec."""
        return bool(self.status.get("observedGeneration") == self.generation)


class Observer:
    """Follows everything.

    Attributes:
        pipelines: by `NAMESPACE/NAME`.
        clusters: when the first RayCluster of a pipeline was seen, in seconds since 1970.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.pipelines: dict[str, Watched] = {}
        self.clusters: dict[str, float] = {}

    async def follow_pipelines(self) -> None:
        """Watch pipelines until cancelled."""
        async for kind, obj in self._api.watch(f"{PIPELINES}/curatorpipelines"):
            key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            if kind == "DELETED":
                self.pipelines.pop(key, None)
            else:
                self._note(self.pipelines.setdefault(key, Watched()), obj, time.time())

    async def follow_clusters(self) -> None:
        """Watch RayClusters until cancelled."""
        async for kind, obj in self._api.watch(f"{RAYCLUSTERS}/rayclusters"):
            if kind == "ADDED":
                meta = obj["metadata"]
                key = f"{meta['namespace']}/{meta['labels'][LABEL]}"
                self.clusters.setdefault(key, time.time())

    async def until(self, missing: Callable[[], Counter[str]], what: str, within_s: float) -> float:
        """Wait until nothing is missing any more; returns the time at which that was seen.

        Raises:
            TooLate: something still is.
        """
        deadline = time.monotonic() + within_s
        while True:
            lacking = missing()
            if not lacking:
                return time.time()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TooLate(f"{what}: not within {within_s:g} s; missing: {dict(lacking)}")
            # Looking at all of them at each change would make this process late itself.
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))

    def _note(self, watched: Watched, obj: Json, now: float) -> None:
        status = obj.get("status") or {}
        watched.generation = obj["metadata"]["generation"]
        if status == watched.status:
            return
        watched.status = status
        watched.writes.append(now)
        counts = counts_of(status)
        if counts and (not watched.shown or watched.shown[-1].counts != counts):
            watched.shown.append(Seen(now, counts))


def counts_of(status: Json) -> Counts:
    """The counts that a status shows: inputs done, then tasks done of each stage; () without."""
    if "progress" not in status:
        return ()
    stages = (one.get("done", 0) for one in status.get("stages", []))
    return (status["progress"].get("inputsDone", 0), *stages)
