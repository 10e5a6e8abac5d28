"""Bad input ends with one clear message and a non-zero exit; before work starts where it can."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.integration.commands import curator

pytestmark = pytest.mark.integration

MANIFEST = """\
apiVersion: curator.dev/v1alpha1
kind: CuratorPipeline
metadata: {name: bad-input}
spec:
  stages:
  - name: read
    class: curator_executor.stages.JsonlReader
    args: {paths: "in/*", text_field: text}
  - name: own
    class: own_stages.Same
  - name: write
    class: curator_executor.stages.JsonlWriter
    args: {path: out}
"""
OWN_STAGES = """\
from curator_executor import ProcessingStage


class Same(ProcessingStage):
    name = "same"

    def process(self, task):
        return task


class Wrong(ProcessingStage):
    name = "wrong"

    def process(self, task):
        return "a text"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline that works, with ten documents."""
    (tmp_path / "pipeline.yaml").write_text(MANIFEST)
    (tmp_path / "own_stages.py").write_text(OWN_STAGES)
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"id": str(n), "text": f"Document {n}."}) for n in range(10)]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def change(folder: Path, before: str, after: str) -> None:
    text = (folder / "pipeline.yaml").read_text()
    assert before in text
    (folder / "pipeline.yaml").write_text(text.replace(before, after))


def refused(folder: Path) -> str:
    """What a run says that ends before Ray is started."""
    ended = curator("run", "pipeline.yaml", directory=folder)
    assert ended.returncode == 2, ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    assert "curator-run" not in ended.stdout
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())
    return ended.stderr


def failed(folder: Path, *, wrapper: tuple[str, ...] = ()) -> str:
    """What a run says that fails on the way; the message comes once."""
    ended = curator("run", "pipeline.yaml", directory=folder, wrapper=wrapper)
    assert ended.returncode == 1, ended.stderr + ended.stdout
    messages = [line for line in ended.stderr.splitlines() if line.startswith("curator: ")]
    assert messages, ended.stderr
    return ended.stderr


def test_missing_files_are_named_before_work_starts(folder: Path) -> None:
    change(folder, "in/*", "nowhere/*.jsonl")
    assert "nowhere/*.jsonl" in refused(folder)


def test_stage_that_cannot_be_imported_is_named_with_its_place(folder: Path) -> None:
    change(folder, "own_stages.Same", "own_stages.Sama")
    said = refused(folder)
    assert "spec.stages[1].class" in said
    assert "Same" in said


def test_resources_that_fit_no_node_are_compared_with_what_there_is(folder: Path) -> None:
    change(folder, "class: own_stages.Same", "class: own_stages.Same\n    resources: {cpus: 4000}")
    ended = curator("run", "pipeline.yaml", directory=folder)
    assert ended.returncode == 2
    assert 'stage "own": needs 4000 CPUs per worker, the largest node offers' in ended.stderr


def test_unreadable_gzip_is_named_with_its_file(folder: Path) -> None:
    whole = gzip.compress(b'{"id": "1", "text": "Document."}\n' * 1000)
    (folder / "in" / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    said = failed(folder)
    assert "cut.jsonl.gz" in said
    assert 'stage "read.read_jsonl" failed' in said


def test_malformed_line_is_named_with_file_and_number(folder: Path) -> None:
    with (folder / "in" / "a.jsonl").open("a") as file:
        file.write('{"id": "11", "text": \n')
    said = failed(folder)
    assert "a.jsonl" in said
    assert "11" in said


def test_wrong_type_from_a_stage_is_told_with_what_is_wanted(folder: Path) -> None:
    change(folder, "own_stages.Same", "own_stages.Wrong")
    assert "stage own: process() returned str, wanted a Task" in failed(folder)


def test_empty_input_is_not_taken_for_success(folder: Path) -> None:
    (folder / "in" / "a.jsonl").write_text("")
    assert 'the input is empty: stage "read.read_jsonl" took 1 task and emitted none' in failed(
        folder
    )


def test_full_disk_is_told_with_the_path(folder: Path) -> None:
    rows = [json.dumps({"id": str(n), "text": f"{n} " * 2000}) for n in range(400)]
    (folder / "in" / "a.jsonl").write_text("\n".join(rows))
    (folder / "out").mkdir()
    # A file system of 256 kB, in a mount namespace that ends with the command.
    mount = 'mount -t tmpfs -o size=256k none out && exec "$@"'
    said = failed(
        folder, wrapper=("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    )
    assert "out" in said
    assert "No space left on device" in said
