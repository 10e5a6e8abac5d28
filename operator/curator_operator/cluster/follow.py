"""`Follower`: one poll of one running pipeline: its job's record, and its driver's progress.

Called by the poller. What it finds goes into the cache; whether that is news decides whether the
pipeline is looked at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from curator_operator.cluster.cache import Cache, Entry
from curator_operator.cluster.client import ApiError
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.http import Endpoint, HeadError, Unauthorized
from curator_operator.cluster.jobs import JobRecord, Jobs
from curator_operator.cluster.read import Reader
from curator_operator.cluster.reduce import PipelineKey, head_container_id
from curator_operator.cluster.targets import Targets, existing_of
from curator_operator.metrics import Metrics
from curator_operator.reconcile.observed import JobSeen, PipelineSeen, SnapshotSeen
from curator_operator.reconcile.pace import poll_within_s

logger = logging.getLogger(__name__)
_LONGEST = 600


class Follower:
    """Polls pipelines whose job was submitted."""

    def __init__(
        self,
        cache: Cache,
        reader: Reader,
        targets: Targets,
        heads: tuple[Jobs, Driver],
        metrics: Metrics,
    ) -> None:
        self._cache = cache
        self._reader = reader
        self._targets = targets
        self._jobs, self._driver = heads
        self._metrics = metrics
        self.wall: Callable[[], float] = time.time

    async def poll(self, key: PipelineKey) -> bool:
        """Ask the head and the driver of a pipeline; returns whether there is news.

        A head or driver that does not answer is no error here, but an answer: it is remembered.
        """
        began = time.monotonic()
        entry = self._cache.find(key)
        if entry is None or entry.pipeline is None:
            return False
        pipeline = entry.pipeline.seen
        status = pipeline.status
        if not status.submission_id or not status.ray_cluster:
            return False
        found = await self._look(entry, pipeline, status.ray_cluster, status.submission_id)
        if self._cache.find(key) is not entry or found is None:
            return False
        job, snapshot = found
        news = self._cache.put_job(key, job)
        result: str = job.state
        if job.state == "RUNNING":
            snapshot = await self._progress(pipeline, status.ray_cluster, job)
            result = "RUNNING, no progress" if snapshot is None else "RUNNING"
        if snapshot is not None and self._cache.find(key) is entry:
            news = self._cache.put_snapshot(key, snapshot) or news
        self._metrics.polls.labels(result).inc()
        self._metrics.poll_seconds.observe(time.monotonic() - began)
        return news

    def poll_within_s(self, key: PipelineKey) -> float | None:
        """How soon to poll again, by what is known now; None: at the usual pace."""
        entry = self._cache.find(key)
        return None if entry is None else poll_within_s(entry.job, entry.snapshot)

    async def _look(
        self, entry: Entry, pipeline: PipelineSeen, cluster: str, submission_id: str
    ) -> tuple[JobSeen, SnapshotSeen | None] | None:
        """What the head says of the job, and the driver's last word where that is news.

        Returns:
            None when it is not known which head said it.
        """
        before = entry.job if entry.job.submission_id == submission_id else JobSeen()
        container = self._container(entry, pipeline, cluster)
        said = None
        try:
            at = await self._targets.dashboard(pipeline, cluster)
            record = await self._jobs.look(at, submission_id)
            if record is None:
                # The pod's news may be slower than the head: a new head, asked for the first
                # time, must not look like the old one that never had the job.
                container = await self._reader.head_container_id(pipeline, cluster)
            else:
                said = await self._last_word(entry, at, submission_id, record)
                if container != self._container(entry, pipeline, cluster):
                    return None
        except (HeadError, ApiError) as error:
            if isinstance(error, Unauthorized):
                self._targets.forget_token(pipeline)
            now = self.wall()
            since = before.unreachable_since if before.state == "unreachable" else None
            silent = replace(
                before,
                submission_id=submission_id,
                state="unreachable",
                at=now,
                message=f"{type(error).__name__}: {error}"[:_LONGEST],
                # Not in the future, where a clock that was set back would put it.
                unreachable_since=now if since is None else min(since, now),
            )
            return silent, None
        return _job(submission_id, record, container, self.wall()), said

    async def _last_word(
        self, entry: Entry, at: Endpoint, submission_id: str, record: JobRecord
    ) -> SnapshotSeen | None:
        """What the driver of a job that ended said last; None where that was fetched in time.

        It may not have been: nobody looked while it was served, or an operator did and died.
        """
        seen = entry.snapshot
        known = seen.snapshot if seen is not None and seen.submission_id == submission_id else None
        word = record.last_word
        if record.state == "SUCCEEDED" and (known is None or known.state != "Succeeded"):
            try:
                word = await self._jobs.last_word(at, submission_id, record.node_id)
            except HeadError as error:
                # It only has counts to add to what is known: that all was done.
                logger.debug("no last word", extra={"job": submission_id, "error": str(error)})
        if word is None or (known and (known.run_id, known.state) == (word.run_id, word.state)):
            return None
        return SnapshotSeen(submission_id, word, self.wall())

    async def _progress(
        self, pipeline: PipelineSeen, cluster: str, job: JobSeen
    ) -> SnapshotSeen | None:
        try:
            at = await self._targets.driver(pipeline, cluster, job.driver_address)
            snapshot = None if at is None else await self._driver.progress(at)
        except (HeadError, ApiError) as error:
            logger.debug(
                "no progress",
                extra={
                    "pipeline": f"{pipeline.namespace}/{pipeline.name}",
                    "kind": type(error).__name__,
                    "error": str(error)[:_LONGEST],
                },
            )
            return None
        if snapshot is None:
            return None
        return SnapshotSeen(job.submission_id, snapshot, self.wall())

    def _container(self, entry: Entry, pipeline: PipelineSeen, cluster: str) -> str:
        if existing_of(pipeline) is not None:
            pods = entry.existing[2] if entry.existing is not None else ()
            return head_container_id(pods, cluster)
        return head_container_id((held.seen for held in entry.pods.values()), cluster)


def _job(submission_id: str, record: JobRecord | None, container: str, now: float) -> JobSeen:
    if record is None:
        return JobSeen(submission_id, "absent", now, head_container_id=container)
    return JobSeen(
        submission_id=submission_id,
        state=record.state,
        at=now,
        message=record.message,
        head_container_id=container,
        exit_code=record.exit_code,
        driver_address=record.driver_address,
    )
