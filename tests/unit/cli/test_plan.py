"""`curator plan`: what would run here, why, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_executor.cli import plan as plan_module
from curator_executor.cli.machine import Machine, this_machine
from curator_executor.cli.plan import needs, node_of, why, workers
from curator_executor.core.fusion import plan_pools
from curator_executor.core.types import Need, Node, StageSpec
from curator_executor.runtime.settings import RunSettings
from tests.unit.cli.conftest import Curator, FakeRun

LAPTOP = Machine(cpus=8, memory=16 << 30)


@pytest.fixture(autouse=True)
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "this_machine", lambda: LAPTOP)
    monkeypatch.setenv("COLUMNS", "80")


def test_plan_starts_nothing_and_says_what_would_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeRun()
    assert curator("plan", "pipeline.yaml", run=run) == 0
    assert run.calls == []
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:11] == [
        "halves: 3 stages in 3 pools of workers",
        "This machine: 8 CPUs (stages may use 8), memory 16.0 GiB, no GPU",
        "",
        "Stage           A worker takes  Batch  Workers",
        "list            1 CPU               1  1 to 8",
        "read            1 CPU               1  1 to 8",
        "halve           1 CPU               2  1 to 8",
        "",
        "list | read: own workers, because list fans out: its outputs are shared among",
        "workers",
        "read | halve: own workers, because halve takes batches of 2",
    ]


def test_stage_that_does_not_fit_ends_with_2(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("batchSize: 2", "resources: {gpus: 1}"))
    assert curator("plan", "pipeline.yaml") == 2
    out = capsys.readouterr().out
    assert "does not fit here:" in out
    assert "halve" in out.split("does not fit here:")[1]


def test_fusion_that_is_off_is_the_reason(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("plan", "pipeline.yaml", "--no-fusion") == 0
    assert "list | read: own workers, because fusion is off" in capsys.readouterr().out


def test_pools_that_take_turns_are_announced(
    folder: Path,
    curator: Curator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_module, "this_machine", lambda: Machine(cpus=1))
    assert curator("plan", "pipeline.yaml") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "takes 3 CPUs and 1 may be used: the pools take turns" in out


def test_limit_shows_as_one_worker_for_the_reader(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("plan", "pipeline.yaml", "--limit", "100") == 0
    out = capsys.readouterr().out
    assert "1 (set)" in out
    assert "note: --limit: reads at most 100 documents" in out


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (StageSpec(0, "s"), "1 to 8"),
        (StageSpec(0, "s", need=Need(cpus=3)), "1 to 2"),
        (StageSpec(0, "s", need=Need(memory=6 << 30)), "1 to 2"),
        (StageSpec(0, "s", need=Need(cpus=9)), "none fits"),
        (StageSpec(0, "s", need=Need(gpus=1)), "none fits"),
        (StageSpec(0, "s", need=Need(cpus=0)), "1 or more"),
        (StageSpec(0, "s", fixed_workers=4), "4 (set)"),
        (StageSpec(0, "s", workers_per_node=2), "2 a node"),
        (StageSpec(0, "s", min_workers=2, max_workers=5), "2 to 5"),
        (StageSpec(0, "s", is_global=True), "1 (global)"),
    ],
)
def test_bounds_of_workers_follow_from_stage_and_machine(stage: StageSpec, said: str) -> None:
    node = Node("here", cpus=8.0, memory=16 << 30)
    assert workers(stage, node, RunSettings()) == said


def test_cap_of_the_run_bounds_every_stage() -> None:
    node = Node("here", cpus=8.0)
    assert workers(StageSpec(0, "s"), node, RunSettings(max_workers_per_stage=3)) == "1 to 3"


def test_share_of_the_cores_is_at_least_one() -> None:
    shares = [node_of(Machine(cpus=n), RunSettings()).cpus for n in (1, 2, 10, 64)]
    assert shares == [1.0, 2.0, 10.0, 61.0]


def test_needs_are_said_in_words() -> None:
    assert needs(Need(cpus=1)) == "1 CPU"
    assert needs(Need(cpus=0.5, gpus=2, memory=8 << 30)) == "0.5 CPUs, 2 GPUs, 8.00 GiB"


def test_every_boundary_has_a_line() -> None:
    stages = [StageSpec(0, "a"), StageSpec(1, "b"), StageSpec(2, "c", is_global=True)]
    assert why(plan_pools(stages, fuse=True)) == [
        "a + b: one worker for both, tasks pass inside it",
        "b | c: own workers, because a global stage has its one worker for itself",
    ]


def test_limits_of_the_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    (tmp_path / "memory.max").write_text(f"{4 << 30}\n")
    (tmp_path / "meminfo").write_text("MemTotal:       65536000 kB\nMemFree: 1 kB\n")
    for name in ("nvidia0", "nvidia1", "nvidiactl", "null"):
        (tmp_path / name).touch()
    assert this_machine(tmp_path, tmp_path / "meminfo", tmp_path) == Machine(4, 4 << 30, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert this_machine(tmp_path, tmp_path / "meminfo", tmp_path).gpus == 1


def test_machine_without_limits_offers_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1024 kB\n")
    assert this_machine(tmp_path, tmp_path / "meminfo", tmp_path) == Machine(16, 1 << 20, 0)
