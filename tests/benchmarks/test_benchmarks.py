"""The quick form, judged: outputs right, nothing spilled or left behind, nothing slower than known.

`BENCHMARK_RESULTS=out.json` judges measurements made before instead of making new ones.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.figures import Figure, faults, figures, load_bounds
from tests.benchmarks.run import measure
from tests.benchmarks.workloads import WORKLOADS

# Five minutes on an idle machine with two cores.
pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1_200)]

NAMES = [*WORKLOADS, "I"]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    kept = os.environ.get("BENCHMARK_RESULTS")
    if kept:
        made: dict[str, Any] = json.loads(Path(kept).read_text())
        return made
    return measure("quick")


@pytest.fixture(scope="module")
def figure_by_name(results: dict[str, Any]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(results)}


@pytest.mark.parametrize("workload", NAMES)
def test_outputs_are_right_and_nothing_spills_or_stays_behind(
    results: dict[str, Any], workload: str
) -> None:
    runs = [run for run in results["runs"] if run["workload"] == workload]
    assert runs, f"{workload} was not run"
    assert faults({"runs": runs}) == []


@pytest.mark.parametrize("name", load_bounds())
def test_no_figure_is_worse_than_its_bound_allows(
    figure_by_name: dict[str, Figure], name: str
) -> None:
    figure = figure_by_name[name]
    assert figure.bound.holds(figure.value), (
        f"{figure.bound.title}: {figure.value:.3g} {figure.bound.unit}, "
        f"no worse than {figure.bound.limit:.3g} wanted ({figure.bound.better} is better)"
    )
