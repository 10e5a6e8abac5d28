"""A stage is called as it asked, and its figures are true."""

from __future__ import annotations

import pytest

from curator_executor.api import ProcessingStage
from tests.unit.runtime.hosting import Doc, Each, Once, Upper, Words, ask, host_of, roots, run

# Figures --------------------------------------------------------------------------------------


def test_figures_of_one_to_one() -> None:
    answer = run(Upper(), tasks=roots("a", "b", items=5))
    (stats,) = answer.tasks[0]._stage_perf
    assert (stats.stage_name, stats.num_items_processed) == ("upper", 5)
    assert stats.process_time > 0
    figures = answer.figures()
    assert (figures.tasks_in, figures.tasks_out, figures.items, figures.batches) == (2, 2, 10, 2)


def test_figures_of_a_batch_are_those_of_the_whole_batch() -> None:
    stage = Each(lambda tasks: tasks, 4)
    answer = run(stage, tasks=roots(*"abcdef", items=3))
    assert [task._stage_perf[0].num_items_processed for task in answer.tasks] == [12] * 4 + [6] * 2
    assert answer.figures().batches == 2


def test_figures_of_what_is_filtered_still_count() -> None:
    answer = run(Once(lambda task: None), tasks=roots("a", "b"))
    figures = answer.figures()
    assert answer.tasks == []
    assert (figures.tasks_in, figures.tasks_out, figures.filtered) == (2, 0, 2)


def test_figures_of_a_generator_count_its_input_once() -> None:
    answer = run(Words(), Once(lambda t: iter([t, t])), tasks=roots("a b"))
    assert [len(task._stage_perf) for task in answer.tasks] == [2] * 4
    figures = answer.figures(1)
    assert (figures.tasks_in, figures.tasks_out, figures.batches) == (2, 4, 2)


def test_generator_shares_its_time_between_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(Once(lambda t: (Doc(data=n) for n in range(3))), tasks=roots("a"))
    per_output = [task._stage_perf[0].process_time for task in answer.tasks]
    report = answer.reports[0].figures[0]
    assert sum(per_output) <= report.process_s
    assert all(seconds > 0 for seconds in per_output)


def test_fused_stages_have_a_figure_each_in_order() -> None:
    upper = Upper()
    answer = run(Words(), upper, tasks=roots("a b"))
    assert [s.stage_name for s in answer.tasks[0]._stage_perf] == ["words", "upper"]
    assert (answer.figures(0).tasks_out, answer.figures(1).tasks_in) == (2, 2)


def test_merge_counts_a_shared_batch_once() -> None:
    words = run(Words(), tasks=roots("a b", "c", items=7)).tasks
    merged = run(Each(lambda tasks: [Doc()], 3), tasks=words, names=("words", "each"), indexes=(1,))
    (first, second) = merged.tasks[0]._stage_perf
    assert (first.stage_name, first.num_items_processed) == ("words", 14)
    assert (second.stage_name, second.num_items_processed) == ("each", 3)


def test_figures_that_a_task_came_with_stay_in_front() -> None:
    tasks = roots("a")
    tasks[0].__dict__["_perf_prior"] = ("earlier",)
    (earlier, own) = run(Upper(), tasks=tasks).tasks[0]._stage_perf
    assert (earlier, own.stage_name) == ("earlier", "upper")


def test_custom_metrics_reach_the_outputs_of_their_own_batch() -> None:
    class Counts(ProcessingStage[Doc, Doc]):
        name = "counts"

        def process(self, task: Doc) -> Doc:
            self._log_metric("length", len(task.data))
            return task

    answer = run(Counts(), tasks=roots("a", "bbb"))
    assert [t._stage_perf[0].custom_metrics for t in answer.tasks] == [
        {"length": 1.0},
        {"length": 3.0},
    ]
    assert answer.figures().metrics == {"length": 4.0}


def test_dropped_and_kept_reach_the_report() -> None:
    class Filters(ProcessingStage[Doc, Doc]):
        name = "filters"

        def process(self, task: Doc) -> Doc | None:
            if len(task.data) < 2:
                self._log_dropped("short", sample=task.data)
                return None
            self._log_kept(sample=task.data)
            return task

    (figures,) = run(Filters(), tasks=roots("a", "bb", "c")).reports[0].figures
    assert (figures.dropped, figures.kept) == ({"short": 2}, 1)
    assert (figures.kept_samples, figures.dropped_samples) == (
        ["bb"],
        [("short", "a"), ("short", "c")],
    )


# Batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "sizes"), [(7, [7]), (20, [7, 7, 6]), (6, [6])])
def test_batches_have_exactly_their_size(tasks: int, sizes: list[int]) -> None:
    host = host_of(Each(lambda batch: batch, 7))
    ask(host, roots(*range(tasks)))
    assert host.stages[0].sizes == sizes


def test_instance_with_its_own_process_batch_is_called_by_it() -> None:
    stage = Upper()
    stage.process_batch = Each(lambda tasks: [Doc(data="mine")], 1).process_batch  # type: ignore[method-assign]
    assert run(stage, tasks=roots("a")).data == ["mine"]


def test_process_batch_may_return_any_iterable() -> None:
    assert run(Each(tuple, 2), tasks=roots("a", "b", "c")).data == ["a", "b", "c"]
    assert run(Each(iter, 2), tasks=roots("a", "b", "c")).data == ["a", "b", "c"]
    assert run(Each(iter, 1), tasks=roots("a", "b")).data == ["a", "b"]


def test_generators_in_a_batch_are_taken_to_their_end() -> None:
    stage = Once(lambda task: (Doc(data=word) for word in task.data.split()), batch_size=2)
    answer = run(stage, tasks=roots("a b", "c"))
    assert (answer.data, answer.ids) == (["a", "b", "c"], ["0_0_0", "0_0_1", "0_1_0"])
