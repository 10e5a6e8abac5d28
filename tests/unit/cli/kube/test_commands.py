"""The commands for a cluster on the command line: help, plugin, missing extra, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curator_executor.cli import kubectl, main
from curator_executor.cli.arguments import cluster_parser, parser
from curator_executor.cli.kube import watching
from curator_executor.cli.kube.api import ApiRefused
from curator_executor.cli.kube.arguments import CLUSTER_COMMANDS, CLUSTER_EXIT_CODES
from curator_executor.cli.kube.commands import run_cluster_command
from tests.unit.cli.kube.resources import MadeUpApi, resource

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "reference" / "cli.md"


@pytest.fixture(autouse=True)
def _interrupts_are_heard() -> Iterator[None]:
    """A shell starts what runs in its background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", CLUSTER_COMMANDS)
def test_help_of_each_command_lists_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: curator {command} ")
    assert CLUSTER_EXIT_CODES.strip() in said


@pytest.mark.parametrize("command", CLUSTER_COMMANDS)
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(
        re.findall(r"^  (?:-\w[^,]*, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    )
    options.remove("--help")
    text = DOCUMENT.read_text()
    assert options > {"--namespace", "--context", "--kubeconfig"}
    assert {option for option in options if f"`{option}" not in text} == set()


def test_as_a_plugin_its_usage_is_kubectls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl-curator", "watch", "--help"])
    with pytest.raises(SystemExit):
        kubectl.main()
    assert capsys.readouterr().out.startswith("usage: kubectl curator watch ")


def test_the_plugin_has_the_commands_for_a_cluster_alone() -> None:
    with pytest.raises(SystemExit):
        cluster_parser().parse_args(["run", "pipeline.yaml"])


def test_waiting_and_watching_exclude_each_other() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["submit", "a.yaml", "--wait", "--watch"])


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )


def test_help_loads_neither_a_client_of_kubernetes_nor_a_display() -> None:
    ran = ended(
        "import sys, json; from curator_executor.cli.arguments import parser; parser(); "
        "print(json.dumps([m for m in ('kubernetes', 'rich', 'ray', 'urllib3') "
        "if m in sys.modules]))"
    )
    assert json.loads(ran.stdout) == []


def test_the_commands_need_nothing_of_the_executors_libraries() -> None:
    ran = ended(
        "import sys; missing = ('ray', 'aiohttp', 'cloudpickle', 'fsspec', 'jinja2', "
        "'prometheus_client', 'pandas'); sys.modules.update(dict.fromkeys(missing)); "
        "import curator_executor.cli.kube.commands"
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_missing_extra_is_named_with_the_way_to_get_it() -> None:
    ran = ended(
        "import sys; sys.modules['kubernetes'] = None; "
        "from curator_executor.cli import main; sys.exit(main(['watch', 'clean-web']))"
    )
    assert ran.returncode == 2
    assert ran.stderr == (
        "curator: kubernetes is not installed; `watch` needs the extra kube: "
        "pip install 'curator-operator[kube]'\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_that_is_interrupted_ends_with_130_and_leaves_the_pipeline(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(watching, "shown_to_the_end", interrupted)
    api = MadeUpApi(resource())
    options = parser().parse_args(["watch", "clean-web"])
    assert run_cluster_command(options, lambda *_: api) == 130
    assert capsys.readouterr().err == "curator: cancelled (the pipeline is not touched)\n"
    assert api.asked == []


def test_an_error_of_the_api_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> Callable[[], None]:
        raise ApiRefused(404, "", "404 page not found")

    monkeypatch.setattr(watching, "shown_to_the_end", refused)
    options = parser().parse_args(["watch", "clean-web"])
    assert run_cluster_command(options, lambda *_: MadeUpApi()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("curator: the API server https://cluster.example (context team) knows")
