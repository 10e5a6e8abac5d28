"""What a worker does with a call: one block, its place kept, failures told, stages set up once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor.api import NodeInfo, ProcessingStage, WorkerMetadata
from curator_executor.runtime import codec
from curator_executor.runtime.host import Piece, PoolHost, SetupError
from tests.unit.runtime.hosting import Doc, Slow, Upper, Words, ask, host_of, plan_of, roots, run


class Rows(ProcessingStage[Doc, Doc]):
    """Yields as many rows as the input says; knows how many it made."""

    name = "rows"

    def __init__(self) -> None:
        self.made = 0

    def process(self, task: Doc) -> Iterator[Doc]:
        for number in range(task.data):
            self.made += 1
            yield Doc(data=number)


class Life(Upper):
    """Notes what is done to it."""

    name = "life"

    def __init__(self, fails: int = 0, *, bad_teardown: bool = False) -> None:
        self.fails, self.bad_teardown = fails, bad_teardown
        self.story: list[Any] = []

    def setup_on_node(
        self, node_info: NodeInfo | None = None, worker_metadata: WorkerMetadata | None = None
    ) -> None:
        self.story.append(("node", node_info))

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        self.story.append(("setup", worker_metadata))
        if self.fails:
            self.fails -= 1
            raise OSError("no model")

    def teardown(self) -> None:
        self.story.append("teardown")
        if self.bad_teardown:
            raise OSError("still open")


class Bad(ProcessingStage[Doc, Doc]):
    """Raises on "b"."""

    name = "bad"

    def process(self, task: Doc) -> Doc:
        if task.data == "b":
            raise ValueError("b is bad")
        return task


class Collect(ProcessingStage[Doc, Doc]):
    """A global stage: everything in, everything out, in order."""

    name = "collect"
    is_global_stage = True

    def __init__(self) -> None:
        self.seen: list[Doc] = []

    def process(self, task: Doc) -> None:
        self.seen.append(task)

    def finish(self) -> Iterator[Doc]:
        yield from sorted(self.seen, key=lambda task: str(task.data))


# Life ----------------------------------------------------------------------------------------


def test_node_is_prepared_before_the_worker_and_once() -> None:
    pool = PoolHost(plan_of([Life()]), 7, "n9")
    seconds = pool.setup(node_setup=True)
    stage = pool.stages[0]
    me = WorkerMetadata("7", stage.resources)
    assert stage.story == [("node", NodeInfo("n9")), ("setup", me)]
    assert seconds >= 0


def test_node_that_is_prepared_is_left_alone() -> None:
    pool = PoolHost(plan_of([Life()]), 7, "n9")
    pool.setup(node_setup=False)
    assert [name for name, _ in pool.stages[0].story] == ["setup"]


def test_setup_is_tried_as_often_as_allowed() -> None:
    pool = PoolHost(plan_of([Life(fails=2)], setup_attempts=(3,)), 1, "n1")
    pool.setup(node_setup=False)
    assert [name for name, _ in pool.stages[0].story] == ["setup"] * 3


def test_failed_setup_names_its_stage_and_tears_down_those_before() -> None:
    pool = PoolHost(plan_of([Life(), Life(fails=9)], setup_attempts=(1, 2)), 1, "n1")
    with pytest.raises(SetupError) as raised:
        pool.setup(node_setup=False)
    assert (raised.value.error.stage, raised.value.error.attempts) == (1, 2)
    assert (raised.value.error.error, raised.value.error.message) == ("OSError", "no model")
    assert pool.teardown() == ""
    assert "teardown" in pool.stages[0].story
    assert "teardown" not in pool.stages[1].story


def test_teardown_goes_on_after_one_that_fails_and_tells() -> None:
    pool = host_of(Life(bad_teardown=True), Life())
    assert pool.teardown() == "stage life: teardown failed: OSError('still open')"
    assert pool.stages[1].story[-1] == "teardown"
    assert pool.teardown() == ""


# Calls ---------------------------------------------------------------------------------------


def test_call_without_output_has_no_block() -> None:
    pool = host_of(Words())
    payload, size = codec.encode(roots(""))
    report, block = pool.call([Piece(payload, 0, 1, size)])
    assert block is None
    assert (report.consumed, report.out_tasks, report.out_bytes, report.more) == (1, 0, 0, False)


def test_report_counts_bytes_in_and_out() -> None:
    pool = host_of(Upper())
    payload, size = codec.encode(roots("a" * 1000, "b" * 1000))
    report, block = pool.call([Piece(payload, 0, 2, size / 2)])
    assert report.in_bytes == size
    assert report.out_bytes == sum(len(header) for _, header, _ in block or [])
    assert report.wall_s > 0
    assert report.idle_s >= 0


def test_full_block_comes_back_and_the_rest_is_made_when_it_is_asked_for() -> None:
    pool = host_of(Rows(), block_bytes=1500)
    payload, size = codec.encode(roots(100))
    report, block = pool.call([Piece(payload, 0, 1, size)])
    assert (report.consumed, report.more) == (0, True)
    assert 0 < report.out_tasks < 50
    assert report.emitted_of_current == report.out_tasks == pool.stages[0].made
    assert [t.data for t in codec.decode(block or [], ())] == list(range(report.out_tasks))
    rest = ask(pool)
    assert rest.data == list(range(report.out_tasks, 100))
    assert [r.consumed for r in rest.reports] == [0] * (len(rest.reports) - 1) + [1]


def test_listed_fan_out_that_is_too_large_comes_back_in_pieces() -> None:
    class Lists(ProcessingStage[Doc, Doc]):
        name = "lists"

        def process(self, task: Doc) -> list[Doc]:
            return [Doc(data="x" * 500) for _ in range(20)]

    answer = run(Lists(), tasks=roots("a"), block_bytes=3000)
    assert len(answer.reports) > 2
    assert max(report.out_tasks for report in answer.reports) <= 6
    assert answer.ids == [f"0_0_{n}" for n in range(20)]


def test_call_comes_back_after_ten_times_its_aim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: Slow.now)
    answer = ask(host_of(Slow(), target_call_s=0.1), roots(*range(7)))
    assert [report.consumed for report in answer.reports] == [3, 3, 1]
    assert [report.more for report in answer.reports] == [True, True, False]


def test_inputs_are_worked_on_in_the_order_of_their_calls() -> None:
    pool = host_of(Rows(), block_bytes=1500)
    first, size = codec.encode(roots(30))
    second, _ = codec.encode(roots(2))
    outputs: list[Any] = []
    report, block = pool.call([Piece(first, 0, 1, size)])
    assert report.more
    outputs += codec.decode(block or [], ())
    report, block = pool.call([Piece(second, 0, 1, size)])
    outputs += codec.decode(block or [], ())
    while len(pool.held):
        report, block = pool.call([])
        outputs += codec.decode(block or [], ())
    assert [task.data for task in outputs] == [*range(30), 0, 1]


def test_piece_is_a_part_of_its_payload() -> None:
    tasks = roots(*(str(n) for n in range(1200)))
    payload, _ = codec.encode(tasks)
    assert len(payload) == 3
    pool = host_of(Upper())
    report, block = pool.call([Piece(payload, 500, 530, 1), Piece(payload, 1199, 1200, 1)])
    assert [t.data for t in codec.decode(block or [], ())] == [
        *(str(n) for n in range(500, 530)),
        "1199",
    ]
    assert report.consumed == 31


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_batches_go_across_pieces(batch_size: int) -> None:
    class Sizes(ProcessingStage[Doc, Doc]):
        name = "sizes"

        def process(self, task: Doc) -> Doc:
            raise NotImplementedError

        def process_batch(self, tasks: list[Doc]) -> list[Doc]:
            return [Doc(data=[task.data for task in tasks])]

    stage = Sizes()
    stage.batch_size = batch_size
    payload, _ = codec.encode(roots(*range(10)))
    pool = host_of(stage)
    _, block = pool.call(
        [Piece(payload, 0, 4, 1), Piece(payload, 4, 5, 1), Piece(payload, 5, 10, 1)]
    )
    found = [task.data for task in codec.decode(block or [], ())]
    assert found == [list(range(10))[n : n + batch_size] for n in range(0, 10, batch_size)]


# Replays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [0, 1, 5, 9])
def test_replay_leaves_out_what_was_passed_on(skip: int) -> None:
    answer = ask(host_of(Rows()), roots(10), skip=skip)
    assert answer.data == list(range(skip, 10))
    assert answer.ids == [f"0_0_{n}" for n in range(skip, 10)]


def test_replay_that_comes_back_before_it_is_there_knows_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1. 8 outputs were passed on. 2. The replay's time is up at the third. 3. It dies there.

    If it said "three", the next replay would pass on five of them again.
    """
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    pool = host_of(Rows(), target_call_s=1.0)
    payload, size = codec.encode(roots(20))
    report, block = pool.call([Piece(payload, 0, 1, size)], skip=8)
    assert (report.more, block) == (True, None)
    assert report.emitted_of_current == 8


def test_skip_counts_for_the_first_batch_only() -> None:
    pool = host_of(Rows())
    payload, size = codec.encode(roots(3, 3))
    _, block = pool.call([Piece(payload, 0, 2, size)], skip=2)
    assert [task.data for task in codec.decode(block or [], ())] == [2, 0, 1, 2]


# Failures ------------------------------------------------------------------------------------


def test_ignored_failure_costs_its_own_batch_only() -> None:
    stage = Bad()
    stage.batch_size = 2
    answer = run(stage, tasks=roots(*"abcd"), ignore_failures=(True,))
    assert answer.data == ["c", "d"]
    assert [error.task_ids for error in answer.errors] == [("0_0", "0_1")]
    assert answer.reports[0].consumed == 4


def test_failure_that_counts_ends_the_call() -> None:
    answer = run(Bad(), tasks=roots(*"abcd"))
    assert (answer.data, [error.message for error in answer.errors]) == (["a"], ["b is bad"])
    assert answer.reports[0].consumed == 4


def test_ignored_failure_of_a_fused_stage_costs_its_own_task_only() -> None:
    answer = run(Words(), Bad(), tasks=roots("a b c", "b d"), ignore_failures=(True, True))
    assert answer.data == ["a", "c", "d"]
    assert [(error.stage, error.task_ids) for error in answer.errors] == [
        (1, ("0_0_1",)),
        (1, ("0_1_0",)),
    ]


def test_failure_of_our_own_drops_the_input_it_was_on() -> None:
    pool = host_of(Upper())
    with pytest.raises(ValueError, match="unpack"):
        pool.call([Piece([(1,)], 0, 1, 1)])  # type: ignore[list-item]
    pool.drop()
    assert ask(pool, roots("a")).data == ["A"]


# Fusion --------------------------------------------------------------------------------------


class Keeps(ProcessingStage[Doc, Doc]):
    """Emits one object twice."""

    name = "keeps"

    def process(self, task: Doc) -> list[Doc]:
        out = Doc(data=[task.data])
        return [out, out]


class Appends(ProcessingStage[Doc, Doc]):
    name = "appends"

    def process(self, task: Doc) -> Doc:
        task.data.append("!")
        return task


def test_fused_stage_gets_a_copy_of_what_the_one_before_may_have_kept() -> None:
    assert run(Keeps(), Appends(), tasks=roots("a")).data == [["a", "!"], ["a", "!"]]


def test_pure_stage_hands_its_own_object_on() -> None:
    class Makes(ProcessingStage[Doc, Doc]):
        name = "makes"
        is_pure = True

        def process(self, task: Doc) -> Doc:
            return Doc(data=[task.data])

    assert run(Makes(), Appends(), tasks=roots("a", "b")).data == [["a", "!"], ["b", "!"]]


def test_fused_and_separate_stages_give_the_same_tasks() -> None:
    tasks = roots("a b", "c", "")
    together = run(Words(), Upper(), tasks=tasks)
    first = run(Words(), tasks=tasks, names=("words", "upper"))
    apart = run(Upper(), tasks=first.tasks, indexes=(1,), names=("words", "upper"))
    assert (together.data, together.ids, together.keys) == (apart.data, apart.ids, apart.keys)
    assert [s.stage_name for s in apart.tasks[0]._stage_perf] == ["words", "upper"]


# Global stages -------------------------------------------------------------------------------


def test_global_stage_emits_when_it_is_told_to_finish() -> None:
    pool = host_of(Collect())
    taken = ask(pool, roots("b", "c", "a"))
    assert (taken.tasks, taken.reports[0].consumed, taken.reports[0].finished) == ([], 3, False)
    answer = ask(pool, finish=True)
    assert answer.data == ["a", "b", "c"]
    assert answer.reports[-1].finished
    # A task that went in keeps its lineage: child of itself.
    assert answer.ids == ["0_2_0", "0_0_0", "0_1_0"]


def test_global_stage_finishes_block_by_block_and_again_from_where_it_was() -> None:
    words = [f"{n:03}" for n in range(40)]
    pool = host_of(Collect(), block_bytes=1500)
    ask(pool, roots(*words))
    whole = ask(pool, finish=True)
    assert [report.finished for report in whole.reports] == [False] * (len(whole.reports) - 1) + [
        True
    ]
    again = host_of(Collect())
    ask(again, roots(*words))
    assert ask(again, finish=True, skip=25).ids == whole.ids[25:]


def test_global_stage_that_fails_to_finish_is_told() -> None:
    class Fails(Collect):
        def finish(self) -> Iterator[Doc]:
            yield Doc(data=1)
            raise OSError("disk full")

    pool = host_of(Fails())
    ask(pool, roots("a"))
    answer = ask(pool, finish=True)
    assert [(error.error, error.message) for error in answer.errors] == [("OSError", "disk full")]


def test_idle_time_is_since_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    pool = host_of(Upper())
    now[0] = 130.0
    first = ask(pool, roots("a"))
    now[0] = 137.0
    second = ask(pool, roots("b"))
    assert [first.reports[0].idle_s, second.reports[0].idle_s] == [30.0, 7.0]
    assert [a.tasks[0]._stage_perf[0].actor_idle_time for a in (first, second)] == [30.0, 7.0]
