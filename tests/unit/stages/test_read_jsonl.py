"""`JsonlReadStage`: what is read, what is refused, and how much is in memory meanwhile."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curator_executor.api import EmptyTask
from curator_executor.stages import read_jsonl
from curator_executor.stages.read_jsonl import JsonlReadStage
from curator_executor.stages.readers import JsonlReader
from tests.unit.stages.batches import dropped, group, lines, read, rows

compress_zst = zstandard.ZstdCompressor().compress
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": compress_zst,
}


def written(folder: Path, content: bytes, name: str = "part.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed_file_reads_like_the_plain_one(tmp_path: Path, suffix: str) -> None:
    content = lines({"text": f"t{n}"} for n in range(5))
    path = written(tmp_path, COMPRESSIONS[suffix](content), f"part.jsonl{suffix}")
    assert [row["text"] for row in rows(read(JsonlReadStage(), path))] == [
        f"t{n}" for n in range(5)
    ]


@pytest.mark.parametrize("suffix", [s for s in COMPRESSIONS if s])
def test_file_of_several_compressed_members_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESSIONS[suffix]
    content = compress(lines([{"text": "a"}])) + compress(lines([{"text": "b"}]))
    path = written(tmp_path, content, f"part.jsonl{suffix}")
    assert [row["text"] for row in rows(read(JsonlReadStage(), path))] == ["a", "b"]


@pytest.mark.parametrize("suffix", [s for s in COMPRESSIONS if s])
def test_file_that_is_cut_off_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    noise = lines({"text": os.urandom(40).hex()} for _ in range(500))
    content = COMPRESSIONS[suffix](noise)
    path = written(tmp_path, content[: len(content) // 2], f"part.jsonl{suffix}")
    with pytest.raises(
        ValueError, match=rf"part\.jsonl{suffix} after line \d+: cut off or damaged"
    ):
        read(JsonlReadStage(), path)


def test_skipping_keeps_what_came_before_the_damage(tmp_path: Path) -> None:
    noise = lines({"text": os.urandom(40).hex()} for _ in range(500))
    content = gzip.compress(noise)
    path = written(tmp_path, content[: len(content) // 2], "part.jsonl.gz")
    stage = JsonlReadStage(on_error="skip")
    assert 0 < len(rows(read(stage, path))) < 500
    assert dropped(stage) == {"unreadable file": 1}


def test_plain_text_named_gz_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, lines([{"text": "a"}]), "part.jsonl.gz")
    with pytest.raises(ValueError, match=r"after line 0: cut off or damaged: Not a gzipped file"):
        read(JsonlReadStage(), path)


def test_empty_file_and_blank_lines_give_no_documents(tmp_path: Path) -> None:
    assert read(JsonlReadStage(), written(tmp_path, b"")) == []
    assert rows(read(JsonlReadStage(), written(tmp_path, b'\n  \n{"text": "a"}\n\n'))) == [
        {"text": "a", "id": "part-3"}
    ]


def test_last_line_needs_no_line_end(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"text": "a"}\n{"text": "b"}')
    assert len(rows(read(JsonlReadStage(), path))) == 2


GOOD = b'{"text": "good"}\n'
BAD = [
    (b'{"text": "a",}\n', "malformed JSON line", r"line 2: malformed JSON at column 14: "),
    (b'{"text": "\xff"}\n', "malformed JSON line", r"line 2: not UTF-8"),
    (b'["text"]\n', "not a JSON object", r"line 2: holds list, wanted an object"),
    (b'{"txt": "a"}\n', "no text", r"no field 'text'; fields: txt; did you mean 'txt'\?"),
    (b'{"text": null}\n', "no text", r"line 2: 'text' holds NoneType, wanted a string"),
    (b'{"text": "a\\ud800"}\n', "value of another type", r"line 2: field 'text' has half of"),
    (b"[" * 100_000 + b"\n", "malformed JSON line", r"line 2: malformed JSON"),
]


@pytest.mark.parametrize(("line", "reason", "message"), BAD)
def test_bad_line_is_named_by_file_and_number(
    tmp_path: Path, line: bytes, reason: str, message: str
) -> None:
    path = written(tmp_path, GOOD + line + GOOD)
    with pytest.raises(ValueError, match=message) as caught:
        read(JsonlReadStage(), path)
    assert str(path) in str(caught.value)
    assert "on_error: skip" in str(caught.value)


@pytest.mark.parametrize(("line", "reason", "message"), BAD)
def test_skipped_line_is_counted_and_the_others_stay(
    tmp_path: Path, line: bytes, reason: str, message: str
) -> None:
    stage = JsonlReadStage(on_error="skip")
    read_rows = rows(read(stage, written(tmp_path, GOOD + line + GOOD)))
    assert [row["id"] for row in read_rows] == ["part-1", "part-3"]
    assert dropped(stage) == {reason: 1}


def test_line_too_long_for_jsonl_is_refused_without_reading_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_jsonl, "LONGEST_LINE_BYTES", 1000)
    path = written(tmp_path, GOOD + b'{"text": "' + b"x" * 5000 + b'"}\n')
    with pytest.raises(ValueError, match=r"line 2: longer than .* this is no JSONL"):
        read(JsonlReadStage(), path)


def test_batches_have_the_rows_asked_for_and_say_where_they_are_from(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"text": str(n)} for n in range(5)))
    batches = read(JsonlReadStage(documents_per_batch=2), path)
    assert [b.num_items for b in batches] == [2, 2, 1]
    assert batches[1]._metadata == {"source_files": [str(path)], "source_rows": [3, 4]}


def test_batch_ends_early_when_its_documents_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_jsonl, "BATCH_BYTES", 100)
    path = written(tmp_path, lines({"text": "x" * 80} for _ in range(4)))
    assert [b.num_items for b in read(JsonlReadStage(), path)] == [2, 2]


def test_first_batch_comes_before_the_rest_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"text": str(n)} for n in range(2)) + b"broken\n")
    batches = JsonlReadStage(documents_per_batch=2).process(group(path))
    assert next(batches).num_items == 2
    with pytest.raises(ValueError, match="line 3"):
        next(batches)


def test_types_widen_within_a_file_and_unknown_columns_are_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines(
            [
                {"text": "a", "n": None, "score": 1, "meta": {"x": 1}},
                {"text": "b", "n": 1, "score": 1.5, "meta": {"y": "z"}},
                {"text": "c"},
            ]
        ),
    )
    tables = [b.to_pyarrow() for b in read(JsonlReadStage(documents_per_batch=1), path)]
    assert [t.schema.field("n").type for t in tables] == [pa.string(), pa.int64(), pa.int64()]
    assert [t.schema.field("score").type for t in tables] == [
        pa.int64(),
        pa.float64(),
        pa.float64(),
    ]
    assert tables[2].to_pylist()[0]["meta"] is None
    assert tables[1].to_pylist()[0]["meta"] == {"x": None, "y": "z"}
    assert tables[2].column_names == tables[1].column_names


def test_value_of_another_type_is_named_or_skipped(tmp_path: Path) -> None:
    path = written(
        tmp_path, lines([{"text": "a", "n": 1}, {"text": "b", "n": "one"}, {"text": "c", "n": 2}])
    )
    message = r"line 2: field 'n' holds \"one\", where rows before it hold int64"
    for size in (1, 3):
        with pytest.raises(ValueError, match=message):
            read(JsonlReadStage(documents_per_batch=size), path)
        stage = JsonlReadStage(documents_per_batch=size, on_error="skip")
        assert [row["text"] for row in rows(read(stage, path))] == ["a", "c"]
        assert dropped(stage) == {"value of another type": 1}


def test_given_types_settle_mixed_columns(tmp_path: Path) -> None:
    path = written(tmp_path, lines([{"text": "a", "n": 1}, {"text": "b", "n": {"m": ["é"]}}]))
    stage = JsonlReadStage(types={"n": "json"})
    assert [row["n"] for row in rows(read(stage, path))] == ["1", '{"m": ["é"]}']
    with pytest.raises(ValueError, match=r"types\['n'\] must be a PyArrow type .*got 'strin'"):
        JsonlReadStage(types={"n": "strin"})


def test_ids_are_made_where_missing_and_kept_where_given(tmp_path: Path) -> None:
    path = written(tmp_path, lines([{"text": "a", "id": 5}, {"text": "b"}]), "news.2024.jsonl")
    assert [row["id"] for row in rows(read(JsonlReadStage(), path))] == ["5", "news-2"]


def test_named_id_field_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, lines([{"text": "a", "url": "u1"}, {"text": "b"}]))
    with pytest.raises(ValueError, match=r"line 2: has no 'url'; fields: text"):
        read(JsonlReadStage(id_field="url"), path)


def test_fields_select_columns_and_text_and_id_stay(tmp_path: Path) -> None:
    path = written(tmp_path, lines([{"text": "a", "url": "u", "more": 1}]))
    stage = JsonlReadStage(fields=["url"])
    assert rows(read(stage, path)) == [{"id": "part-1", "text": "a", "url": "u"}]


def test_reader_is_a_list_of_files_and_a_reading_stage(tmp_path: Path) -> None:
    written(tmp_path, lines([{"text": "a"}]), "a.jsonl")
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", lines([{"text": "b"}]), "b.jsonl")
    files, reading = JsonlReader(str(tmp_path), files_per_task=2).decompose()
    assert [files.name, reading.name] == ["list_files", "read_jsonl"]
    (task,) = list(files.process(EmptyTask()) or ())
    assert [row["id"] for row in rows(reading.process_batch([task]))] == ["a-1", "deep/b-1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_error": "skpi"}, r"on_error must be one of raise, skip, got 'skpi'; did you mean"),
        ({"documents_per_batch": 0}, "documents_per_batch must be a whole number"),
        ({"text_field": ""}, "text_field must be the name of a column"),
        ({"fields": "url", "id_field": 3}, "id_field must be the name of a column, got 3"),
    ],
)
def test_bad_argument_is_named_when_the_reader_is_built(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        JsonlReader("somewhere", **arguments)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    st.lists(st.fixed_dictionaries({"text": st.text()}, optional={"x": st.text()}), max_size=8),
    st.integers(1, 4),
)
def test_documents_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]], size: int
) -> None:
    path = written(tmp_path_factory.mktemp("d"), lines(documents))
    found = rows(read(JsonlReadStage(documents_per_batch=size), path))
    assert [(r["text"], r.get("x")) for r in found] == [(d["text"], d.get("x")) for d in documents]


@given(st.lists(st.fixed_dictionaries({"text": st.text(), "x": json_values}), max_size=8))
def test_any_values_are_either_read_or_counted(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]]
) -> None:
    path = written(tmp_path_factory.mktemp("d"), lines(documents))
    stage = JsonlReadStage(documents_per_batch=3, on_error="skip")
    found = rows(read(stage, path))
    assert len(found) + sum(dropped(stage).values()) == len(documents)
    stage = JsonlReadStage(types={"x": "json"})
    kept = [json.loads(row["x"] or "null") for row in rows(read(stage, path))]
    assert kept == [document["x"] for document in documents]
