"""`curator run`: exit codes, what is handed to the run, what is said."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from curator_api.progress import RunReport
from curator_executor.core.errors import DoesNotFit, StageFailed
from curator_executor.runtime.failed_tasks import load_failed
from curator_executor.runtime.run import RunOutcome
from curator_executor.sinks.jsonl import read_progress
from tests.unit.cli.conftest import Curator, FakeRun, clean_report, failed_batch
from tests.unit.sinks.runs import report


def test_clean_run_ends_with_0(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml") == 0
    assert "text-pipeline Succeeded in 3m12s" in capsys.readouterr().out


def test_run_gets_what_the_manifest_says(folder: Path, curator: Curator) -> None:
    run = FakeRun()
    curator("run", "pipeline.yaml", run=run)
    [call] = run.calls
    assert [stage.name for stage in call["stages"]] == ["list", "read", "halve"]
    assert call["name"] == "halves"
    assert str(folder) in call["context"].environment.python_paths


def test_failed_stage_ends_with_1_and_its_message(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = StageFailed('stage "halve" failed on task 0_1: ZeroDivisionError')
    assert curator("run", "pipeline.yaml", run=FakeRun(ending=failed)) == 1
    said = capsys.readouterr().err
    assert 'curator: stage "halve" failed on task 0_1: ZeroDivisionError' in said
    assert "Traceback" not in said


def test_verbose_shows_the_traceback(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    curator("run", "pipeline.yaml", "--verbose", run=FakeRun(ending=StageFailed("no")))
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_stage_that_fits_nowhere_ends_with_2(folder: Path, curator: Curator) -> None:
    assert curator("run", "pipeline.yaml", run=FakeRun(ending=DoesNotFit("8 GPUs"))) == 2


def test_dead_letters_end_with_3(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml", run=FakeRun(outcome=RunOutcome([], report()))) == 3
    assert "done, but 1 batch (3 tasks) failed: dead letters" in capsys.readouterr().err


def test_cancelled_run_ends_with_130(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml", run=FakeRun(ending=KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.endswith("curator: cancelled\n")


def test_sigterm_cancels_like_ctrl_c(folder: Path, curator: Curator) -> None:
    class Terminated(FakeRun):
        def __call__(self, *given: Any, **options: Any) -> RunOutcome:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(*given, **options)

    before = signal.getsignal(signal.SIGTERM)
    assert curator("run", "pipeline.yaml", run=Terminated()) == 130
    assert signal.getsignal(signal.SIGTERM) is before


def test_unexpected_error_says_so_in_one_line(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml", run=FakeRun(ending=KeyError("x"))) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == "curator: unexpected error (--verbose shows where): KeyError: 'x'"


def test_wrong_manifest_ends_with_2_before_the_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text().replace("Halver", "Halfer")
    (folder / "pipeline.yaml").write_text(text)
    run = FakeRun()
    assert curator("run", "pipeline.yaml", run=run) == 2
    assert run.calls == []
    said = capsys.readouterr().err
    assert "pipeline.yaml: spec.stages[2]" in said
    assert "Did you mean Halver?" in said


def test_failed_check_ends_with_2_before_the_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text().replace("Halver", "Checked")
    (folder / "pipeline.yaml").write_text(text)
    run = FakeRun()
    assert curator("run", "pipeline.yaml", run=run) == 2
    assert run.calls == []
    assert "the model file is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "pipeline.yaml", "--limit", "0"),
        ("run", "pipeline.yaml", "--mode", "streamin"),
        ("run", "pipeline.yaml", "--rep", "x"),
        ("runn", "pipeline.yaml"),
        (),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, curator: Curator, arguments: tuple[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        curator(*arguments)
    assert ended.value.code == 2


def test_options_go_over_the_manifest(folder: Path, curator: Curator) -> None:
    run = FakeRun()
    options = ["--mode", "batch", "--no-fusion", "--ignore-failures"]
    options += ["--set", "maxWorkersPerStage=2", "--set", "spec.execution.drain_seconds=5"]
    assert curator("run", "pipeline.yaml", *options, run=run) == 0
    settings = run.calls[0]["settings"]
    assert (settings.execution_mode, settings.fusion, settings.ignore_failures) == (
        "batch",
        False,
        True,
    )
    assert (settings.max_workers_per_stage, settings.drain_s) == (2, 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("maxWorkers=2", "Did you mean maxWorkersPerStage?"),
        ("maxWorkersPerStage", "--set wants NAME=VALUE"),
        ("maxWorkersPerStage=two", "maxWorkersPerStage: "),
        ("maxWorkersPerStage=0", "maxWorkersPerStage: "),
        ("mode=fast", "mode: "),
    ],
)
def test_wrong_setting_is_named(
    folder: Path,
    curator: Curator,
    capsys: pytest.CaptureFixture[str],
    given: str,
    said: str,
) -> None:
    assert curator("run", "pipeline.yaml", "--set", given) == 2
    assert said in capsys.readouterr().err


def test_until_stops_there_and_shows_outputs(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    class Reading(FakeRun):
        def __call__(self, stages: Any, *given: Any, **options: Any) -> RunOutcome:
            super().__call__(stages, *given, **options)
            return RunOutcome(list(stages[-1].process(None)), clean_report())

    run = Reading()
    assert curator("run", "pipeline.yaml", "--until", "read", run=run) == 0
    assert [stage.name for stage in run.calls[0]["stages"]] == ["list", "read"]
    out = capsys.readouterr().out
    assert "read gave 3 tasks" in out
    assert "Numbers, 4 items" in out
    assert "[8, 9, 10, 11]" in out


def test_until_an_unknown_stage_is_refused(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml", "--until", "raed") == 2
    assert "Did you mean read?" in capsys.readouterr().err


def test_report_and_progress_are_written_and_named(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeRun()
    assert (
        curator("run", "pipeline.yaml", "--report", "r.html", "--progress", "p.jsonl", run=run) == 0
    )
    assert "text-pipeline" in (folder / "r.html").read_text()
    assert isinstance(list(read_progress("p.jsonl"))[-1], RunReport)
    said = capsys.readouterr().err
    assert "report: r.html" in said
    assert "progress: p.jsonl" in said


@pytest.mark.parametrize("option", ["--report", "--progress"])
def test_file_that_cannot_be_written_is_refused_before_the_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    run = FakeRun()
    assert curator("run", "pipeline.yaml", option, "missing/file", run=run) == 2
    assert run.calls == []
    assert "missing/file cannot be written: No such file or directory" in capsys.readouterr().err


def test_failed_batch_is_kept_and_the_way_to_debug_it_is_said(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = StageFailed("no")
    failed.failed = [failed_batch(["the input"])]
    assert curator("run", "pipeline.yaml", run=FakeRun(ending=failed)) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1] == (
        "run it again under a debugger: curator debug pipeline.yaml .curator/r1/failed/0.pkl --pdb"
    )
    kept = load_failed(".curator/r1/failed/0.pkl")
    assert (kept.stage_name, kept.tasks, kept.error) == (
        "halve",
        ["the input"],
        "ZeroDivisionError",
    )


def test_dead_letters_are_kept_too_and_one_of_each_kind_is_named(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = RunOutcome([], report(), [failed_batch([n]) for n in range(5)])
    assert curator("run", "pipeline.yaml", run=FakeRun(outcome=outcome)) == 3
    kept = [load_failed(f".curator/r1/failed/{n}.pkl").tasks for n in range(5)]
    assert kept == [[0], [1], [2], [3], [4]]
    said = capsys.readouterr().err
    assert said.count("run it again under a debugger:") == 1
    assert "5 failed batches of 5 kept in .curator/r1/failed" in said


def test_broken_report_does_not_change_the_end(
    folder: Path, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("curator_executor.sinks.html.render_report", refuse)
    assert curator("run", "pipeline.yaml", "--report", "r.html") == 0
