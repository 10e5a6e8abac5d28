"""The demo's pipeline writes the same files, byte for byte, however it runs and whatever dies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curator_api.progress import RunReport
from curator_api.v1alpha1 import CuratorPipeline
from curator_executor import DocumentBatch
from curator_executor.runtime.compile import CompiledPipeline, compile_manifest
from curator_executor.runtime.run import run_stages
from tests.integration.marks import Marks
from tests.integration.pieces import FOUR_CPUS, TWO_CPUS
from tests.integration.same_files_corpus import DEMO, PLANTED, SHARDS, Corpus, build
from tests.integration.same_files_stages import DIED

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
MIB = 1024 * 1024
# Small batches, so that few documents make many tasks.
DOCUMENTS_PER_BATCH = 50
BEFORE_DEDUP = ("unicode", "spaces", "quality", "language")


def compiled(corpus: Path, output: Path, **changes: dict[str, Any]) -> CompiledPipeline:
    """The demo's pipeline with other paths, and what is to be changed in a stage, by its name."""
    manifest = yaml.safe_load((DEMO / "pipeline.yaml").read_text())
    stages = {stage["name"]: stage for stage in manifest["spec"]["stages"]}
    read = {"paths": f"{corpus}/*.jsonl.gz", "documents_per_batch": DOCUMENTS_PER_BATCH}
    stages["read"]["args"].update(read)
    stages["write"]["args"]["path"] = str(output)
    for name, change in changes.items():
        args = {**stages[name].get("args", {}), **change.get("args", {})}
        stages[name].update({**change, "args": args})
    return compile_manifest(CuratorPipeline.model_validate(manifest), env={})


def kept_before_dedup(documents: Sequence[Any]) -> set[str]:
    """Ids of the documents that the demo's filters keep, called one after another in here."""
    stages = {s.name: s for s in compiled(Path("/corpus"), Path("/output")).stages}
    table = pa.table({"id": [d.id for d in documents], "text": [d.text for d in documents]})
    task: Any = DocumentBatch("documents", data=table)
    for name in BEFORE_DEDUP:
        task = stages[name].process(task)
    return set(task.to_pyarrow().column("id").to_pylist())


def run(pipeline: CompiledPipeline, **options: Any) -> RunReport:
    options.setdefault("cpu_allocation_percentage", TWO_CPUS)
    settings = replace(pipeline.settings, **options)
    return run_stages(pipeline.stages, None, settings, pipeline_name=pipeline.name).report


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 by name of all that lies in a directory, hidden files too."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


@dataclass(frozen=True)
class Reference:
    """A run with one worker a stage, to which all others are compared."""

    files: dict[str, str]
    ids: set[str]
    report: RunReport


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build(tmp_path_factory.mktemp("same_files") / "corpus", kept_before_dedup)


@pytest.fixture(scope="module")
def reference(
    local_ray: None, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    output = tmp_path_factory.mktemp("reference")
    report = run(compiled(corpus.directory, output), max_workers_per_stage=1)
    tables = [pq.read_table(path, columns=["id"]) for path in output.glob("*.parquet")]
    ids = [identifier for table in tables for identifier in table.column("id").to_pylist()]
    assert len(ids) == len(set(ids)), "a document was written twice"
    return Reference(hashes(output), set(ids), report)


@pytest.fixture(autouse=True)
def nothing_is_left(reference: Reference, on_ray: None) -> None:
    """Checked after each test; the reference is made before, so it is no part of that."""


def difference(found: dict[str, str], wanted: dict[str, str]) -> dict[str, list[str]]:
    """What differs between two sets of files, by kind; empty if nothing does."""
    kinds = {
        "missing": sorted(wanted.keys() - found.keys()),
        "too many": sorted(found.keys() - wanted.keys()),
        "other bytes": sorted(n for n in wanted.keys() & found.keys() if wanted[n] != found[n]),
    }
    return {kind: names for kind, names in kinds.items() if names}


def total(report: RunReport, figure: str) -> int:
    return sum(getattr(stage, figure) for stage in report.stages)


def test_reference_has_something_to_say(corpus: Corpus, reference: Reference) -> None:
    """Many files, and every stage that can drop documents dropped some."""
    assert 1_500 <= len(corpus.ids) <= 3_500
    assert len(reference.files) >= 30
    assert all(name.endswith(".parquet") for name in reference.files)
    stages = {stage.progress.name: stage for stage in reference.report.stages}
    drops = {name: sum(stage.dropped.values()) for name, stage in stages.items()}
    assert drops["quality"] > 100
    assert drops["language"] >= SHARDS
    assert drops["dedup.fuzzy_dedup"] >= PLANTED
    assert len(reference.ids) + sum(drops.values()) == len(corpus.ids)
    assert total(reference.report, "workers_died") == 0


def test_of_duplicates_in_different_shards_the_smallest_id_stays(
    corpus: Corpus, reference: Reference
) -> None:
    assert len(corpus.planted) == PLANTED
    stay, go = map(set, zip(*corpus.planted, strict=True))
    assert go & reference.ids == set()
    assert stay - reference.ids == set()
    assert any(name.startswith("a-copy/") for name in stay)
    assert any(name.startswith("z-copy/") for name in go)


def test_several_workers_write_the_same_files_as_one(
    corpus: Corpus, reference: Reference, tmp_path: Path
) -> None:
    report = run(
        compiled(corpus.directory, tmp_path / "output"),
        cpu_allocation_percentage=FOUR_CPUS,
        max_workers_per_stage=4,
        target_call_s=0.01,
    )
    assert max(stage.workers_started for stage in report.stages) > 1
    assert difference(hashes(tmp_path / "output"), reference.files) == {}


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_size_of_blocks_does_not_reach_the_files(
    corpus: Corpus, reference: Reference, tmp_path: Path, fusion: bool
) -> None:
    sizes = {
        "small": {"target_call_s": 0.01, "max_block_bytes": 64 * 1024},
        "large": {"target_call_s": 1.0, "max_block_bytes": 16 * MIB},
    }
    calls = {}
    for name, options in sizes.items():
        report = run(compiled(corpus.directory, tmp_path / name), fusion=fusion, **options)
        calls[name] = total(report, "calls")
        assert difference(hashes(tmp_path / name), reference.files) == {}, name
    assert calls["small"] > 1.5 * calls["large"]


def test_batch_size_does_not_reach_the_files(
    corpus: Corpus, reference: Reference, tmp_path: Path
) -> None:
    """The reference has batches of one, the default."""
    sized: dict[str, Any] = {"batchSize": 7}
    changes = dict.fromkeys((*BEFORE_DEDUP, "tokens"), sized)
    changes["dedup"] = {"parts": {"minhash": sized, "fuzzy_dedup": sized}}
    pipeline = compiled(corpus.directory, tmp_path / "output", **changes)
    report = run(pipeline)
    assert [stage.batch_size for stage in pipeline.stages] == [1, 1, 7, 7, 7, 7, 7, 7, 7, 1]
    assert total(report, "batches") < total(reference.report, "batches")
    assert difference(hashes(tmp_path / "output"), reference.files) == {}


def test_batch_mode_writes_the_same_files_as_streaming(
    corpus: Corpus, reference: Reference, tmp_path: Path
) -> None:
    pipeline = compiled(corpus.directory, tmp_path / "output")
    assert pipeline.settings.execution_mode == "streaming"
    run(pipeline, execution_mode="batch")
    assert difference(hashes(tmp_path / "output"), reference.files) == {}


STAGES = "tests.integration.same_files_stages"
DEATHS = {
    "while it filters": ("quality", "DyingQuality", {}),
    "before the deduplication stored a batch": (
        "dedup",
        "DyingDedup",
        {"phase": "before storing"},
    ),
    "after the deduplication stored a batch": (
        "dedup",
        "DyingDedup",
        {"phase": "after storing"},
    ),
    "while the deduplication gives out": ("dedup", "DyingDedup", {"phase": "finish"}),
    "between write and rename": ("write", "DyingWriter", {}),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_is_killed_leaves_no_trace_in_the_files(
    corpus: Corpus, reference: Reference, tmp_path: Path, marks: Marks, death: str
) -> None:
    """The files are those of the reference and there are no others, so no temporary ones either."""
    stage, kind, args = DEATHS[death]
    # Of a survivor: its batch comes to every stage. In the middle, so that work is done already.
    survivors = [identifier for identifier in corpus.ids if identifier in reference.ids]
    own = {"marks": marks.directory, "victim": survivors[len(survivors) // 2]}
    change = {stage: {"class": f"{STAGES}.{kind}", "args": {**args, **own}}}
    # Small blocks: some of what the killed worker gave has been handed on.
    report = run(
        compiled(corpus.directory, tmp_path / "output", **change),
        target_call_s=0.01,
        max_block_bytes=64 * 1024,
    )
    assert marks.is_set(DIED)
    assert total(report, "workers_died") == 1
    assert report.dead_letters == []
    assert difference(hashes(tmp_path / "output"), reference.files) == {}
    if stage == "write":
        temporary, size = marks.wait(DIED).split()
        final = temporary.removeprefix(".tmp-")
        assert final in reference.files
        assert int(size) == (tmp_path / "output" / final).stat().st_size
