"""The demo's pipeline on a part of its corpus, in this process; and how its end is summed up."""

from __future__ import annotations

import io
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import corpus
import demo
import pyarrow.parquet as pq
import pytest
import yaml

from curator_api.progress import ProgressSnapshot, RunReport, StageProgress, StageReport
from curator_api.v1alpha1 import CuratorPipeline
from curator_executor.api import Task
from curator_executor.runtime.compile import compile_manifest
from curator_executor.stages import language, tokens
from tests.unit.demo import in_process

# Packages with much documentation and vendored copies of others.
PARTS = ("pip/_internal", "pip/_vendor/rich", "pip/_vendor/requests", "rich", "requests")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, corpus.Summary]:
    """A corpus of a few installed packages."""
    packages = dict(corpus.roots())["packages"]
    output = tmp_path_factory.mktemp("demo")
    places = [(part, packages / part) for part in PARTS]
    return output, corpus.build(output / "corpus", places)


def stages_of(output: Path, documents_per_batch: int | None = None) -> list[Any]:
    manifest = yaml.safe_load(demo.own_manifest(output).read_text())
    if documents_per_batch is not None:
        manifest["spec"]["stages"][0]["args"]["documents_per_batch"] = documents_per_batch
    return list(compile_manifest(CuratorPipeline.model_validate(manifest), env={}).stages)


def taken_files(output: Path) -> dict[str, bytes]:
    """What was written, by name; it is gone afterwards."""
    files = {path.name: path.read_bytes() for path in (output / "documents").glob("*")}
    shutil.rmtree(output / "documents")
    return files


def rows_of(files: dict[str, bytes]) -> list[dict[str, Any]]:
    tables = [pq.read_table(io.BytesIO(content)).to_pylist() for content in files.values()]
    return sorted((row for table in tables for row in table), key=lambda row: str(row["id"]))


@dataclass
class Whole:
    """A run of the whole pipeline."""

    output: Path
    files: dict[str, bytes]
    outputs: list[Task[Any]]
    ran: list[in_process.Ran]


@pytest.fixture(scope="module")
def whole(
    made: tuple[Path, corpus.Summary], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    output, _ = made
    with pytest.MonkeyPatch.context() as patch:
        # Loaded once for all runs of this module.
        patch.setattr(language, "load_detector", cache(language.load_detector))
        patch.setattr(tokens, "load_counter", cache(tokens.load_counter))
        outputs, ran = in_process.run(stages_of(output), tmp_path_factory.mktemp("scratch"))
        yield Whole(output, taken_files(output), outputs, ran)


def test_every_document_is_written_or_dropped_for_a_reason(
    made: tuple[Path, corpus.Summary], whole: Whole
) -> None:
    _, summary = made
    rows = rows_of(whole.files)
    dropped = {stage.name: sum(stage.dropped.values()) for stage in whole.ran}
    assert summary.documents > 2000
    assert len(rows) + sum(dropped.values()) == summary.documents
    assert dropped["dedup.fuzzy_dedup"] > 100
    assert 0.2 < len(rows) / summary.documents < 0.8
    assert sum(task._metadata["documents"] for task in whole.outputs) == len(rows)
    known = {"id", "text", "path", "kind", "language", "language_score", "token_count"}
    assert set(rows[0]) == known
    assert min(row["token_count"] for row in rows) >= 15


def test_documents_kept_do_not_depend_on_the_size_of_batches(whole: Whole, tmp_path: Path) -> None:
    in_process.run(stages_of(whole.output, 37), tmp_path)
    assert rows_of(taken_files(whole.output)) == rows_of(whole.files)


def test_same_run_writes_the_same_files(whole: Whole, tmp_path: Path) -> None:
    in_process.run(stages_of(whole.output), tmp_path)
    assert taken_files(whole.output) == whole.files
    assert len(whole.files) > 1


def word_grams(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    last = max(len(words) - 4, 1)
    return frozenset(tuple(words[at : at + 5]) for at in range(last)) if words else frozenset()


def similar_pairs(grams: list[frozenset[Any]]) -> Iterator[tuple[int, int, float]]:
    """Pairs that share an n-gram, with their exact Jaccard similarity."""
    holders: dict[Any, list[int]] = defaultdict(list)
    for at, own in enumerate(grams):
        for gram in own:
            holders[gram].append(at)
    pairs = {pair for members in holders.values() for pair in combinations(members, 2)}
    for left, right in pairs:
        both = len(grams[left] & grams[right])
        yield left, right, both / (len(grams[left]) + len(grams[right]) - both)


def test_recall_and_precision_on_real_documents(
    made: tuple[Path, corpus.Summary], tmp_path: Path
) -> None:
    """Against the exact similarity of all pairs: what should go goes, and nothing else does."""
    output, _ = made
    *before, first, last = stages_of(output)[:-2]
    tasks, _ = in_process.run(before[:4], tmp_path / "before")
    documents = {i: t for task in tasks for i, t in zip(*columns(task), strict=True)}
    last.scratch_dir = str(tmp_path / "dedup")
    for task in tasks:
        last.process(first.process(task))
    kept = {identifier for task in last.finish() for identifier in columns(task)[0]}

    names = sorted(documents)
    near: dict[str, list[float]] = defaultdict(list)
    surely, together = 0, 0
    for left, right, similarity in similar_pairs([word_grams(documents[name]) for name in names]):
        for at in (left, right):
            near[names[at]].append(similarity)
        if similarity >= 0.85:
            surely += 1
            together += not (names[left] in kept and names[right] in kept)
    dropped = set(names) - kept
    assert surely > 200
    assert together / surely > 0.97
    assert len(dropped) > 100
    assert sum(max(near[name], default=0.0) >= 0.65 for name in dropped) / len(dropped) > 0.99


def columns(task: Any) -> tuple[list[str], list[str]]:
    return task.data["id"].to_pylist(), task.data["text"].to_pylist()


def test_copy_of_the_manifest_differs_in_its_paths_alone(tmp_path: Path, demo_folder: Path) -> None:
    original = (demo_folder / "pipeline.yaml").read_text()
    copy = demo.own_manifest(tmp_path).read_text()
    assert yaml.safe_load(copy) == yaml.safe_load(original.replace("out/demo", str(tmp_path)))
    assert copy.count(str(tmp_path)) == 2


def test_second_demo_in_the_same_place_is_kept_out(tmp_path: Path) -> None:
    with ExitStack() as first:
        first.enter_context(demo.held(tmp_path / "out"))
        with pytest.raises(SystemExit, match="another one is running in"):
            demo.held(tmp_path / "out").__enter__()
    with demo.held(tmp_path / "out"):
        pass


def test_summary_says_what_was_kept_and_dropped_and_where_the_time_went() -> None:
    reasons = {"too short": 20, "odd": 9, "bullets": 5, "hashes": 2, "a": 1}
    stages = [
        StageReport(progress=StageProgress(name="quality"), process_s=1.0, dropped=reasons),
        StageReport(progress=StageProgress(name="tokens"), process_s=3.0, metrics={"tokens": 5e6}),
    ]
    shot = ProgressSnapshot(run_id="r", pipeline="demo", state="Succeeded", time=0, elapsed_s=2)
    read = corpus.Summary(100, 4_000_000, files=3, skipped=0, inputs="", seconds=1, by_kind={})
    assert demo.sum_up(RunReport(snapshot=shot, stages=stages), read, kept=63) == [
        "kept        63 of 100 documents (63%) with 5,000,000 tokens",
        "dropped          37  quality: 20 too short, 9 odd, 5 bullets, 3 for 2 other reasons",
        "throughput  50 documents/s, 2.0 MB/s; 2 s in all",
        "time in     tokens      3.0 s  ######################",
        "time in     quality     1.0 s  ########",
    ]
