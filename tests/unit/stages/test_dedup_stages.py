"""Duplicates go, the smallest id stays, and nothing else changes, in whatever order they came."""

from __future__ import annotations

import gc
import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator_executor.api import DocumentBatch
from curator_executor.stages.dedup import ExactDedup, FuzzyDedup, FuzzyDedupGlobal
from curator_executor.stages.minhash import SIGNATURE_COLUMN, MinHashSignatures

Document = tuple[Any, str]


def words(seed: int, count: int = 200) -> list[str]:
    rng = random.Random(seed)
    return [f"w{rng.randrange(3000)}" for _ in range(count)]


def article(seed: int, changed_at: Sequence[int] = ()) -> str:
    return " ".join("new" if at in changed_at else word for at, word in enumerate(words(seed)))


def task_of(documents: Sequence[Document], number: int = 0) -> DocumentBatch:
    ids, texts = zip(*documents, strict=True)
    task = DocumentBatch("docs", pa.table({"id": list(ids), "text": list(texts)}))
    task.task_id = f"0_{number}"
    task._metadata = {"number": number}
    task.__dict__["_lineage_key"] = number.to_bytes(16, "big")
    return task


def run(stage: Any, tasks: Iterable[DocumentBatch], scratch: Path) -> list[DocumentBatch]:
    """Take all in and give them out, in one process."""
    stages = stage.decompose() if isinstance(stage, FuzzyDedup) else [stage]
    stages[-1].scratch_dir = str(scratch)
    for task in tasks:
        prepared = stages[0].process(task) if len(stages) > 1 else task
        assert stages[-1].process(prepared) is None
    return list(stages[-1].finish())


def ids_of(tasks: Iterable[DocumentBatch]) -> list[Any]:
    return [identifier for task in tasks for identifier in task.data["id"].to_pylist()]


def test_near_duplicates_go_and_other_documents_stay(tmp_path: Path) -> None:
    documents = [
        ("c", article(1, changed_at=[50])),
        ("a", article(2)),
        ("b", article(1)),
        ("d", article(3)),
        ("e", article(2, changed_at=[0, 199])),
    ]
    kept = run(FuzzyDedup(), [task_of(documents[:2], 1), task_of(documents[2:], 2)], tmp_path)
    assert [ids_of([task]) for task in kept] == [["a"], ["b", "d"]]


def test_texts_that_share_half_their_words_are_both_kept(tmp_path: Path) -> None:
    first = words(1)
    second = first[:100] + words(2)[100:]
    documents = [("a", " ".join(first)), ("b", " ".join(second))]
    assert ids_of(run(FuzzyDedup(), [task_of(documents)], tmp_path)) == ["a", "b"]


def test_texts_without_words_are_never_near_duplicates(tmp_path: Path) -> None:
    documents = [("a", "..."), ("b", "..."), ("c", ""), ("d", "")]
    assert ids_of(run(FuzzyDedup(), [task_of(documents)], tmp_path)) == ["a", "b", "c", "d"]


def test_smallest_id_of_a_chain_stays(tmp_path: Path) -> None:
    """A is near B and B near C, but A is not near C: one group all the same."""
    near = list(range(20, 30))
    nearer = [*near, *range(120, 130)]
    documents = [("3", article(1)), ("2", article(1, nearer)), ("1", article(1, near))]
    only_ends = [documents[0], documents[1]]
    stage = FuzzyDedup(threshold=0.81, bands=56)  # the pairs have 0.87, 0.87 and 0.75
    assert ids_of(run(stage, [task_of(only_ends)], tmp_path / "ends")) == ["3", "2"]
    assert ids_of(run(stage, [task_of(documents)], tmp_path / "chain")) == ["1"]


def test_task_keeps_its_id_metadata_and_lineage(tmp_path: Path) -> None:
    (kept,) = run(FuzzyDedup(), [task_of([("a", article(1)), ("b", article(1))], 5)], tmp_path)
    assert kept.task_id == "0_5"
    assert kept._metadata == {"number": 5}
    assert kept._lineage_key == (5).to_bytes(16, "big")
    assert kept.data.column_names == ["id", "text"]
    assert kept.dataset_name == "docs"


def test_task_without_survivors_is_not_emitted(tmp_path: Path) -> None:
    kept = run(
        ExactDedup(), [task_of([("b", "x")], 1), task_of([("a", "x"), ("c", "x")], 2)], tmp_path
    )
    assert [(task.task_id, ids_of([task])) for task in kept] == [("0_2", ["a"])]


def test_columns_of_every_type_pass_through(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(["a", "b"]).dictionary_encode(),
            "text": ["same words here", "same words here"],
            "tags": [["x"], None],
            "meta": [{"n": 1}, {"n": 2}],
        }
    )
    task = DocumentBatch("docs", table)
    task.task_id = "0_0"
    (kept,) = run(FuzzyDedup(), [task], tmp_path)
    assert kept.data.equals(table.slice(0, 1))


def test_report_counts_by_reason_and_shows_both_ids(tmp_path: Path) -> None:
    first, last = FuzzyDedup().decompose()
    last.scratch_dir = str(tmp_path)
    documents = [(name, article(1)) for name in "bacefg"] + [("d", article(2))]
    last.process(first.process(task_of(documents)))
    list(last.finish())
    metrics = last._consume_custom_metrics()
    seen = last._consume_observations()
    assert seen is not None
    assert (seen.kept, seen.dropped) == (2, {"near-duplicate": 5})
    assert seen.dropped_samples[0][0] == "near-duplicate"
    assert seen.dropped_samples[0][1].startswith("b is like a: w")
    assert metrics.keys() == {"matching_s", "candidate_pairs", "near_duplicate_pairs"}


FAMILIES = [article(seed, range(0, changed * 3, 3)) for seed in range(4) for changed in range(5)]
MIXED = [
    (f"{at * 7919 % 1000:03}", text)
    for at, text in enumerate([*FAMILIES, "", "", "...", "one two", "one two", *FAMILIES[::3]])
]


@st.composite
def splits(draw: st.DrawFn) -> list[DocumentBatch]:
    """The same documents in another order, cut into other tasks."""
    documents = draw(st.permutations(MIXED))
    cuts = draw(st.lists(st.integers(1, len(documents) - 1), max_size=6, unique=True))
    edges = [0, *sorted(cuts), len(documents)]
    numbers = draw(st.permutations(range(len(edges) - 1)))
    parts = [documents[a:b] for a, b in pairwise(edges)]
    return [task_of(part, number) for part, number in zip(parts, numbers, strict=True)]


@pytest.mark.parametrize("stage", [FuzzyDedup(), ExactDedup()], ids=["fuzzy", "exact"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(splits())
def test_survivors_do_not_depend_on_order_or_on_how_documents_were_split(
    tmp_path_factory: pytest.TempPathFactory, stage: Any, tasks: list[DocumentBatch]
) -> None:
    expected = run(stage, [task_of(MIXED)], tmp_path_factory.mktemp("whole"))
    found = run(stage, tasks, tmp_path_factory.mktemp("split"))
    assert sorted(ids_of(found)) == sorted(ids_of(expected))
    assert [task._lineage_key for task in found] == sorted(task._lineage_key for task in found)


def prepared_tasks() -> list[DocumentBatch]:
    stage = MinHashSignatures()
    return [stage.process(task_of(MIXED[at : at + 4], 90 - at)) for at in range(0, len(MIXED), 4)]


def new_worker(scratch: Path) -> FuzzyDedupGlobal:
    stage = FuzzyDedupGlobal()
    stage.scratch_dir = str(scratch)
    stage.setup()
    return stage


def contents(tasks: Iterable[DocumentBatch]) -> list[tuple[str, dict[str, list[Any]]]]:
    return [(task.task_id, task.data.to_pydict()) for task in tasks]


def test_worker_killed_half_way_in_is_replaced_without_a_trace(tmp_path: Path) -> None:
    """The first one took five tasks in, and died while it wrote the sixth."""
    tasks = prepared_tasks()
    undisturbed = new_worker(tmp_path / "undisturbed")
    for task in tasks:
        undisturbed.process(task)
    scratch = tmp_path / "killed"
    first = new_worker(scratch)
    for task in tasks[:5]:
        first.process(task)
    (scratch / f".tmp-{tasks[5]._lineage_key.hex()}.arrow").write_bytes(b"ARROW1\0\0half")
    second = new_worker(scratch)
    for task in tasks[5:]:
        second.process(task)
    assert contents(second.finish()) == contents(undisturbed.finish())


def test_worker_killed_while_giving_out_is_replaced_by_one_that_gives_out_the_same(
    tmp_path: Path,
) -> None:
    first = new_worker(tmp_path)
    for task in prepared_tasks():
        first.process(task)
    whole = contents(new_worker(tmp_path).finish())
    outputs = iter(first.finish())
    seen = contents(next(outputs) for _ in range(3))
    assert seen == whole[:3]
    assert contents(new_worker(tmp_path).finish()) == whole
    assert len(whole) > 4


def test_task_taken_in_twice_changes_nothing(tmp_path: Path) -> None:
    stage = new_worker(tmp_path)
    tasks = prepared_tasks()
    for task in [*tasks, *tasks[::2]]:
        stage.process(task)
    assert len(ids_of(stage.finish())) == len(set(ids_of(stage.finish())))


def test_memory_holds_no_document_that_was_taken_in(tmp_path: Path) -> None:
    """Neither the objects nor, when finishing, more than one batch of texts at a time."""
    stage = new_worker(tmp_path)
    long = "long " * 42_000
    gc.collect()
    before = pa.total_allocated_bytes()
    for number in range(20):
        texts = [(f"{number}-{n}", f"{long}{number} {n}") for n in range(2)]
        stage.process(MinHashSignatures().process(task_of(texts, number)))
    gc.collect()
    assert pa.total_allocated_bytes() - before < 2**18
    most = 0
    for _task in stage.finish():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 2**20


def test_exact_duplicates_are_those_with_the_same_characters(tmp_path: Path) -> None:
    documents = [(5, "Some text."), (3, "some text."), (4, "Some text."), (9, "Some  text.")]
    kept = run(ExactDedup(), [task_of(documents)], tmp_path)
    assert ids_of(kept) == [3, 4, 9]


class GivenHashes(ExactDedup):
    """Takes the texts themselves for hashes."""

    def keyed(self, table: pa.Table) -> pa.Table:
        return table.append_column(self.key_column, table["text"].cast(pa.binary(16)))


def test_hashes_that_differ_in_one_half_are_told_apart(tmp_path: Path) -> None:
    texts = ["a" * 16, "a" * 8 + "b" * 8, "a" * 16, "b" * 8 + "a" * 8, "a" * 8 + "b" * 8]
    kept = run(GivenHashes(), [task_of(list(enumerate(texts)))], tmp_path)
    assert ids_of(kept) == [0, 1, 3]


@pytest.mark.parametrize(("normalize", "kept"), [("spaces", [3, 4]), ("words", [3])])
def test_exact_duplicates_after_normalising(
    tmp_path: Path, normalize: str, kept: list[int]
) -> None:
    documents = [(5, "Some text."), (3, "some text"), (4, "Some\n text. ")]
    stage = ExactDedup(normalize=normalize)
    assert ids_of(run(stage, [task_of(documents)], tmp_path)) == kept


def test_original_text_is_what_comes_out_not_the_normalised_one(tmp_path: Path) -> None:
    (kept,) = run(ExactDedup(normalize="words"), [task_of([("a", " A  B. ")])], tmp_path)
    assert kept.data.to_pydict() == {"id": ["a"], "text": [" A  B. "]}


def test_numbers_are_ordered_as_numbers_and_text_as_text(tmp_path: Path) -> None:
    numbers = [(10, "same"), (9, "same")]
    texts = [("10", "same"), ("9", "same")]
    assert ids_of(run(ExactDedup(), [task_of(numbers)], tmp_path / "numbers")) == [9]
    assert ids_of(run(ExactDedup(), [task_of(texts)], tmp_path / "texts")) == ["10"]


@pytest.mark.parametrize("stage", [FuzzyDedup(), ExactDedup()], ids=["fuzzy", "exact"])
@pytest.mark.parametrize("tasks", [[], [task_of([("a", "")])]], ids=["nothing", "an empty text"])
def test_little_input_is_fine(stage: Any, tasks: list[DocumentBatch], tmp_path: Path) -> None:
    assert ids_of(run(stage, tasks, tmp_path)) == ids_of(tasks)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"text": ["x"]}, "have no column 'id'; columns: text. Set id_field to"),
        ({"id": ["a", None], "text": ["x", "y"]}, "1 of 2 documents have no 'id' (row 1 is the"),
        ({"id": [0.5], "text": ["x"]}, "column 'id' holds double, wanted text or whole numbers"),
        ({"id": ["a"], "body": ["x"]}, "documents have no column 'text'"),
        ({"id": ["a"], "text": [None]}, "document 'a': column 'text' holds NoneType, wanted text"),
    ],
)
def test_documents_that_cannot_be_compared_are_said(
    table: dict[str, list[Any]], said: str, tmp_path: Path
) -> None:
    task = DocumentBatch("docs", pa.table(table))
    task.task_id = "0_0"
    with pytest.raises(ValueError, match=re.escape(said)):
        run(ExactDedup(), [task], tmp_path)


def test_ids_of_different_types_are_said(tmp_path: Path) -> None:
    tasks = [task_of([("a", "x")], 1), task_of([(1, "x")], 2)]
    with pytest.raises(ValueError, match="holds int64 and large_string in different tasks"):
        run(ExactDedup(), tasks, tmp_path)


def test_missing_or_misshapen_signatures_are_said(tmp_path: Path) -> None:
    stage = FuzzyDedupGlobal()
    stage.scratch_dir = str(tmp_path)
    with pytest.raises(ValueError, match="put MinHashSignatures before it, or use FuzzyDedup"):
        stage.process(task_of([("a", "x")]))
    other = MinHashSignatures(hashes=64).process(task_of([("a", "x")]))
    with pytest.raises(ValueError, match=r"MinHashSignatures needs hashes=112"):
        stage.process(other)


def test_without_a_scratch_directory_it_says_who_sets_it() -> None:
    with pytest.raises(ValueError, match="scratch_dir is not set; the executor sets it"):
        ExactDedup().process(task_of([("a", "x")]))


@pytest.mark.parametrize(
    ("stage", "arguments", "said"),
    [
        (FuzzyDedup, {"threshold": 75}, "threshold must be a number from 0 to 1, got 75"),
        (FuzzyDedup, {"unit": "word"}, "FuzzyDedup: unit must be one of words, characters"),
        (FuzzyDedup, {"bands": 0}, "bands must be a whole number >= 1, got 0"),
        (FuzzyDedup, {"id_field": None}, "id_field must be the name of a column, got None"),
        (ExactDedup, {"normalize": "space"}, "got 'space'; did you mean 'spaces'?"),
    ],
)
def test_wrong_argument_is_named(stage: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        stage(**arguments)


def test_parts_of_the_composite_agree_on_the_shape() -> None:
    first, last = FuzzyDedup(ngram=3, bands=9, rows=13, threshold=0.8).decompose()
    assert [first.name, last.name] == ["minhash", "fuzzy_dedup"]
    assert first.hashes == 117  # type: ignore[attr-defined]
    assert (last.is_global_stage, last.keeps_state_in_scratch) == (True, True)
    signed = first.process(task_of([("a", "one two three four")]))
    assert last.inputs() == (["data"], ["id", SIGNATURE_COLUMN])
    assert last.validate_input(signed)  # type: ignore[arg-type]


def test_ids_that_occur_more_than_once_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = ExactDedup()
    documents = [("a", "one"), ("b", "two"), ("a", "three"), ("a", "four"), ("c", "five")]
    with caplog.at_level("WARNING", "curator_executor"):
        run(stage, [task_of(documents)], tmp_path)
    assert "2 documents have an id in column 'id' that another one has, a for one" in caplog.text
    assert stage._consume_custom_metrics()["repeated_ids"] == 2


def test_unique_ids_are_not_worth_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "curator_executor"):
        run(ExactDedup(), [task_of([("a", "one"), ("b", "one")])], tmp_path)
    assert caplog.text == ""
