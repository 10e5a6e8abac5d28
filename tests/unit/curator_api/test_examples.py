"""The examples are what they say they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from curator_api.load import load_manifest
from curator_executor.runtime.compile import check_stages, compile_manifest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["text-curation", "fan-out", "custom-stage"])
def test_example_is_a_manifest_named_after_its_folder(name: str) -> None:
    assert load_manifest(EXAMPLES / name / "pipeline.yaml").metadata.name == name


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (
            "text-curation",
            [
                "read.list_files",
                "read.read_jsonl",
                "unicode",
                "language",
                "quality",
                "dedup.minhash",
                "dedup.fuzzy_dedup",
                "tokens",
                "write",
            ],
        ),
        ("fan-out", ["files", "paragraphs", "longest-sentence", "collect"]),
        ("custom-stage", ["read.list_files", "read.read_jsonl", "reading-time", "write"]),
    ],
)
def test_example_compiles_and_could_start(
    name: str, stages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(EXAMPLES.parent)
    pipeline = compile_manifest(
        load_manifest(EXAMPLES / name / "pipeline.yaml"),
        env={"READING_SPEED": "200"},
        directory=EXAMPLES / name,
    )

    assert [stage.name for stage in pipeline.stages] == stages
    assert pipeline.notes == []
    assert check_stages(pipeline.stages) == []


def test_text_example_has_forty_documents_with_copies_among_them() -> None:
    rows = [
        json.loads(line)
        for file in sorted((EXAMPLES / "text-curation" / "input").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]

    assert len(rows) == len({row["id"] for row in rows}) == 40
    assert len({row["text"] for row in rows}) == 37
