"""`curator debug`: a failed batch again, in this process."""

from __future__ import annotations

import importlib
import pdb  # noqa: T100 - replaced, so that the test need not talk to it
import pickle
from pathlib import Path
from typing import Any

import pytest

from curator_executor.core.errors import StageFailed
from curator_executor.runtime.failed_tasks import (
    NotFailedTasksError,
    failed_directory,
    load_failed,
    save_failed,
)
from tests.unit.cli.conftest import Curator, FakeRun, failed_batch


@pytest.fixture
def failed(folder: Path, curator: Curator) -> str:
    """A batch that failed: 100 // (7 - 7)."""
    curator("validate", "pipeline.yaml")
    numbers = importlib.import_module("cli_test_stages").Numbers
    error = StageFailed("no")
    error.failed = [failed_batch([numbers("d", [6, 7])])]
    curator("run", "pipeline.yaml", run=FakeRun(ending=error))
    return ".curator/r1/failed/0.pkl"


def test_batch_fails_again_with_its_traceback(
    curator: Curator, failed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("debug", "pipeline.yaml", failed) == 1
    said = capsys.readouterr()
    assert "it failed with ZeroDivisionError: division by zero" in said.out
    assert 'cli_test_stages.py", line' in said.err
    assert "ZeroDivisionError" in said.err
    # The frames of the command itself say nothing to a stage's author.
    assert "cli/debug.py" not in said.err


def test_mended_stage_goes_through(
    folder: Path, curator: Curator, failed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text().replace("zero: 7", "zero: 1")
    (folder / "pipeline.yaml").write_text(text)
    assert curator("debug", "pipeline.yaml", failed) == 0
    out = capsys.readouterr().out
    assert "halve gave 1 task" in out
    assert "[20, 16]" in out
    assert "it went through this time" in out


def test_debugger_opens_where_the_stage_raised(
    curator: Curator, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(pdb, "post_mortem", opened.append)
    assert curator("debug", "pipeline.yaml", failed, "--pdb") == 1
    [where] = opened
    while where.tb_next is not None:
        where = where.tb_next
    assert where.tb_frame.f_locals["self"].zero == 7


def test_set_up_and_tear_down_surround_the_batch(
    folder: Path, curator: Curator, failed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("cli_test_stages")
    calls: list[str] = []
    module.Halver.setup_on_node = lambda *_: calls.append("setup_on_node")
    module.Halver.setup = lambda *_: calls.append("setup")
    module.Halver.teardown = lambda *_: calls.append("teardown")
    curator("debug", "pipeline.yaml", failed)
    assert calls == ["setup_on_node", "setup", "teardown"]


def test_manifest_without_the_stage_is_refused(
    folder: Path, curator: Curator, failed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text().replace("name: halve", "name: third")
    (folder / "pipeline.yaml").write_text(text)
    assert curator("debug", "pipeline.yaml", failed) == 2
    assert "has no stage halve; its stages: list, read, third" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"not a pickle", pickle.dumps({"a": 1})])
def test_file_that_is_no_failed_batch_is_refused(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (folder / "x.pkl").write_bytes(content)
    assert curator("debug", "pipeline.yaml", "x.pkl") == 2
    assert "x.pkl is no failed batch" in capsys.readouterr().err


def test_missing_file_is_refused(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("debug", "pipeline.yaml", "x.pkl") == 2
    assert "x.pkl cannot be read: No such file or directory" in capsys.readouterr().err


def test_saved_batch_comes_back(tmp_path: Path) -> None:
    path = save_failed(tmp_path / "failed", 3, "halve", [1, 2], ValueError("line 7"))
    kept = load_failed(path)
    assert (kept.stage_index, kept.stage_name, kept.tasks) == (3, "halve", [1, 2])
    assert (kept.error, kept.message) == ("ValueError", "line 7")


def test_batches_are_numbered_and_nothing_else_is_left(tmp_path: Path) -> None:
    for number in range(3):
        save_failed(tmp_path, 0, "s", [number], ValueError())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.pkl", "1.pkl", "2.pkl"]
    assert [load_failed(tmp_path / f"{n}.pkl").tasks for n in range(3)] == [[0], [1], [2]]


def test_number_that_is_taken_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "1.pkl").write_bytes(b"another")
    assert save_failed(tmp_path, 0, "s", [], ValueError()).name == "2.pkl"
    assert (tmp_path / "1.pkl").read_bytes() == b"another"


def test_file_of_another_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.pkl"
    path.write_bytes(pickle.dumps({"format": 99, "stage_name": "s"}))
    with pytest.raises(NotFailedTasksError, match="format 99, this release reads 1"):
        load_failed(path)


def test_environment_moves_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATOR_RUNS_DIR", raising=False)
    assert failed_directory("r1") == Path(".curator/r1/failed")
    monkeypatch.setenv("CURATOR_RUNS_DIR", "/scratch/runs")
    assert failed_directory("r1") == Path("/scratch/runs/r1/failed")
