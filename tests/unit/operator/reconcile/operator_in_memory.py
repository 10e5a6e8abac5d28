"""An operator without its I/O for the tests of `reconcile`: caches that lag, deaths, lost answers.

It promises what the real one promises: its own writes of the pipeline are seen at once, watches
never go back, a refused action is remembered until it is done. All else may be old.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.desired.labels import FINALIZER
from curator_operator.reconcile import actions as act
from curator_operator.reconcile.observed import (
    JobSeen,
    Observed,
    PipelineSeen,
    Refusal,
    SnapshotSeen,
)
from curator_operator.reconcile.phases import NEXT
from curator_operator.reconcile.plan import plan
from tests.unit.operator.reconcile.seen import SETTINGS
from tests.unit.operator.reconcile.world import ApiError, World, progress_of


class Died(Exception):
    """The operator was killed."""


class Operator:
    """Looks, plans, writes, acts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.restart()

    def restart(self) -> None:
        """All memory is gone; the watches list anew."""
        self.cached: PipelineSeen | None = self.world.pipeline
        self.view = len(self.world.views) - 1
        self.children: set[str] = set()
        self.refusals: dict[str, Refusal] = {}
        self.job = JobSeen()
        self.snapshot: SnapshotSeen | None = None
        self.polls = True

    def catch_up(self, lag: int = 0) -> None:
        """The watches deliver all but the last `lag` changes; what was seen stays seen."""
        self.view = max(self.view, len(self.world.views) - 1 - lag)
        if lag == 0:
            self.cached = self.world.pipeline

    def poll(self) -> None:
        """Ask the head for the job and the driver for its progress."""
        seen = self.cached
        if not self.polls or seen is None or not seen.status.submission_id:
            return
        name, wanted = seen.status.ray_cluster or "", seen.status.submission_id
        pods = [one for one in self.world.views[self.view].pods if one.cluster == name]
        container = next((one.id for pod in pods for one in pod.containers if one.id), "")
        now = self.world.now
        try:
            job = self.world.head_of(name).jobs.get(wanted)
        except ApiError:
            before = self.job if self.job.submission_id == wanted else JobSeen(wanted)
            if before.state not in ("SUCCEEDED", "FAILED", "STOPPED"):
                since = min(before.unreachable_since or now, now)
                self.job = JobSeen(wanted, "unreachable", now, unreachable_since=since)
            return
        if job is None:
            self.job = JobSeen(wanted, "absent", now, head_container_id=container)
            return
        self.job = JobSeen(
            wanted,
            job.state,  # type: ignore[arg-type]
            now,
            head_container_id=container,
            exit_code=job.exit_code,
        )
        if job.state != "PENDING":
            self.snapshot = SnapshotSeen(wanted, progress_of(job, now, wanted), now)

    def look(self, dies_at: int | None = None, answer_lost_at: int | None = None) -> bool:
        """One pass.

        Args:
            dies_at: the operator dies before its so manieth effect, counted from 0.
            answer_lost_at: the answer to that effect is lost: it happened, but counts as failed.

        Returns:
            Whether anything was written or done.

        Raises:
            Died: as asked for.
        """
        seen = self.cached
        if seen is None:
            return False
        view = self.world.views[self.view]
        made = plan(
            Observed(
                pipeline=seen,
                clusters=view.clusters,
                pods=view.pods,
                children=frozenset(self.children),
                job=self.job,
                snapshot=self.snapshot,
                refusals=tuple(self.refusals.values()),
                kuberay=self.world.kuberay_known,
            ),
            SETTINGS,
            self.world.now,
        )
        self.polls = made.poll
        effects: list[tuple[str, Callable[[], None]]] = []
        if made.status != seen.status:
            effects.append(("write", lambda: self._write(seen, made.status)))
        effects += [(type(one).__name__, partial(self._do, one)) for one in made.actions]
        for number, (name, effect) in enumerate(effects):
            if number == dies_at:
                raise Died
            try:
                effect()
            except ApiError as error:
                self.world.story.append(f"  {name}: {error}")
                self._refused(name, error)
                break
            self.world.story.append(f"  {name}: {made.status.phase}: {made.status.message}")
            self.refusals.pop(name, None)
            if number == answer_lost_at:
                break
        self.world.record()
        return bool(effects)

    def _refused(self, name: str, error: ApiError) -> None:
        if error.code in (0, 409) and name in ("write", "SubmitJob", "DrainDriver", "StopJob"):
            return
        before = self.refusals.get(name)
        count = 1 if before is None else before.count + 1
        self.refusals[name] = Refusal(name, error.code, error.reason, "", self.world.now, count)

    def _write(self, seen: PipelineSeen, status: PipelineStatus) -> None:
        before = seen.status
        self.world.write_status(status, seen.resource_version)
        self.cached = self.world.pipeline
        by_hand, self.world.status_by_hand = self.world.status_by_hand, False
        if by_hand:
            return
        assert status.phase == before.phase or status.phase in NEXT[before.phase], (
            f"{before.phase} → {status.phase}"
        )
        assert (status.attempt or 0) >= (before.attempt or 0)
        if before.attempt == status.attempt and before.progress and status.progress:
            assert status.progress.inputs_done >= before.progress.inputs_done

    def _do(self, action: act.Action) -> None:  # noqa: C901 - one branch an action
        world = self.world
        match action:
            case act.AddFinalizer():
                if world.pipeline is None or world.pipeline.deleting:
                    raise ApiError(404, "NotFound")
                world.change(finalizers=(*world.pipeline.finalizers, FINALIZER))
                self.cached = world.pipeline
            case act.RemoveFinalizer():
                if world.pipeline is not None:
                    assert self.cached is not None
                    left = tuple(one for one in world.pipeline.finalizers if one != FINALIZER)
                    world.change(finalizers=left)
                    self.cached = world.pipeline
            case act.CreateSecret(name) | act.CreateConfigMap(name):
                key = f"{type(action).__name__.removeprefix('Create')}/{name}"
                world.children.add(key)
                self.children.add(key)
            case act.CreateRayCluster():
                assert self.cached is not None
                assert not self.cached.deleting, "a cluster for a pipeline that goes"
                world.create_cluster(action.body)
            case act.PatchRayCluster(name, patch):
                world.patch_cluster(name, patch)
            case act.DeleteRayCluster(name, uid):
                world.delete_cluster(name, uid)
            case act.DeleteConfigMap(name):
                world.children.discard(f"ConfigMap/{name}")
                self.children.discard(f"ConfigMap/{name}")
            case act.SubmitJob(name, submission_id):
                world.submit(name, submission_id)
            case act.DrainDriver(name, submission_id):
                job = world.head_of(name).jobs.get(submission_id)
                if job is not None:
                    job.draining = True
            case act.StopJob(name, submission_id):
                job = world.head_of(name).jobs.get(submission_id)
                if job is not None and job.alive:
                    job.state = "STOPPED"
            case act.EmitEvent():
                world.events.append(action.key)
            case act.DeletePipeline(uid):
                if world.pipeline is not None and world.pipeline.uid == uid:
                    world.change(deleting=True)

    def settle(self, rounds: int = 200) -> None:
        """Pass after pass until nothing changes any more.

        Raises:
            AssertionError: it goes on and on.
        """
        quiet = 0
        for _ in range(rounds):
            self.world.tick()
            self.catch_up()
            self.poll()
            before = self.world.signature()
            busy = self.look()
            quiet = 0 if busy or before != self.world.signature() else quiet + 1
            waits = self.world.live_jobs() or any(p.deleting for p in self.world.pods.values())
            if quiet >= 8 and not waits:
                return
        raise AssertionError("no fixed point")
