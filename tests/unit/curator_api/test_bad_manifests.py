"""What a manifest may not say: each with its path and the words that help."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from curator_api.errors import ManifestError, Problem
from curator_api.load import (
    LARGEST_MANIFEST_BYTES,
    load_manifest,
    parse_manifest,
    with_lines,
)
from tests.unit.curator_api.bad_rows import BAD
from tests.unit.curator_api.manifests import CLUSTER, spec, stage


def only_problem(text: str) -> tuple[str, str]:
    """Path and words of the one problem that a text has."""
    with pytest.raises(ManifestError) as raised:
        parse_manifest(text)
    assert len(raised.value.problems) == 1, str(raised.value)
    problem = raised.value.problems[0]
    return problem.path, str(problem)


@pytest.mark.parametrize(
    ("text", "path", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_bad_manifest_is_refused_with_one_problem(text: str, path: str, words: str) -> None:
    got_path, got_words = only_problem(text)

    assert got_path == path
    assert words in got_words


def test_there_are_enough_examples() -> None:
    assert len(BAD) >= 60


def test_every_problem_is_said_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest(
            spec(
                "imag: a\n"
                "stages:\n"
                "- name: read\n"
                "  class: a.Read\n"
                '  batchSize: "ten"\n'
                "- name: write\n"
                "  class: a.Write\n"
                "  workers:\n"
                "    min: 3\n"
                "    max: 2\n"
            ),
            "pipeline.yaml",
        )

    assert str(raised.value).splitlines() == [
        "pipeline.yaml:5: spec.imag: unknown field. Did you mean image?",
        'pipeline.yaml:9: spec.stages[0].batchSize: wanted a whole number, got "ten"',
        "pipeline.yaml:13: spec.stages[1].workers.min: wanted at most max, which is 2, got 3",
    ]


def test_a_stage_that_does_not_fit_is_named() -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest(stage("resources: {gpus: 2}", CLUSTER))

    assert str(raised.value).startswith('spec.stages[0] "read": needs 2 GPUs')
    assert raised.value.problems[0].line == 6


def test_a_missing_field_is_placed_where_its_parent_is() -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest(spec("stages:\n- name: a\n  class: a.B\n- name: b\n"))

    assert [(p.path, p.line) for p in raised.value.problems] == [("spec.stages[1].class", 8)]


def test_an_error_survives_pickling() -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest("- a\n", "a.yaml")

    again = pickle.loads(pickle.dumps(raised.value))

    assert (str(again), again.problems) == (str(raised.value), raised.value.problems)


def test_problems_found_later_get_the_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(spec("stages:\n- name: a\n  class: a.B\n  args:\n    x: 1\n"))
    paths = ["spec.stages[0].args.x", "spec.stages[0].args.y", "spec.stages[0].class", "until"]
    found = ManifestError([Problem(path, "wrong") for path in paths])

    located = with_lines(found, file)

    assert [problem.line for problem in located.problems] == [9, 8, 7, None]
    assert str(located).startswith(f"{file}:9: spec.stages[0].args.x: wrong\n")


def load_error(path: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        load_manifest(path)
    assert len(raised.value.problems) == 1
    return str(raised.value).replace(str(path.parent), "DIR")


def test_a_missing_file_is_said_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").touch()

    assert load_error(tmp_path / "pipline.yaml") == (
        "DIR/pipline.yaml: no such file. Did you mean DIR/pipeline.yaml?"
    )


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    assert "There is no directory" in load_error(tmp_path / "nowhere" / "pipeline.yaml")


def test_a_directory_is_refused_with_the_manifest_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pipeline.yaml").touch()

    assert load_error(tmp_path / "a") == (
        "DIR/a: wanted a manifest file, got a directory. Did you mean DIR/a/pipeline.yaml?"
    )


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"ab\xff\xfe")

    assert load_error(tmp_path / "a.yaml") == (
        "DIR/a.yaml: wanted text in UTF-8, got other bytes at offset 2"
    )


def test_a_data_file_given_by_mistake_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n" * (LARGEST_MANIFEST_BYTES // 3 + 1))

    assert "at most 1 MiB" in load_error(tmp_path / "a.jsonl")
