"""`spec.artifacts`: written whatever the end, and never the cause of another one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from curator_api.progress import RunReport
from curator_executor.cli.artifacts import Artifacts, folder_name
from curator_executor.core.errors import StageFailed
from curator_executor.runtime.run import RunOutcome
from curator_executor.sinks.jsonl import read_progress
from tests.unit.cli.conftest import Curator, FakeRun


@pytest.fixture
def target(folder: Path) -> Path:
    """Where the manifest wants its artifacts."""
    place = folder / "kept"
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text + f'  artifacts: {{uri: "file://{place}/"}}\n')
    return place


def only_folder(target: Path) -> Path:
    [found] = target.iterdir()
    return found


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        (FakeRun(), 0, "text-pipeline Succeeded"),
        (FakeRun(ending=StageFailed("no luck")), 1, "curator: no luck"),
        (FakeRun(ending=KeyboardInterrupt()), 130, "curator: cancelled"),
    ],
    ids=["success", "failure", "cancel"],
)
def test_report_history_and_log_are_there_at_any_end(
    target: Path, curator: Curator, run: FakeRun, code: int, said: str
) -> None:
    assert curator("run", "pipeline.yaml", run=run) == code
    kept = only_folder(target)
    assert kept.name == run.calls[0]["context"].run_id
    assert sorted(path.name for path in kept.iterdir()) == [
        "driver.log",
        "progress.jsonl",
        "report.html",
    ]
    assert "text-pipeline" in (kept / "report.html").read_text()
    assert isinstance(list(read_progress(kept / "progress.jsonl"))[-1], RunReport)
    assert said in (kept / "driver.log").read_text()


def test_log_holds_what_the_driver_printed(target: Path, curator: Curator) -> None:
    class Talking(FakeRun):
        def __call__(self, *given: Any, **options: Any) -> RunOutcome:
            print("a stage says")
            print("a stage complains", file=sys.stderr)
            return super().__call__(*given, **options)

    assert curator("run", "pipeline.yaml", run=Talking()) == 0
    text = (only_folder(target) / "driver.log").read_text()
    assert "a stage says\na stage complains\n" in text
    assert "text-pipeline Succeeded in 3m12s" in text


def test_refused_manifest_leaves_its_log(target: Path, folder: Path, curator: Curator) -> None:
    text = (folder / "pipeline.yaml").read_text().replace("Halver", "Halfer")
    (folder / "pipeline.yaml").write_text(text)
    assert curator("run", "pipeline.yaml") == 2
    kept = only_folder(target)
    assert [path.name for path in kept.iterdir()] == ["driver.log"]
    assert "Did you mean Halver?" in (kept / "driver.log").read_text()


def test_own_files_are_written_besides(target: Path, folder: Path, curator: Curator) -> None:
    assert curator("run", "pipeline.yaml", "--report", "r.html", "--progress", "p.jsonl") == 0
    kept = only_folder(target)
    assert (folder / "r.html").read_text() == (kept / "report.html").read_text()
    assert (folder / "p.jsonl").read_text() == (kept / "progress.jsonl").read_text()


def test_where_they_are_is_said(
    target: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    curator("run", "pipeline.yaml")
    assert f"artifacts: file://{only_folder(target)}" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1])
def test_place_that_cannot_be_written_is_said_and_the_code_stays(
    target: Path, curator: Curator, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    target.write_text("a file where a folder should be")
    run = FakeRun(ending=StageFailed("no luck") if code else None)
    assert curator("run", "pipeline.yaml", run=run) == code
    assert "curator: artifacts not all written to file://" in capsys.readouterr().err


def test_unknown_protocol_is_said_and_the_code_stays(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text + '  artifacts: {uri: "nowhere://bucket/x"}\n')
    assert curator("run", "pipeline.yaml") == 0
    assert "artifacts not all written to nowhere://bucket/x/" in capsys.readouterr().err


def test_ctrl_c_while_they_are_written_does_not_change_the_end(
    target: Path, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("curator_executor.stages.files.open_filesystem", interrupted)
    assert curator("run", "pipeline.yaml") == 0


def test_file_that_fails_does_not_keep_the_others_from_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "from").mkdir()
    artifacts = Artifacts(f"file://{tmp_path}/to", "r1", tmp_path / "from")
    artifacts.report.write_text("page")
    (tmp_path / "to" / "r1" / "report.html" / "in the way").mkdir(parents=True)
    artifacts.progress.write_text("{}\n")
    artifacts.save()
    assert {path.name for path in (tmp_path / "to" / "r1").iterdir()} >= {
        "driver.log",
        "progress.jsonl",
    }
    assert "report.html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "name"),
    [
        (None, "r1"),
        ("not json", "r1"),
        ("[]", "r1"),
        (json.dumps({"metadata": {}}), "r1"),
        (json.dumps({"metadata": {"job_submission_id": "0a1b2c3d-1"}}), "0a1b2c3d-1"),
        (json.dumps({"metadata": {"job_submission_id": "../../up"}}), "_.._up"),
    ],
)
def test_folder_is_named_by_the_submission_or_else_by_the_run(job: str | None, name: str) -> None:
    environment = {} if job is None else {"RAY_JOB_CONFIG_JSON_ENV_VAR": job}
    assert folder_name("r1", environment) == name
