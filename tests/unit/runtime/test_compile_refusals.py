"""Manifests that cannot become stages: each with its path and the words that help."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.runtime.compiling import SEVERAL, one_refused, refused


@pytest.fixture(autouse=True)
def own_import_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling extends sys.path; each test starts from the same one."""
    monkeypatch.setattr(sys, "path", list(sys.path))


# What is refused. Fields of the one stage, path, words.
C, A = "spec.stages[0].class", "spec.stages[0].args"
BAD = [
    ("class: nowhere_at_all.X", C, "there is no module nowhere_at_all"),
    ("class: curator_executer.stages.X", C, "Did you mean curator_executor?"),
    ("class: curator_executor.stagez.X", C, "has no stagez. Did you mean stages?"),
    ("class: HERE.Kep", C, "has no Kep. Did you mean Keep?"),
    ("class: HERE.NoStage", C, "a subclass of ProcessingStage, got NoStage(object)"),
    ("class: HERE.plain", C, "got the function"),
    ("class: HERE.NUMBER", C, "wanted a stage class, got int"),
    ("class: HERE.Unfinished", C, "is abstract: it does not define process"),
    ("class: HERE.Locked", C, "make connections, locks and models in setup()"),
    ("class: HERE.Nested", C, "its part several has parts itself"),
    ("class: HERE.Several, args: {parts: []}", C, "it has no parts"),
    ("class: HERE.Read", A, "paths must be given; Read takes (paths, files_per_task=1"),
    (
        "class: HERE.Read, args: {paths: [], file_per_task: 1}",
        f"{A}.file_per_task",
        "Did you mean files_per_task?",
    ),
    ("class: HERE.Keep, args: {a: 1}", f"{A}.a", "unknown argument; Keep takes none"),
    ("class: HERE.shout, args: {a: 1}", A, "a ready stage and takes no arguments"),
    (
        "class: HERE.Read, args: {paths: [], files_per_task: 0}",
        f"{A}.files_per_task",
        "Read refused: ValueError: files_per_task must be at least 1, got 0",
    ),
    (
        "class: HERE.Read, args: {paths: [], token: {fromEnv: HF_TOKN}}",
        f"{A}.token",
        "environment variable HF_TOKN is not set. Did you mean HF_TOKEN?",
    ),
    (f"{SEVERAL}, batchSize: 3", "spec.stages[0].batchSize", "parts: {rows: {batchSize: …}}"),
    (f"{SEVERAL}, parts: {{row: {{}}}}", "spec.stages[0].parts.row", "Did you mean rows?"),
    ("class: HERE.Keep, parts: {a: {}}", "spec.stages[0].parts", "one stage without parts"),
    (
        "class: HERE.Everything, workers: {count: 2}",
        "spec.stages[0].workers.count",
        "it has one worker; got 2",
    ),
]


@pytest.mark.parametrize(("fields", "path", "words"), BAD, ids=[row[0] for row in BAD])
def test_bad_stage_is_refused_with_its_path(fields: str, path: str, words: str) -> None:
    said = one_refused(fields, env={"HF_TOKEN": "x"})

    assert said.startswith(f"{path}: ")
    assert words in said


@pytest.mark.parametrize(
    ("builder", "path", "words"),
    [
        ("HERE.bild", "callable", "has no bild. Did you mean build?"),
        ("HERE.NUMBER", "callable", "wanted a function, got int"),
        ("HERE.build_number", "callable", "to return a Pipeline or a list of stages, got int"),
        ("HERE.build_mixed", "callable", "got str"),
        ("HERE.build, args: {copies: 0}", "callable", "got no stages"),
        ("HERE.build, args: {copy: 1}", "args.copy", "Did you mean copies?"),
        ("HERE.build, args: {prefix: {fromEnv: NOPE}}", "args.prefix", "NOPE is not set"),
    ],
)
def test_bad_builder_is_refused_with_its_path(builder: str, path: str, words: str) -> None:
    (said,) = refused(f"builder: {{callable: {builder}}}")

    assert said.startswith(f"spec.builder.{path}: ")
    assert words in said


def test_a_builder_that_repeats_a_name_is_refused() -> None:
    (said,) = refused("builder: {callable: HERE.build_twice}")

    assert "two stages are named keep" in said


def test_problems_of_all_stages_are_said_at_once() -> None:
    said = refused(
        "stages: [{name: a, class: HERE.Kep}, {name: b, class: HERE.Keep}, "
        "{name: c, class: HERE.Read, args: {x: 1}}]"
    )

    assert [text.split(":")[0] for text in said] == [
        "spec.stages[0].class",
        "spec.stages[2].args.x",
        "spec.stages[2].args",
    ]


def test_a_secret_is_not_repeated_in_an_error() -> None:
    said = one_refused(
        "class: HERE.Read, args: {paths: [], token: {fromEnv: KEY}}", env={"KEY": "wrong-secret"}
    )

    assert "nobody has the token ***" in said
    assert "wrong-secret" not in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import not_there_at_all", "it imports not_there_at_all, which is not installed"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(
    tmp_path: Path, content: str, words: str
) -> None:
    name = f"broken_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)

    said = one_refused(f"class: {name}.X", directory=tmp_path)

    assert said.startswith(f"spec.stages[0].class: importing {name} failed: ")
    assert words in said
