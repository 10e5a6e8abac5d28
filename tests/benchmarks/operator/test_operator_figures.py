"""Figures of the operator come out of what was seen as said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.benchmarks.figures import load_bounds
from tests.benchmarks.operator.figures import (
    BOUNDS,
    MIB,
    Seen,
    figures,
    growth,
    quantile,
    staleness,
    stalenesses,
)
from tests.benchmarks.operator.load import NAMESPACES, WITH_CLUSTER, kind_of, late, load, script_of
from tests.benchmarks.operator.observer import Watched, counts_of
from tests.benchmarks.operator.report import BEGIN, END, markdown, replaced, text_table
from tests.cluster.ray_jobs import Job

SERVED = [Seen(10.0, (1, 1)), Seen(16.0, (2, 2)), Seen(22.0, (3, 3))]
META = {
    "pipelines": 1000,
    "running": 200,
    "steady_s": 60.0,
    "late": 5,
    "date": "2026-01-01",
    "seconds": 100,
    "load_before": 0.1,
    "hardware": {"cpu": "a CPU", "cores": 2, "python": "3.11"},
}


def results(**measured: float) -> dict[str, Any]:
    return {"meta": META, "measured": measured, "beside": {"jobs": 7}, "faults": []}


def test_a_status_is_as_old_as_the_snapshot_that_it_shows() -> None:
    assert staleness(SERVED, [Seen(10.5, (1, 1))], at=15.0) == 5.0


def test_a_snapshot_that_was_fetched_and_not_shown_makes_nothing_younger() -> None:
    assert staleness(SERVED, [Seen(10.5, (1, 1))], at=23.0) == 13.0


def test_of_alike_snapshots_the_newest_counts() -> None:
    served = [*SERVED, Seen(28.0, (3, 3))]
    assert staleness(served, [Seen(22.5, (3, 3))], at=30.0) == 2.0


def test_a_snapshot_of_later_is_not_what_was_shown_before() -> None:
    served = [*SERVED, Seen(28.0, (1, 1))]
    assert staleness(served, [Seen(10.5, (1, 1))], at=25.0) == 15.0


def test_a_status_that_shows_what_nobody_served_has_no_age() -> None:
    assert staleness(SERVED, [Seen(10.5, (9, 9))], at=15.0) is None
    assert staleness(SERVED, [], at=15.0) is None


def test_each_pipeline_is_looked_at_at_each_time_and_wrong_ones_are_named() -> None:
    shown = {"a": [Seen(10.5, (1, 1))], "b": [Seen(10.5, (9, 9))]}
    assert stalenesses({"a": SERVED, "b": SERVED}, shown, [11.0, 12.0]) == ([1.0, 2.0], ["b"])


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile(range(1, 101), 0.95) == 95
    assert quantile([1.0, 9.0], 0.99) == 9.0
    assert math.isnan(quantile([], 0.5))


def test_growth_is_what_ten_minutes_add() -> None:
    assert growth([(t, 100 * MIB + t * MIB // 100) for t in range(0, 301, 100)]) == 6.0
    assert growth([(0.0, 5), (60.0, 5)]) == 0.0
    assert math.isnan(growth([(0.0, 5)]))


@pytest.mark.parametrize(("pipelines", "running"), [(200, 40), (1000, 200), (5, 5), (7, 3)])
def test_the_load_has_as_many_as_were_asked_for(pipelines: int, running: int) -> None:
    made = load(pipelines, running)
    assert len({one.key for one in made}) == pipelines
    assert sum(one.kind == "run" for one in made) == running
    assert {one.namespace for one in made} <= set(NAMESPACES)


def test_the_kind_is_in_the_name() -> None:
    assert all(kind_of(one.name) == one.kind for one in [*load(20, 5), *late(3)])
    with pytest.raises(ValueError, match="begins with one of"):
        kind_of("other-1")


def test_only_those_that_are_held_get_no_cluster() -> None:
    assert all(
        (one.kind in WITH_CLUSTER) is not one.manifest()["spec"]["suspend"]
        for one in [*load(20, 5), *late(3)]
    )


def test_every_poll_of_a_running_pipeline_has_something_new_to_show() -> None:
    for one in load(8, 8):
        job = Job("1-1", {}, script_of(one.name), submitted_at=0.0)
        snapshots = [job.fetch(at) for at in (0.0, 0.5, 1.0, 3599.0)]
        assert len({snapshot.inputs_done for snapshot in snapshots if snapshot}) == 4


def test_counts_are_those_of_the_inputs_and_of_each_stage() -> None:
    status = {"progress": {"inputsDone": 5}, "stages": [{"name": "read", "done": 4}, {"name": "x"}]}
    assert counts_of(status) == (5, 4, 0)
    assert counts_of({"phase": "Starting"}) == ()


def test_a_status_of_an_older_spec_has_not_judged_the_newest() -> None:
    assert not Watched({"observedGeneration": 1}, generation=2).is_judged
    assert Watched({"observedGeneration": 2}, generation=2).is_judged


def test_every_figure_that_was_measured_is_judged() -> None:
    every = dict.fromkeys(load_bounds(BOUNDS), 1.0)
    assert {one.name for one in figures(results(**every))} == set(every)
    assert [one.name for one in figures(results(restart_s=3.0))] == ["restart_s"]


def test_the_terminal_says_what_is_missed() -> None:
    lines = text_table(figures(results(staleness_p95_s=9.0, restart_s=61.0))).splitlines()
    assert ["yes" in line for line in lines] == [True, False]
    assert ["REGRESSION" in line for line in lines] == [False, True]


def test_the_page_has_a_column_for_each_run() -> None:
    text = markdown([results(restart_s=3.0), results(restart_s=61.0, apply_p99_s=1.0)])
    assert "| Restart → every pipeline is reconciled | 3 s | 61 s (missed) | ≤ 60 s |" in text
    assert "| – | 1 s | ≤ 5 s |" in text
    assert "| jobs | 7 | 7 |" in text


def test_what_went_wrong_stands_on_the_page() -> None:
    assert "- lost" in markdown([results() | {"faults": ["lost"]}])


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(ValueError, match="needs the lines"):
        replaced("nothing", "new")
