"""The manifests under `examples/` run as their READMEs say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.integration.commands import ROOT, curator

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples, as in the repository."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run(folder: Path, name: str) -> str:
    ended = curator("run", f"examples/{name}/pipeline.yaml", directory=folder)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def test_text_curation_keeps_good_english_documents_once(folder: Path) -> None:
    said = run(folder, "text-curation")
    rows = [
        row
        for path in sorted((folder / "out/text-curation").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert 0 < len(rows) < 40
    assert all(row["token_count"] > 0 and row["language"] == "en" for row in rows)
    assert "near-duplicate" in said


def test_fan_out_finds_one_result_for_every_paragraph(folder: Path) -> None:
    said = run(folder, "fan-out")
    [row] = [line.split() for line in said.splitlines() if line.startswith("longest-sen")]
    assert row[1:3] == ["10", "10"]


def test_custom_stage_beside_the_manifest_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READING_SPEED", "200")
    run(folder, "custom-stage")
    rows = [
        json.loads(line)
        for path in (folder / "out/custom-stage").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert rows
    assert all("minutes" in " ".join(row) for row in rows), rows[:1]
