"""A driver that is a Ray job ends its log with a line that tells the operator how the run ended."""

from __future__ import annotations

import errno
import json
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curator_api.last_word import MARK, MOST_CHARACTERS, taken_out
from curator_api.progress import FailureSummary, ProgressSnapshot, StageProgress
from curator_executor.cli import run as run_module
from curator_executor.cli.ray_job import line_of
from curator_executor.core.errors import StageFailed
from curator_executor.runtime.run import RunOutcome
from curator_executor.runtime.stop import StopRequest
from curator_executor.sinks.http import ProgressServer
from tests.unit.cli.conftest import Curator, FakeRun, clean_report
from tests.unit.sinks.runs import TRACEBACK, report

# What Ray keeps of a failed job's log.
RAY_KEEPS = 20_000


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is a job that was submitted to Ray."""
    job = json.dumps({"metadata": {"job_submission_id": "4f1c9a20-1"}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job)


def last_word(capsys: pytest.CaptureFixture[str]) -> ProgressSnapshot:
    """What the log ends with."""
    log = capsys.readouterr().err
    assert log.splitlines()[-1].startswith(MARK)
    said = taken_out(log)[1]
    assert said is not None
    return said


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize(
    ("run", "code", "state", "message"),
    [
        (FakeRun(), 0, "Succeeded", ""),
        (FakeRun(ending=StageFailed("no luck")), 1, "Failed", "no luck"),
        (FakeRun(ending=KeyboardInterrupt("drained")), 130, "Cancelled", "cancelled (drained)"),
        (FakeRun(outcome=RunOutcome([], report())), 3, "Succeeded", "dead letters"),
    ],
    ids=["done", "failed", "cancelled", "dead letters"],
)
def test_log_of_a_ray_job_ends_with_how_the_run_ended(
    folder: Path,
    curator: Curator,
    capsys: pytest.CaptureFixture[str],
    run: FakeRun,
    code: int,
    state: str,
    message: str,
) -> None:
    assert curator("run", "pipeline.yaml", run=run) == code
    said = last_word(capsys)
    assert said.state == state
    assert message in said.message
    assert said.stages == clean_report().snapshot.stages


@pytest.mark.usefixtures("submitted")
def test_refused_manifest_is_told_too(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pipeline.yaml").write_text("kind: CuratorPipeline\n")
    assert curator("run", "pipeline.yaml") == 2
    assert last_word(capsys).state == "Failed"


def test_nobody_else_has_to_read_it(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("run", "pipeline.yaml") == 0
    assert MARK not in capsys.readouterr().err


@pytest.mark.usefixtures("submitted")
def test_it_is_in_the_log_before_anybody_can_fetch_the_end(
    folder: Path,
    curator: Curator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1. The end is fetched. 2. Who fetched it dies, and so does the driver, at once.
    3. Nothing but the log can tell of the end.
    """
    logged: list[ProgressSnapshot | None] = []

    class Asked(ProgressServer):
        def finish(self, snapshot: ProgressSnapshot, linger_s: float) -> bool:
            logged.append(taken_out(capsys.readouterr().err)[1])
            assert logged == [snapshot]
            return True

    @contextmanager
    def serving(_options: Namespace, _stop: StopRequest) -> Iterator[ProgressServer]:
        yield Asked(socket.socket(socket.AF_UNIX), None, lambda _reason: None)

    monkeypatch.setattr(run_module, "serving", serving)
    assert curator("run", "pipeline.yaml") == 0
    assert len(logged) == 1


@pytest.mark.usefixtures("submitted")
def test_a_log_that_takes_nothing_more_does_not_change_the_end(
    folder: Path, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(sys.__stderr__, name)

        def write(self, text: str) -> int:
            if MARK in text:
                raise OSError(errno.ENOSPC, "no space left on device")
            return len(text)

    monkeypatch.setattr(sys, "stderr", Full())
    assert curator("run", "pipeline.yaml") == 0


@pytest.mark.parametrize("letter", ["x", "ü", "ह", "🐍"], ids=ascii)
def test_it_is_never_longer_than_ray_keeps(letter: str) -> None:
    failures = [
        FailureSummary(stage="embed", error="E", message=letter * 9000, count=1, task_id=f"{n}")
        for n in range(10)
    ]
    stages = [StageProgress(name=f"{letter * 400}{n}") for n in range(300)]
    line = line_of(_final(failures=failures, stages=stages, message=letter * 9000))
    assert len(line) <= MOST_CHARACTERS < RAY_KEEPS
    said = taken_out(line)[1]
    assert said is not None
    assert said.message.startswith(letter * 20)


def test_tracebacks_give_way_first_since_nobody_shows_them() -> None:
    failure = FailureSummary(
        stage="embed", error="E", message="m", count=1, task_id="t", traceback=TRACEBACK * 1000
    )
    final = _final(failures=[failure], message="stage embed failed")
    shown = failure.model_copy(update={"traceback": ""})
    said = final.model_copy(update={"failures": [shown]})
    assert taken_out(line_of(final)) == ("", said)


def _final(**given: object) -> ProgressSnapshot:
    values = {"run_id": "r", "pipeline": "p", "state": "Failed", "time": 1.0, "elapsed_s": 2.0}
    return ProgressSnapshot.model_validate({**values, **given})
