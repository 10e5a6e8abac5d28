"""`curator validate`, `--version` and `--help`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from curator_executor.cli import main
from curator_executor.cli.arguments import EXIT_CODES
from tests.unit.cli.conftest import Curator

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_right_manifest_ends_with_0(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("validate", "pipeline.yaml") == 0
    assert capsys.readouterr().out == "pipeline.yaml: right, 3 stages\n"


def test_every_problem_of_every_manifest_is_said(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "pipeline.yaml").read_text()
    (folder / "bad.yaml").write_text(text.replace("zero: 7", "nero: 7").replace("Reader", "Raeder"))
    (folder / "worse.yaml").write_text(text.replace("batchSize", "batchsize"))
    assert curator("validate", "bad.yaml", "pipeline.yaml", "worse.yaml") == 2
    said = capsys.readouterr()
    assert "bad.yaml: spec.stages[1].class" in said.err
    assert "bad.yaml: spec.stages[2].args.nero" in said.err
    assert re.search(r"worse\.yaml:8: .*Did you mean batchSize\?", said.err)
    assert said.out == "pipeline.yaml: right, 3 stages\n"


def test_missing_file_ends_with_2(
    folder: Path, curator: Curator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curator("validate", "pipelin.yaml") == 2
    assert "Did you mean pipeline.yaml?" in capsys.readouterr().err


def test_fields_alone_are_checked_without_the_code(folder: Path, curator: Curator) -> None:
    (folder / "cli_test_stages.py").unlink()
    assert curator("validate", "pipeline.yaml") == 2
    assert curator("validate", "--fields-only", "pipeline.yaml") == 0


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"curator \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["run", "validate", "plan", "simulate", "debug"])
def test_help_of_each_command_lists_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert EXIT_CODES.strip() in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "validate", "plan", "simulate", "debug"])
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    text = DOCUMENT.read_text()
    assert {option for option in options if f"`{option}" not in text} == set()


def test_missing_extra_is_named_with_the_way_to_get_it() -> None:
    program = (
        "import sys; sys.modules['rich'] = None; "
        "from curator_executor.cli import main; sys.exit(main(['plan', 'pipeline.yaml']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "pip install 'curator-operator[executor]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_version_is_said_without_any_extra() -> None:
    program = (
        "import sys; from curator_executor.cli import _EXECUTOR_EXTRA as extra; "
        "sys.modules.update(dict.fromkeys(extra)); "
        "from curator_executor.cli import main; sys.exit(main(['--version']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"curator \d+\.\d+\.\d+\n", ran.stdout)


def test_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    program = "import sys; from curator_executor.cli import main; sys.exit(main())"
    ran = subprocess.run(
        f"'{sys.executable}' -c '{program}' plan pipeline.yaml | true",
        shell=True,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert ran.stderr == ""


def test_module_runs_and_loads_no_ray() -> None:
    program = (
        "import sys, curator_executor.cli; "
        "print([name for name in ('ray', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "[]"
    ran = subprocess.run(
        [sys.executable, "-m", "curator_executor", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.startswith("curator ")
