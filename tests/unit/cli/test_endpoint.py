"""`--serve` and `--linger`: what they take, which token is asked for, what is served at the end."""

from __future__ import annotations

import socket
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curator_api.progress import ProgressSnapshot
from curator_executor.cli import run as run_module
from curator_executor.cli.arguments import _address, parser
from curator_executor.cli.endpoint import TOKEN, TOKEN_PATH, read_token
from curator_executor.cli.outcome import CommandError
from curator_executor.core.errors import StageFailed
from curator_executor.runtime.run import RunOutcome
from curator_executor.runtime.stop import StopRequest
from curator_executor.sinks.http import ProgressServer
from tests.unit.cli.conftest import Curator, FakeRun, clean_report
from tests.unit.sinks.runs import report


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8090", ("127.0.0.1", 8090)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:80", ("::1", 80)),
        ("head.example:65535", ("head.example", 65535)),
    ],
)
def test_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert _address(text) == address


@pytest.mark.parametrize("text", ["8090", ":8090", "host:", "host:-1", "host:65536", "host:8²", ""])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="wanted HOST:PORT"):
        _address(text)


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_linger_wants_seconds(text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["run", "pipeline.yaml", "--linger", text])
    assert ended.value.code == 2


def test_linger_without_serve_is_refused_before_the_run(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeRun()
    assert curator("run", "pipeline.yaml", "--linger", "5", run=run) == 2
    assert run.calls == []
    assert "--linger needs --serve" in capsys.readouterr().err


def test_token_comes_from_the_variable_or_else_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\n")
    assert read_token({}) is None
    assert read_token({TOKEN: " from the variable "}) == "from the variable"
    assert read_token({TOKEN_PATH: str(file)}) == "from the file"
    assert read_token({TOKEN: "", TOKEN_PATH: str(file)}) == "from the file"
    assert read_token({TOKEN: "first", TOKEN_PATH: str(file)}) == "first"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_token_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Serving to everybody is not what somebody wants who names a file."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(CommandError, match=f"{TOKEN_PATH}: .*token"):
        read_token({TOKEN_PATH: str(tmp_path / "token")})


class Kept(ProgressServer):
    """A server that answers nobody: remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(socket.socket(socket.AF_UNIX), None, lambda _reason: None)
        self.published: list[ProgressSnapshot] = []
        self.finals: list[tuple[ProgressSnapshot, float]] = []

    def publish(self, snapshot: ProgressSnapshot) -> None:
        self.published.append(snapshot)

    def finish(self, snapshot: ProgressSnapshot, linger_s: float) -> bool:
        self.finals.append((snapshot, linger_s))
        return True


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """What would be served, without a socket."""
    server = Kept()

    @contextmanager
    def serving(_options: Namespace, _stop: StopRequest) -> Iterator[ProgressServer]:
        yield server

    monkeypatch.setattr(run_module, "serving", serving)
    yield server
    server.stop()


def final_of(kept: Kept) -> ProgressSnapshot:
    [(final, _)] = kept.finals
    return final


def test_end_of_a_clean_run_is_served(folder: Path, curator: Curator, kept: Kept) -> None:
    assert curator("run", "pipeline.yaml") == 0
    assert [shot.state for shot in kept.published][:2] == ["Starting", "Running"]
    assert (final_of(kept).state, final_of(kept).message) == ("Succeeded", "")
    assert final_of(kept).stages == clean_report().snapshot.stages


@pytest.mark.parametrize(
    ("run", "code", "state", "said"),
    [
        (FakeRun(ending=StageFailed("no luck")), 1, "Failed", "no luck"),
        (FakeRun(ending=KeyError("x")), 1, "Failed", "'x'"),
        (FakeRun(ending=KeyboardInterrupt("drained")), 130, "Cancelled", "cancelled (drained)"),
        (FakeRun(outcome=RunOutcome([], report())), 3, "Succeeded", "dead letters"),
    ],
    ids=["failed", "unexpected", "cancelled", "dead letters"],
)
def test_final_state_tells_the_exit_code_and_the_message_why(
    folder: Path, curator: Curator, kept: Kept, run: FakeRun, code: int, state: str, said: str
) -> None:
    assert curator("run", "pipeline.yaml", run=run) == code
    assert final_of(kept).state == state
    assert said in final_of(kept).message


def test_empty_input_is_served_as_failed(folder: Path, curator: Curator, kept: Kept) -> None:
    """The run itself has succeeded; the command ends with 1."""
    outcome = RunOutcome([], clean_report())
    first = outcome.report.stages[0]
    empty = first.progress.model_copy(update={"done": 1, "emitted": 0, "failed": 0})
    stages = [first.model_copy(update={"progress": empty, "dropped": {}})]
    dry = outcome.report.model_copy(update={"stages": stages})
    assert curator("run", "pipeline.yaml", run=FakeRun(outcome=RunOutcome([], dry))) == 1
    assert final_of(kept).state == "Failed"
    assert "the input is empty" in final_of(kept).message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Halver", "Halfer", "Did you mean Halver?"),
        ("Halver", "Checked", "the model file is missing"),
        ("kind: Cur", "kind: Kur", "CuratorPipeline"),
    ],
    ids=["unknown class", "failing check", "wrong kind"],
)
def test_refused_manifest_is_served_as_failed_with_what_is_wrong(
    folder: Path, curator: Curator, kept: Kept, old: str, new: str, said: str
) -> None:
    text = (folder / "pipeline.yaml").read_text().replace(old, new)
    (folder / "pipeline.yaml").write_text(text)
    run = FakeRun()
    assert curator("run", "pipeline.yaml", run=run) == 2
    assert run.calls == []
    assert final_of(kept).state == "Failed"
    assert said in final_of(kept).message


@pytest.mark.parametrize(("options", "seconds"), [([], 20.0), (["--linger", "3"], 3.0)])
def test_result_lingers_as_long_as_asked(
    folder: Path, curator: Curator, kept: Kept, options: list[str], seconds: float
) -> None:
    curator("run", "pipeline.yaml", "--serve", "127.0.0.1:0", *options)
    assert kept.finals[0][1] == seconds


def test_ctrl_c_ends_the_lingering_and_the_code_stays(
    folder: Path, curator: Curator, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_given: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(kept, "finish", interrupted)
    assert curator("run", "pipeline.yaml") == 0


def test_run_gets_the_id_that_was_served_first(folder: Path, curator: Curator, kept: Kept) -> None:
    run = FakeRun()
    curator("run", "pipeline.yaml", run=run)
    context = run.calls[0]["context"]
    assert context.run_id == kept.published[0].run_id != ""
    assert context.checked
