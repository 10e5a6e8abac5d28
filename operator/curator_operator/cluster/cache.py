"""`Cache`: what is known of every pipeline and its children, in memory.

Filled by watches, listings, replies to our own writes, and polls; read by `read`. Of two versions
of an object the newer counts, whichever way it came, so the operator sees its own writes at once.
Times here are seconds since 1970, and handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from curator_operator.cluster.reduce import (
    PipelineKey,
    cluster_seen,
    key_of,
    owner_key,
    pipeline_seen,
    pod_seen,
    version_of,
)
from curator_operator.reconcile.observed import (
    ClusterSeen,
    JobSeen,
    PipelineSeen,
    PodSeen,
    Refusal,
    SnapshotSeen,
)

Object = Mapping[str, Any]
T = TypeVar("T", PipelineSeen, ClusterSeen, PodSeen)
# Uids of deleted objects that are remembered, so that a late reply cannot bring one back.
_GRAVES = 4096


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """An object with the version that it was seen in."""

    version: int
    seen: T


@dataclass(slots=True)
class Entry:
    """All that is known of one pipeline.

    Attributes:
        clusters: RayClusters with our label for this pipeline, by name.
        pods: pods with our label for this pipeline, by name.
        strangers: RayClusters that stand where one of ours should, with the time of the look.
        existing: the RayCluster of `spec.cluster.existing`, its head pods, and when looked at.
        children: `ConfigMap/NAME` and `Secret/NAME` that were made or found.
        leftovers_looked_for: whether, after the end, it was asked which ConfigMaps are there.
        refusals: of actions, by type name, until they are done.
        done: actions done lately, by type and name, and when.
        told: keys of the events that were posted.
        shown_at: when the newest progress was taken that the status shows.
        written_at: when the status was written last.
    """

    pipeline: Held[PipelineSeen] | None = None
    clusters: dict[str, Held[ClusterSeen]] = field(default_factory=dict)
    pods: dict[str, Held[PodSeen]] = field(default_factory=dict)
    strangers: dict[str, tuple[float, ClusterSeen]] = field(default_factory=dict)
    existing: tuple[float, ClusterSeen | None, tuple[PodSeen, ...]] | None = None
    children: set[str] = field(default_factory=set)
    children_checked_at: float = 0.0
    leftovers_looked_for: bool = False
    job: JobSeen = field(default_factory=JobSeen)
    snapshot: SnapshotSeen | None = None
    refusals: dict[str, Refusal] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    shown_at: float | None = None
    written_at: float = float("-inf")

    def refused(self, refusal: Refusal) -> None:
        """Remember a refusal; `count` becomes that of refusals in a row."""
        before = self.refusals.get(refusal.action)
        count = 1 if before is None else before.count + 1
        self.refusals[refusal.action] = replace(refusal, count=count)

    def forget_memory(self) -> None:
        """Forget all but the objects: another pipeline of this name has come, or it has gone."""
        fresh = Entry()
        for name in Entry.__slots__:
            if name not in {"pipeline", "clusters", "pods"}:
                setattr(self, name, getattr(fresh, name))


class Cache:
    """Everything known, by pipeline."""

    def __init__(self) -> None:
        self._entries: dict[PipelineKey, Entry] = {}
        self._graves: OrderedDict[str, None] = OrderedDict()
        self.kuberay = True

    def entry(self, key: PipelineKey) -> Entry:
        """What is known of a pipeline, made if need be."""
        return self._entries.setdefault(key, Entry())

    def find(self, key: PipelineKey) -> Entry | None:
        """What is known of a pipeline, or None."""
        return self._entries.get(key)

    def pipelines(self) -> list[PipelineKey]:
        """Keys of the pipelines that exist."""
        return [key for key, entry in self._entries.items() if entry.pipeline is not None]

    def entries(self) -> Iterator[Entry]:
        """What is known of each pipeline that exists."""
        return (entry for entry in self._entries.values() if entry.pipeline is not None)

    # Each `put_…` and `drop_…` returns the pipeline that has to be looked at because of it.

    def put_pipeline(self, obj: Object) -> PipelineKey | None:
        """A pipeline as it is now."""
        key = key_of(obj)
        if self._is_gone(obj):
            return None
        entry = self.entry(key)
        before = entry.pipeline
        if not _newer(before, obj):
            return None
        seen = pipeline_seen(obj)
        if before is not None and before.seen.uid != seen.uid:
            entry.forget_memory()
        entry.pipeline = Held(version_of(obj), seen)
        return key

    def drop_pipeline(self, obj: Object) -> PipelineKey | None:
        """A pipeline is gone."""
        key = key_of(obj)
        self._bury(obj)
        entry = self._entries.get(key)
        if entry is None or entry.pipeline is None or entry.pipeline.seen.uid != _uid(obj):
            return None
        entry.pipeline = None
        entry.forget_memory()
        self._tidy(key)
        return key

    def put_cluster(self, obj: Object) -> PipelineKey | None:
        """A RayCluster with our label as it is now."""
        key = owner_key(obj)
        if key is None or self._is_gone(obj):
            return None
        return _put(key, self.entry(key).clusters, obj, cluster_seen)

    def drop_cluster(self, obj: Object) -> PipelineKey | None:
        """A RayCluster with our label is gone."""
        key = owner_key(obj)
        return None if key is None else self._drop(key, self.entry(key).clusters, obj)

    def put_pod(self, obj: Object) -> PipelineKey | None:
        """A pod with our label as it is now."""
        key = owner_key(obj)
        if key is None or self._is_gone(obj):
            return None
        return _put(key, self.entry(key).pods, obj, pod_seen)

    def drop_pod(self, obj: Object) -> PipelineKey | None:
        """A pod with our label is gone."""
        key = owner_key(obj)
        return None if key is None else self._drop(key, self.entry(key).pods, obj)

    def prune(self, kind: str, uids: set[str], version: int) -> list[PipelineKey]:
        """Forget what a listing did not have.

        Args:
            kind: `pipeline`, `clusters` or `pods`.
            uids: what the listing had.
            version: of the listing; what was seen in a newer one stays.

        Returns:
            Pipelines that have to be looked at because of it.
        """
        changed = []
        for key, entry in list(self._entries.items()):
            if kind == "pipeline":
                held = entry.pipeline
                if held is not None and held.seen.uid not in uids and held.version <= version:
                    entry.pipeline = None
                    entry.forget_memory()
                    changed.append(key)
            else:
                objects: dict[str, Held[Any]] = getattr(entry, kind)
                gone = [
                    name
                    for name, one in objects.items()
                    if one.seen.uid not in uids and one.version <= version
                ]
                for name in gone:
                    del objects[name]
                if gone:
                    changed.append(key)
            self._tidy(key)
        return changed

    def put_job(self, key: PipelineKey, job: JobSeen) -> bool:
        """What a poll said of the job. Returns whether that is news."""
        entry = self.entry(key)
        news = replace(job, at=0.0) != replace(entry.job, at=0.0)
        entry.job = job
        return news

    def put_snapshot(self, key: PipelineKey, seen: SnapshotSeen) -> bool:
        """The progress that a poll fetched. Returns whether that is news."""
        entry = self.entry(key)
        before = entry.snapshot
        entry.snapshot = seen
        if before is None or before.submission_id != seen.submission_id:
            return True
        still = {"time": 0.0, "elapsed_s": 0.0}
        return bool(
            before.snapshot.model_copy(update=still) != seen.snapshot.model_copy(update=still)
        )

    def _drop(
        self, key: PipelineKey, objects: dict[str, Held[T]], obj: Object
    ) -> PipelineKey | None:
        self._bury(obj)
        name = obj["metadata"]["name"]
        held = objects.get(name)
        if held is None or held.seen.uid != _uid(obj):
            self._tidy(key)
            return None
        del objects[name]
        self._tidy(key)
        return key

    def _is_gone(self, obj: Object) -> bool:
        return _uid(obj) in self._graves

    def _bury(self, obj: Object) -> None:
        self._graves[_uid(obj)] = None
        while len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)

    def _tidy(self, key: PipelineKey) -> None:
        entry = self._entries.get(key)
        if entry is not None and not (entry.pipeline or entry.clusters or entry.pods):
            del self._entries[key]


def _put(
    key: PipelineKey, objects: dict[str, Held[T]], obj: Object, reduce: Callable[[Object], T]
) -> PipelineKey | None:
    name = obj["metadata"]["name"]
    before = objects.get(name)
    if not _newer(before, obj):
        return None
    seen = reduce(obj)
    objects[name] = Held(version_of(obj), seen)
    return None if before is not None and _alike(before.seen, seen) else key


def _newer(before: Held[T] | None, obj: Object) -> bool:
    return before is None or version_of(obj) > before.version


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _alike(before: Any, after: Any) -> bool:
    """Whether two sights of an object differ in nothing that is decided by."""
    if isinstance(before, ClusterSeen):
        return bool(replace(before, resource_version="") == replace(after, resource_version=""))
    return bool(before == after)
