"""One look at a pipeline: status before actions, in order, once, and never the end of the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from curator_api.progress import ProgressSnapshot
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster.apply import ActionRefused, Conflict, Gone, Place
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import ApiUnreachable
from curator_operator.cluster.read import observed
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.controller import Controller, Loop
from curator_operator.metrics import Metrics
from curator_operator.poller import Poller, PollSchedule
from curator_operator.queue import KeyedQueue
from curator_operator.reconcile.actions import (
    Action,
    CreateConfigMap,
    CreateRayCluster,
    DrainDriver,
    EmitEvent,
    Plan,
    SubmitJob,
)
from curator_operator.reconcile.observed import Observed, PipelineSeen, Refusal, SnapshotSeen
from tests.unit.operator.cluster.fakes import (
    CLUSTER,
    KEY,
    NOW,
    RUNNING,
    SETTINGS,
    SUBMISSION,
    cache_with,
)

STATUS = PipelineStatus.model_validate(RUNNING)
CREATE = CreateRayCluster(CLUSTER, {}, "wanted")
SUBMIT = SubmitJob(CLUSTER, SUBMISSION, {}, "ready")
EVENT = EmitEvent("Normal", "Began", "it began", "began/1")
DRAIN = DrainDriver(CLUSTER, SUBMISSION, "suspended")


class World:
    """A controller whose plan, reader and applier are told what to do; `story` is what it did."""

    def __init__(self, *plans: Plan, cache: Cache | None = None) -> None:
        self.story: list[str] = []
        self.plans = list(plans)
        self.fail: dict[str, Exception] = {}
        self.cache = cache if cache is not None else cache_with(status=RUNNING)
        self.now = NOW
        self.queue: KeyedQueue[PipelineKey] = KeyedQueue(
            clock=lambda: self.now, later=self._later, chance=lambda: 0.5
        )
        self.delays: list[float] = []
        self.poller: Poller[PipelineKey] = Poller(
            PollSchedule(6.0, 0.5, 4, chance=lambda: 0.0), self._poll, self.queue.add, 2.5
        )
        self.metrics = Metrics()
        self.controller = Controller(
            plan=self._plan,
            settings=SETTINGS,
            cache=self.cache,
            reader=self,  # type: ignore[arg-type]
            applier=self,  # type: ignore[arg-type]
            loop=Loop(self.queue, self.poller),
            metrics=self.metrics,
        )
        self.controller.wall = lambda: self.now

    def _later(self, delay_s: float, _: Callable[[], None]) -> Any:
        self.delays.append(delay_s)
        return self

    def cancel(self) -> None:
        """As a timer."""

    async def _poll(self, _: PipelineKey) -> bool:
        return False

    def _plan(self, seen: Observed, _settings: Any, _now: float) -> Plan:
        self.story.append("plan")
        if isinstance(self.fail.get("plan"), Exception):
            raise self.fail["plan"]
        return self.plans.pop(0) if self.plans else Plan(seen.pipeline.status)

    # As the reader.

    async def observe(self, key: PipelineKey, now: float) -> Observed | None:
        assert now == self.now
        if "observe" in self.fail:
            raise self.fail["observe"]
        entry = self.cache.find(key)
        if entry is None or entry.pipeline is None:
            return None
        return observed(entry, entry.pipeline.seen, kuberay=True)

    # As the applier.

    async def do(self, place: Place, action: Action) -> None:
        name = type(action).__name__
        if name in self.fail:
            raise self.fail[name]
        self.story.append(name)
        if isinstance(action, EmitEvent):
            place.entry.told.add(action.key)

    async def write_status(self, place: Place, seen: PipelineSeen, status: PipelineStatus) -> None:
        if "write_status" in self.fail:
            raise self.fail["write_status"]
        assert seen is place.pipeline
        self.story.append(f"status {status.message}")

    def look(self) -> str:
        return asyncio.run(self.controller.reconcile(KEY))

    def work(self) -> None:
        """What a worker does with the key, and then the end."""

        async def whole() -> None:
            self.queue.add(KEY)
            worker = asyncio.create_task(self.controller.work())
            for _ in range(10):
                await asyncio.sleep(0)
            self.queue.close()
            await worker

        asyncio.run(whole())

    def counted(self, result: str) -> float:
        return float(self.metrics.reconciles.labels(result)._value.get())


def said(text: str) -> PipelineStatus:
    return STATUS.model_copy(update={"message": text})


def refusal(action: str, count: int = 1) -> ActionRefused:
    return ActionRefused(Refusal(action, 403, "Forbidden", "quota", NOW, count))


def test_the_status_is_written_before_the_actions_which_are_done_in_order() -> None:
    world = World(Plan(said("new"), (CreateConfigMap("c", {}, "r"), CREATE, SUBMIT)))
    assert world.look() == "changed"
    assert world.story == ["plan", "status new", "CreateConfigMap", "CreateRayCluster", "SubmitJob"]


def test_a_status_that_says_the_same_is_not_written() -> None:
    world = World(Plan(STATUS))
    assert world.look() == "same"
    assert world.story == ["plan"]
    assert world.queue.depth == 0


def test_nothing_is_done_where_the_status_could_not_be_written() -> None:
    world = World(Plan(said("new"), (CREATE,)))
    world.fail["write_status"] = Conflict("changed")
    with pytest.raises(Conflict):
        world.look()
    assert world.story == ["plan"]


def test_the_first_refusal_ends_the_look() -> None:
    world = World(Plan(STATUS, (CREATE, SUBMIT)))
    world.fail["CreateRayCluster"] = refusal("CreateRayCluster")
    assert world.look() == "refused"
    assert world.story == ["plan"]


def test_a_first_refusal_is_shown_at_once_and_later_ones_back_off() -> None:
    world = World(Plan(STATUS, (CREATE,)), Plan(STATUS, (CREATE,)))
    world.fail["CreateRayCluster"] = refusal("CreateRayCluster", 1)
    world.look()
    assert (world.queue.depth, world.delays) == (1, [])
    world.fail["CreateRayCluster"] = refusal("CreateRayCluster", 2)
    world.look()
    assert world.delays == [1.0]


def test_what_was_done_is_looked_at_at_once() -> None:
    world = World(Plan(STATUS, (CREATE,)))
    world.look()
    assert world.queue.depth == 1


def test_progress_alone_asks_for_no_second_look() -> None:
    world = World(Plan(said("12 of 100")))
    assert world.look() == "same"
    assert world.story == ["plan", "status 12 of 100"]
    assert world.queue.depth == 0


def test_progress_alone_is_written_every_three_seconds_and_not_forgotten() -> None:
    later = [STATUS.model_copy(update={"last_progress_time": f"{at}"}) for at in range(3)]
    world = World(*map(Plan, later), Plan(STATUS.model_copy(update={"phase": "Succeeded"})))
    world.look()
    world.now += 1.0
    world.look()
    assert world.story.count(f"status {STATUS.message}") == 1
    assert world.delays[-1] == pytest.approx(2.0)
    world.now += 2.0
    world.look()
    assert world.story.count(f"status {STATUS.message}") == 2
    world.now += 0.1
    world.look()
    assert world.story.count(f"status {STATUS.message}") == 3


def test_a_new_phase_asks_for_a_second_look() -> None:
    world = World(Plan(STATUS.model_copy(update={"phase": "Stopping"})))
    world.look()
    assert world.queue.depth == 1


def test_what_was_done_a_moment_ago_is_not_done_again() -> None:
    """A drain that was asked for shows only at the next poll: until then it is not asked again."""
    world = World(*[Plan(STATUS, (DRAIN,))] * 3)
    world.look()
    world.now += 1
    assert world.look() == "same"
    assert world.delays == [4.0]
    world.now += 4
    assert world.look() == "changed"
    assert world.story.count("DrainDriver") == 2


def test_what_was_done_long_ago_is_forgotten() -> None:
    world = World(*[Plan(STATUS, (DRAIN,)), Plan(STATUS)])
    world.look()
    world.now += 6
    world.look()
    assert world.cache.entry(KEY).done == {}


def test_another_action_of_that_kind_is_done_at_once() -> None:
    world = World(
        Plan(STATUS, (CreateConfigMap("a", {}, "r"),)),
        Plan(STATUS, (CreateConfigMap("b", {}, "r"),)),
    )
    world.look()
    world.look()
    assert world.story.count("CreateConfigMap") == 2


def test_an_event_is_posted_once() -> None:
    world = World(*[Plan(STATUS, (EVENT,))] * 2)
    world.look()
    world.look()
    assert world.story.count("EmitEvent") == 1
    assert world.queue.depth == 0


@pytest.mark.parametrize("error", [refusal("EmitEvent"), ApiUnreachable("no answer")])
def test_an_event_that_cannot_be_posted_holds_nothing_up(error: Exception) -> None:
    world = World(Plan(STATUS, (EVENT, CREATE)))
    world.fail["EmitEvent"] = error
    assert world.look() == "changed"
    assert world.story == ["plan", "CreateRayCluster"]


def test_the_plan_says_when_to_look_again() -> None:
    world = World(Plan(STATUS, look_again_s=30.0))
    world.look()
    assert world.delays == [30.0]


def test_a_plan_that_is_impatient_lets_others_have_their_turn() -> None:
    world = World(Plan(STATUS, look_again_s=0.0))
    world.look()
    assert world.delays == [pytest.approx(0.05, abs=1e-3)]


def test_the_plan_says_who_is_polled() -> None:
    world = World(Plan(STATUS, poll=True), Plan(STATUS, poll=False))
    world.look()
    assert world.poller.polled == 1
    world.look()
    assert world.poller.polled == 0


def test_a_pipeline_that_is_gone_is_polled_no_more() -> None:
    world = World(Plan(STATUS, poll=True))
    world.look()
    world.cache.prune("pipeline", set(), 10**9)
    assert world.look() == "gone"
    assert world.poller.polled == 0


def test_a_pipeline_that_goes_during_the_look_is_gone() -> None:
    world = World(Plan(said("new"), (CREATE,)))
    world.fail["write_status"] = Gone("gone")
    assert world.look() == "gone"
    assert world.story == ["plan"]


@pytest.mark.parametrize(
    ("where", "error", "result"),
    [
        ("plan", RuntimeError("a bug"), "error"),
        ("observe", ApiUnreachable("no answer"), "error"),
        ("write_status", Conflict("changed"), "conflict"),
        ("CreateRayCluster", ApiUnreachable("no answer"), "error"),
        ("CreateRayCluster", KeyError("a bug"), "error"),
    ],
)
def test_whatever_goes_wrong_the_worker_goes_on_and_comes_back(
    where: str, error: Exception, result: str
) -> None:
    world = World(Plan(said("new"), (CREATE,)))
    world.fail[where] = error
    world.work()
    assert world.counted(result) == 1
    assert world.delays == [1.0]
    assert world.queue.under_way == 0


def test_every_decision_is_one_line_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    World(Plan(STATUS, (CREATE,))).look()
    (line,) = caplog.records
    assert line.getMessage() == "action done"
    assert vars(line)["pipeline"] == "team-a/clean"
    assert vars(line)["action"] == f"CreateRayCluster {CLUSTER}"
    assert vars(line)["why"] == "wanted"


def snapshot(inputs_done: int, time: float) -> SnapshotSeen:
    values = {"run_id": "r", "pipeline": "p", "state": "Running", "elapsed_s": 1.0}
    given = values | {"time": time, "inputs_done": inputs_done}
    return SnapshotSeen(SUBMISSION, ProgressSnapshot.model_validate(given), time + 1)


def test_staleness_is_measured_from_the_newest_progress_that_is_shown() -> None:
    cache = cache_with(status=RUNNING)
    shown = STATUS.model_copy(
        update={"progress": PipelineStatus.model_validate({"progress": {"inputsDone": 5}}).progress}
    )
    world = World(Plan(shown), Plan(shown), cache=cache)
    cache.put_snapshot(KEY, snapshot(5, time=NOW - 3))
    world.look()
    assert cache.entry(KEY).shown_at == NOW - 3
    # Newer progress that the status does not show yet does not make it fresher.
    cache.put_snapshot(KEY, snapshot(9, time=NOW))
    world.look()
    assert cache.entry(KEY).shown_at == NOW - 3
