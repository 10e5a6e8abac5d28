"""Figures come out of measurements as said, and verdicts out of figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.benchmarks.constants import BEST_COUNTS, SLEEPS_S
from tests.benchmarks.contender import problems_of
from tests.benchmarks.figures import (
    FORMULAS,
    Bound,
    Figure,
    Measurements,
    faults,
    figures,
    load_bounds,
)
from tests.benchmarks.measure import Measurement, as_json
from tests.benchmarks.plan import PLAN, planned
from tests.benchmarks.report import markdown, replace_between_markers, text_table
from tests.benchmarks.workloads import W1, W1B, Number

BOUND = Bound("a rate", "x", "higher", target=10, margin=0.5)
META = {
    "mode": "quick",
    "date": "2026-01-01",
    "seconds": 1.0,
    "load_before": 0.0,
    "hardware": {
        "cpu": "a CPU",
        "cores": 2,
        "memory_gib": 8.0,
        "logical_cpus": 8,
        "python": "3.11",
        "ray": "2.60",
    },
}


def run_of(workload: str, contestant: str, *measurements: Measurement) -> dict[str, Any]:
    return {
        "workload": workload,
        "contestant": contestant,
        "store_bytes": 1_000,
        "measurements": [as_json(m) for m in measurements],
    }


def measured(*runs: dict[str, Any]) -> Measurements:
    return Measurements({"runs": list(runs)})


def test_the_steady_rate_leaves_the_start_up_out() -> None:
    m = measured(run_of("W1", "ours", Measurement(1, 2.0, 0.0), Measurement(1_001, 12.0, 0.0)))
    assert m.steady_per_s("W1", "ours") == 100.0


def test_the_whole_run_counts_the_start_up() -> None:
    m = measured(run_of("W1", "ours", Measurement(1, 2.0, 0.0), Measurement(1_200, 12.0, 0.0)))
    assert m.whole_per_s("W1", "ours") == 100.0


def test_the_median_of_the_repetitions_counts() -> None:
    runs = [Measurement(10, wall_s, 0.0) for wall_s in (1.0, 2.0, 100.0)]
    assert measured(run_of("W1", "ours", *runs)).whole_per_s("W1", "ours") == 5.0


def test_cpu_is_per_task_and_stage_and_without_the_start_up() -> None:
    one = Measurement(1, 1.0, 1.0, worker_cpu_s=4.0)
    large = Measurement(100_001, 5.0, 2.0, worker_cpu_s=9.0)
    m = measured(run_of("W1", "ours", one, large))
    both = ("driver_cpu_s", "worker_cpu_s")
    assert m.steady_cpu_us("W1", "ours", both) == pytest.approx(20.0)


def test_a_contestant_that_was_not_measured_makes_no_figure() -> None:
    ours = run_of("W1", "ours", Measurement(1, 1.0, 0.0), Measurement(100, 2.0, 0.0))
    names = {figure.name for figure in figures({"runs": [ours]})}
    assert "W1_cpu_all_us" in names
    assert "W1_steady_vs_raw" not in names


def test_every_bound_has_a_formula_and_every_formula_a_bound() -> None:
    assert set(load_bounds()) == set(FORMULAS)


def test_a_bound_without_a_mean_is_taken_from_the_target() -> None:
    assert BOUND.limit == 5.0
    assert replace(BOUND, mean=30.0).limit == 15.0


def test_what_is_better_lower_may_exceed_its_mean_by_the_margin() -> None:
    bound = replace(BOUND, better="lower", mean=4.0)
    assert bound.limit == 6.0
    assert bound.holds(6.0)
    assert not bound.holds(6.1)


def test_the_terminal_says_which_target_is_missed_and_what_regressed() -> None:
    good, short, bad = (Figure("f", value, BOUND) for value in (11.0, 6.0, 4.0))
    lines = text_table([good, short, bad]).splitlines()
    assert ["yes" in line for line in lines] == [True, False, False]
    assert ["REGRESSION" in line for line in lines] == [False, False, True]


def test_the_memory_ratio_compares_the_two_sizes_of_m() -> None:
    small = run_of("M", "ours", Measurement(10, 1.0, 0.0, anon_peak=100))
    large = run_of("M", "ours", Measurement(100, 1.0, 0.0, anon_peak=120))
    assert FORMULAS["M_driver_peak_ratio"](measured(small, large)) == pytest.approx(1.2)


def test_an_idle_process_is_judged_against_the_idle_raw_actor() -> None:
    def process(role: str, title: str, pid: int, cpu_s: float) -> dict[str, Any]:
        return {"role": role, "title": title, "pid": pid, "fine_cpu_s": cpu_s, "cpu_s": 0.0}

    processes = [
        process("driver", "python", 1, 0.4),
        process("worker", "ray::Worker", 2, 0.1),
        process("worker", "ray::Ours", 3, 0.2),
        process("worker", "ray::IDLE", 4, 9.0),
        process("raylet", "raylet", 5, 9.0),
    ]
    m = measured(run_of("I", "ours", Measurement(1, 100.0, 0.0, processes=processes)))
    assert FORMULAS["I_above_idle_actor_percent"](m) == pytest.approx(0.3)


def test_spilling_wrong_outputs_and_leftovers_are_faults_of_ours() -> None:
    m = Measurement(7, 1.0, 0.0, spilled=5, left_behind=["ray::X"], problems=["2 missing"])
    found = faults({"runs": [run_of("W1", "ours", m)]})
    assert found == [
        "W1 ours n=7: 2 missing",
        "W1 ours n=7: left behind: ray::X",
        "W1 ours n=7: 5 bytes were spilled to disk",
    ]


def test_a_baseline_may_spill_but_not_be_wrong() -> None:
    m = Measurement(7, 1.0, 0.0, spilled=5, left_behind=["ray::X"], problems=["2 missing"])
    assert faults({"runs": [run_of("W1", "raw", m)]}) == ["W1 raw n=7: 2 missing"]


def test_a_contestant_that_failed_is_a_fault() -> None:
    run = {**run_of("W1", "raw"), "error": "ended with 1"}
    assert faults({"runs": [run]}) == ["W1 raw: ended with 1"]


def test_a_report_says_on_what_it_was_measured_and_what_went_wrong() -> None:
    run = run_of("W1", "ours", Measurement(1, 1.0, 0.0, problems=["1 missing"]))
    text = markdown({"meta": META, "runs": [run]})
    assert "a CPU, 2 cores" in text
    assert "- W1 ours n=1: 1 missing" in text


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb\n"
    assert replace_between_markers(page, "new\n") == page.replace("old", "new")


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        replace_between_markers("nothing", "new")


def test_ray_data_goes_last_on_its_node() -> None:
    nodes: dict[tuple[int, int], list[bool]] = {}
    for plan in planned("full"):
        is_ray_data = plan.assignment.contestant.startswith("ray_data")
        nodes.setdefault(plan.node, []).append(is_ray_data)
    assert all(order == sorted(order) for order in nodes.values())
    assert sum(any(order) for order in nodes.values()) == 2


def test_free_scaling_has_a_node_whose_cores_are_the_best_counts() -> None:
    (node,) = {p.node for p in planned("full", frozenset({"W3", "W3s"}))}
    assert node[1] == sum(BEST_COUNTS)
    rates = [count / s for count, s in zip(BEST_COUNTS, SLEEPS_S["W3s"], strict=True)]
    for k in range(3):
        for j in range(3):
            moved = list(BEST_COUNTS)
            moved[k] += 1
            moved[j] -= 1
            other = [count / s for count, s in zip(moved, SLEEPS_S["W3s"], strict=True)]
            assert min(other) <= min(rates), (moved, other)


def test_the_full_form_runs_every_entry() -> None:
    assert len(planned("full")) == sum(entry.rounds for entry in PLAN) + 1


def test_contestants_take_turns_so_that_a_busy_minute_hits_them_all() -> None:
    order = [p.assignment.contestant for p in planned("full", frozenset({"W5"}))]
    assert order == [*["ours", "ours_fused", "raw"] * 3, "ray_data"]


def passed_on(
    values: list[int], names: tuple[str, ...] = ("first", "second", "third"), items: int = 1
) -> list[Any]:
    from curator_executor import StagePerfStats

    tasks = []
    for value in values:
        task = Number("bench", value)
        task.task_id = f"0_{value}"
        task._lineage_key = value.to_bytes(16)
        task._stage_perf = [StagePerfStats(name, num_items_processed=items) for name in names]
        tasks.append(task)
    return tasks


def test_right_outputs_have_no_problems(tmp_path: Any) -> None:
    assert problems_of(W1, 3, passed_on([0, 1, 2]), tmp_path) == []


def test_a_lost_and_a_doubled_task_are_seen(tmp_path: Any) -> None:
    found = problems_of(W1, 3, passed_on([0, 1, 1]), tmp_path)
    assert found == [
        "outputs differ: 1 missing (e.g. 2), 1 too many (e.g. 1)",
        "1 task ids occur again, e.g. '0_1'",
        f"1 lineage keys occur again, e.g. {(1).to_bytes(16)!r}",
    ]


def test_a_short_lineage_key_is_seen(tmp_path: Any) -> None:
    tasks = passed_on([0])
    tasks[0]._lineage_key = b"x"
    assert problems_of(W1, 1, tasks, tmp_path) == ["1 lineage keys are not 16 bytes long"]


def test_a_missing_stage_figure_is_seen(tmp_path: Any) -> None:
    (problem,) = problems_of(W1, 1, passed_on([0], names=("first", "third")), tmp_path)
    assert "lack one figure per stage" in problem


def test_a_negative_time_is_seen(tmp_path: Any) -> None:
    tasks = passed_on([0])
    tasks[0]._stage_perf[1].process_time = -1.0
    assert problems_of(W1, 1, tasks, tmp_path) == ["1 tasks have a negative process_time"]


def test_a_batch_that_is_not_full_before_the_end_is_seen(tmp_path: Any) -> None:
    found = problems_of(W1B, 64, passed_on(list(range(64)), items=16), tmp_path)
    assert len(found) == 3
    assert "wanted {32: 64}" in found[0]
