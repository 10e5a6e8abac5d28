"""`ParquetReadStage`: what is read and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator_executor.api import EmptyTask
from curator_executor.stages.read_parquet import ParquetReadStage
from curator_executor.stages.readers import ParquetReader
from tests.unit.stages.batches import dropped, group, read, rows


def written(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "part.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_batches_cross_row_groups_and_say_where_they_are_from(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": [str(n) for n in range(10)]}, row_group_size=3)
    batches = read(ParquetReadStage(documents_per_batch=4), path)
    assert sum(b.num_items for b in batches) == 10
    assert max(b.num_items for b in batches) <= 4
    assert batches[0]._metadata == {
        "source_files": [str(path)],
        "source_rows": [1, batches[0].num_items],
    }
    assert [row["id"] for row in rows(batches)] == [f"part-{n}" for n in range(1, 11)]


def test_row_group_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    texts = [os.urandom(500).hex() for _ in range(8000)]
    path = written(tmp_path, {"text": texts}, row_group_size=8000, use_dictionary=False)
    del texts
    before = pa.total_allocated_bytes()
    most = 0
    for one in ParquetReadStage(documents_per_batch=100).process(group(path)):
        most = max(most, pa.total_allocated_bytes() - before)
        del one
    assert most < path.stat().st_size / 2


def test_ids_are_text_and_made_where_missing(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a", "b"], "id": [7, None]})
    assert rows(read(ParquetReadStage(), path)) == [
        {"text": "a", "id": "7"},
        {"text": "b", "id": "part-2"},
    ]


def test_fields_select_columns(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a"], "url": ["u"], "more": [1]})
    found = rows(read(ParquetReadStage(fields=["url"]), path))
    assert found == [{"id": "part-1", "text": "a", "url": "u"}]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"txt": ["a"]}, {}, r"has no column 'text'; columns: txt; did you mean 'txt'\?"),
        ({"text": ["a"]}, {"fields": ["ulr"]}, r"has no column 'ulr'; columns: text"),
        ({"text": ["a"]}, {"id_field": "url"}, r"has no column 'url'"),
        ({"text": [1]}, {}, r"column 'text' is int64, wanted string"),
        ({"text": ["a", None]}, {}, r"part\.parquet row 2: 'text' is null"),
        ({"text": ["a"], "u": [None]}, {"id_field": "u"}, r"row 1: 'u' is null"),
    ],
)
def test_wrong_columns_and_nulls_are_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, columns)
    with pytest.raises(ValueError, match=message):
        read(ParquetReadStage(**options), path)


def test_rows_without_text_are_skipped_and_keep_the_others_ids(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a", None, "c"]})
    stage = ParquetReadStage(on_error="skip")
    assert [row["id"] for row in rows(read(stage, path))] == ["part-1", "part-3"]
    assert dropped(stage) == {"no text": 1}


def test_damaged_file_is_named_or_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": [str(n) for n in range(1000)]})
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no parquet at all", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"part\.parquet after row 0: no Parquet, cut off"):
            read(ParquetReadStage(), path)
        stage = ParquetReadStage(on_error="skip")
        assert read(stage, path) == []
        assert dropped(stage) == {"unreadable file": 1}


def test_reader_lists_files_and_reads_them(tmp_path: Path) -> None:
    written(tmp_path, {"text": ["a"]})
    files, reading = ParquetReader(str(tmp_path), id_field=None).decompose()
    (task,) = list(files.process(EmptyTask()) or ())
    assert [files.name, reading.name] == ["list_files", "read_parquet"]
    assert rows(reading.process_batch([task])) == [{"id": "part-1", "text": "a"}]
