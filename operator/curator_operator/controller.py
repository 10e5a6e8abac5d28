"""`Controller`: looks at one pipeline: read, plan, write the status, do the actions.

Called by the queue's workers, for whatever reason a pipeline was put there: it is the same look
each time. Nothing here decides; that is `plan`'s, which is pure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster.apply import ActionRefused, Applier, Conflict, Gone, Place
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import ApiError
from curator_operator.cluster.read import Reader
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.metrics import Metrics
from curator_operator.poller import Poller
from curator_operator.queue import KeyedQueue, QueueClosed
from curator_operator.reconcile.actions import EmitEvent, Plan, SubmitJob
from curator_operator.reconcile.observed import Observed, Refusal, SnapshotSeen
from curator_operator.settings import OperatorSettings

logger = logging.getLogger(__name__)
PlanFunction = Callable[[Observed, OperatorSettings, float], Plan]
# What an action changed may take this long to be seen; until then it is not done again.
AGAIN_AFTER_S = 5.0
# However soon `plan` wants to look again, others get their turn first.
_SHORTEST_WAIT_S = 0.05
# What `plan` does not act on: after a write of only this nothing has to be decided anew.
_FIGURES = {"progress", "stages", "last_progress_time"}
# Near a run's end it is asked more often than its figures are worth writing.
FIGURES_EVERY_S = 3.0
_SHOWN_ONLY = {"held_up_by", "progress", "stages", "failures", "last_progress_time", "message"}


@dataclass(frozen=True)
class Loop:
    """What the controller hands work to."""

    queue: KeyedQueue[PipelineKey]
    poller: Poller[PipelineKey]


class Controller:
    """Brings pipelines to what they should be, one look at a time."""

    def __init__(  # noqa: PLR0913 - it is where all the parts meet
        self,
        *,
        plan: PlanFunction,
        settings: OperatorSettings,
        cache: Cache,
        reader: Reader,
        applier: Applier,
        loop: Loop,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._cache = cache
        self._reader = reader
        self._applier = applier
        self._queue = loop.queue
        self._poller = loop.poller
        self._metrics = metrics
        self.wall: Callable[[], float] = time.time

    async def work(self) -> None:
        """Look at pipelines until the queue is closed."""
        while True:
            try:
                key = await self._queue.take()
            except QueueClosed:
                return
            try:
                await self._look(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: PipelineKey) -> None:
        """One look; whatever goes wrong, the pipeline is looked at again later."""
        began = time.monotonic()
        result = "error"
        try:
            result = await self.reconcile(key)
        except Conflict as conflict:
            result = "conflict"
            delay_s = self._queue.back_off(key)
            logger.info("changed meanwhile", extra=_fields(key, why=conflict, again_s=delay_s))
        except ApiError as error:
            delay_s = self._queue.back_off(key)
            logger.warning("API server failed", extra=_fields(key, why=error, again_s=delay_s))
        except asyncio.CancelledError:
            raise
        except Exception:
            delay_s = self._queue.back_off(key)
            logger.exception("look failed", extra=_fields(key, again_s=delay_s))
        else:
            if result != "refused":
                self._queue.forget(key)
        finally:
            self._metrics.reconciles.labels(result).inc()
            self._metrics.reconcile_seconds.observe(time.monotonic() - began)

    async def reconcile(self, key: PipelineKey) -> str:
        """Look at a pipeline and do what is to be done about it now.

        Returns:
            `gone`, `same`, `changed` or `refused`.

        Raises:
            ApiError: the API server did not tell or take something; look again later.
            Conflict: it has changed meanwhile; look again.
        """
        observed = await self._reader.observe(key, self.wall())
        if observed is None:
            self._poller.want(key, wanted=False)
            return "gone"
        plan = self._plan(observed, self._settings, self.wall())
        place = Place(key, self._cache.entry(key))
        try:
            written = await self._write_status(place, observed, plan.status)
            done, refused, wait_s = await self._act(place, plan)
        except Gone:
            self._poller.want(key, wanted=False)
            return "gone"
        self._poller.want(key, wanted=plan.poll)
        self._note_shown(place, observed, plan.status)
        self._come_back(key, plan, (written or done, refused, wait_s))
        return "refused" if refused else "changed" if written or done else "same"

    def _come_back(
        self, key: PipelineKey, plan: Plan, how: tuple[bool, Refusal | None, float | None]
    ) -> None:
        changed, refused, wait_s = how
        if changed or (refused is not None and refused.count == 1):
            # What was done is seen at once, and what it makes possible is done at once; a refusal
            # is shown at once.
            self._queue.add(key)
        elif refused is not None:
            self._queue.back_off(key)
        for again_s in (plan.look_again_s, wait_s):
            if again_s is not None:
                self._queue.add_after(key, max(again_s, _SHORTEST_WAIT_S))

    async def _write_status(self, place: Place, observed: Observed, status: PipelineStatus) -> bool:
        """Write the status where it differs; returns whether something may follow from it."""
        before = observed.pipeline.status
        if status == before:
            return False
        early_s = FIGURES_EVERY_S - (self.wall() - place.entry.written_at)
        if early_s > 0 and status.model_copy(update=_of(before, _FIGURES)) == before:
            self._queue.add_after(place.key, early_s)
            return False
        await self._applier.write_status(place, observed.pipeline, status)
        place.entry.written_at = self.wall()
        follows = status.model_copy(update=_of(before, _SHOWN_ONLY)) != before
        log = logger.info if follows else logger.debug
        log(
            "status written",
            extra=_fields(
                place.key, phase=status.phase, attempt=status.attempt, says=status.message
            ),
        )
        return follows

    async def _act(self, place: Place, plan: Plan) -> tuple[bool, Refusal | None, float | None]:
        """Do the actions in order; the first that is refused ends the look.

        Returns:
            Whether something was done; the refusal, if something was refused; seconds until an
            action that was done a moment ago may be done again, or None.
        """
        done = False
        wait_s: float | None = None
        now = self.wall()
        lately = place.entry.done
        for name in [name for name, at in lately.items() if not 0 <= now - at < AGAIN_AFTER_S]:
            del lately[name]
        for action in plan.actions:
            name = _name(action)
            if isinstance(action, EmitEvent):
                await self._tell(place, action)
                continue
            if name in lately:
                left_s = AGAIN_AFTER_S - (now - lately[name])
                wait_s = left_s if wait_s is None else min(wait_s, left_s)
                continue
            try:
                await self._applier.do(place, action)
            except ActionRefused as refused:
                logger.warning(
                    "action refused",
                    extra=_fields(place.key, action=name, why=refused, count=refused.refusal.count),
                )
                return done, refused.refusal, wait_s
            lately[name] = now
            done = True
            logger.info("action done", extra=_fields(place.key, action=name, why=action.reason))
            if isinstance(action, SubmitJob):
                self._poller.soon(place.key)
        return done, None, wait_s

    async def _tell(self, place: Place, event: EmitEvent) -> None:
        """Post an event, once; one that cannot be posted holds nothing up."""
        if event.key in place.entry.told:
            return
        try:
            await self._applier.do(place, event)
        except (ActionRefused, ApiError) as error:
            place.entry.refusals.pop(EmitEvent.__name__, None)
            logger.warning(
                "event not posted", extra=_fields(place.key, event_key=event.key, why=error)
            )
        else:
            logger.info(
                "event posted", extra=_fields(place.key, event_key=event.key, about=event.message)
            )

    def _note_shown(self, place: Place, observed: Observed, status: PipelineStatus) -> None:
        """Where the status shows the newest progress, note when that was taken."""
        snapshot = observed.snapshot
        if snapshot is None or snapshot.submission_id != status.submission_id:
            place.entry.shown_at = None
        elif _shows(status, snapshot):
            place.entry.shown_at = snapshot.snapshot.time


def _shows(status: PipelineStatus, seen: SnapshotSeen) -> bool:
    """Whether the counts of a status are those of a snapshot."""
    if status.progress is None or status.progress.inputs_done != seen.snapshot.inputs_done:
        return False
    done = {stage.name: stage.done for stage in seen.snapshot.stages}
    return all(done.get(stage.name, stage.done) == stage.done for stage in status.stages)


def _of(before: PipelineStatus, names: set[str]) -> dict[str, Any]:
    return {name: getattr(before, name) for name in names}


def _name(action: Any) -> str:
    """What tells an action from others of its pipeline, apart from its reason."""
    parts = [type(action).__name__]
    parts += [
        str(getattr(action, name)) for name in ("name", "submission_id") if hasattr(action, name)
    ]
    if hasattr(action, "patch"):
        parts.append(str(list(action.patch)))
    return " ".join(parts)


def _fields(key: PipelineKey, **fields: Any) -> dict[str, Any]:
    plain = {
        name: value if isinstance(value, (int, float, str, type(None))) else str(value)
        for name, value in fields.items()
    }
    return {"pipeline": str(key), **plain}
