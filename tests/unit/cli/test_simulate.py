"""`curator simulate` and `curator plan --nodes`: a described cluster, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Curator

NODES = ("--nodes", "cpu:count=4,cpus=10,memory=16Gi")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_forecast_says_how_many_where_why_and_what_more_would_bring(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = ["--cost", "list=0.001", "--cost", "read=1", "--cost", "halve=3"]
    assert curator("plan", "pipeline.yaml", *NODES, *costs) == 0
    lines = said(capsys)
    assert lines[:2] == ["halves", "4 nodes cpu: 10 CPUs each"]
    assert "read 10 97% 10.0/s 10 on cpu slowest stage" in lines
    assert "halve 29 100% 9.67/s 29 on cpu slowest stage" in lines
    assert "Steady: 9.67 inputs/s" in lines
    assert "Held up by: halve" in lines
    assert any(line.startswith("One more node cpu: +2") for line in lines)


def test_simulated_run_says_how_long_it_takes(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = ["--cost", "list=0.001", "--cost", "read=0.01", "--cost", "halve=1"]
    options = [*NODES, *costs, "--inputs", "500", "--lose", "0.5@5", "--jitter", "0"]
    assert curator("simulate", "pipeline.yaml", *options) == 0
    lines = said(capsys)
    (line,) = [line for line in lines if line.startswith("Simulated: 500 inputs in ")]
    assert "of the steady rate" in line
    (workers,) = [line for line in lines if line.startswith("Workers started: ")]
    assert not workers.endswith("lost: 0")


def test_report_draws_the_forecast_and_the_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = ["--cost", "list=0.001", "--cost", "read=0.01", "--cost", "halve=1"]
    options = [*NODES, *costs, "--inputs", "500", "--report", "page.html"]
    assert curator("simulate", "pipeline.yaml", *options) == 0
    assert "Report: page.html" in said(capsys)
    page = (folder / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    for text in (
        "halves",
        "4 nodes cpu: 10 CPUs, 16.0 GiB each",
        "500 inputs take",
        "slowest stage",
    ):
        assert text in page
    assert page.count("<polyline") == 1 + 2 * 3 + 1
    assert "://" not in page
    assert "src=" not in page
    curator("simulate", "pipeline.yaml", *NODES, *costs, "--report", "short.html")
    assert "<polyline" not in (folder / "short.html").read_text()


def test_report_that_cannot_be_written_is_refused_before_anything_is_worked_out(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*NODES, "--report", "absent/page.html"]
    assert curator("simulate", "pipeline.yaml", *options) == 2
    assert "--report absent/page.html: No such file or directory" in capsys.readouterr().err


def test_costs_come_from_the_progress_of_a_run_and_options_go_over_it(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {"done": 10, "emitted": 10, "secondsPerTask": 2.0}
    last = {"stages": [stage | {"name": name} for name in ("list", "read", "halve")]}
    (folder / "progress.jsonl").write_text("{}\n" + json.dumps(last) + "\n")
    options = ["--measured", str(folder / "progress.jsonl"), "--cost", "list=0.1"]
    assert curator("plan", "pipeline.yaml", *NODES, *options) == 0
    lines = said(capsys)
    assert "Held up by: halve" in lines
    assert "halve 19 100% 9.50/s 19 on cpu slowest stage" in lines
    assert not any(line.startswith("note: read") for line in lines)


def test_gpu_memory_is_counted_on_each_kind_of_gpu(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = folder / "pipeline.yaml"
    whole = "batchSize: 2}"
    text = manifest.read_text()
    assert whole in text
    manifest.write_text(text.replace(whole, "resources: {gpuMemory: 10Gi}}"))
    nodes = [
        each
        for kind in ("h100:cpus=64,gpus=1,gpuMemory=80Gi", "l4:cpus=64,gpus=1,gpuMemory=24Gi")
        for each in ("--nodes", kind)
    ]
    costs = ["--cost", "list=0.0001", "--cost", "read=0.0001", "--cost", "halve=1"]
    assert curator("plan", "pipeline.yaml", *nodes, *costs) == 0
    lines = said(capsys)
    assert "halve 10 100% 10.0/s 8 on h100, 2 on l4 slowest stage" in lines
    assert curator("plan", "pipeline.yaml", "--nodes", "t4:cpus=8,gpus=1,gpuMemory=8Gi") == 2
    assert "needs 10 GB of memory on one GPU per worker, the largest node offers 8" in " ".join(
        said(capsys)
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "describe one with --nodes"),
        (("--nodes", "cpu"), "wanted NAME:cpus="),
        (("--nodes", "cpu:cores=4"), "unknown 'cores'; there are count, cpus, gpus, memory"),
        (("--nodes", "cpu:count=4"), "says no cpus"),
        (("--nodes", "cpu:cpus=many"), "cpus must be a number from 0 to 100000, got 'many'"),
        (("--nodes", "cpu:cpus=4,memory=some"), "memory: "),
        ((*NODES, *NODES), "a name of its own"),
        ((*NODES, "--cost", "haalve=1"), "there are list, read, halve. Did you mean halve?"),
        ((*NODES, "--cost", "halve=-1"), "--cost halve must be a number from 0"),
        ((*NODES, "--measured", "absent.jsonl"), "--measured absent.jsonl: wanted the file"),
    ],
)
def test_what_is_described_wrongly_is_named(
    folder: Path,
    curator: Curator,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    problem: str,
) -> None:
    assert curator("simulate", "pipeline.yaml", *options) == 2
    assert problem in " ".join(capsys.readouterr().err.split())


def test_stage_that_fits_on_no_node_is_named_and_the_command_ends_with_2(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("simulate", "pipeline.yaml", "--nodes", "tiny:cpus=0.5") == 2
    assert "needs 1 CPUs per worker, the largest node offers 0.5" in " ".join(said(capsys))
