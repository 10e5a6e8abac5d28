"""`JsonlWriter`, `ParquetWriter`: one file per task, whole or not at all, the same each time."""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import gzip
import itertools
import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curator_executor.api import DocumentBatch
from curator_executor.stages.writers import JsonlWriter, ParquetWriter
from tests.unit.stages.batches import batch, texts_of

KEY = bytes(range(16))


def keyed(texts: list[str], key: bytes = KEY, **columns: Any) -> DocumentBatch:
    task = batch(texts, **columns)
    task._lineage_key = key
    return task


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ready(stage: Any) -> Any:
    stage.check()
    stage.setup_on_node()
    stage.setup()
    return stage


def test_file_is_named_after_the_lineage_key_and_its_place_is_returned(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = ready(JsonlWriter(str(out))).process(keyed(["a", "ü\n"]))
    path = out / f"{KEY.hex()}.jsonl"
    assert result.data == [str(path)]
    assert path.read_text() == '{"id": "d0", "text": "a"}\n{"id": "d1", "text": "ü\\n"}\n'
    assert result.dataset_name == "tests"
    assert result._metadata == {
        "source_files": ["f"],
        "documents": 2,
        "bytes": len(path.read_bytes()),
    }


def test_without_a_lineage_key_the_name_comes_from_the_task_id_or_the_content(
    tmp_path: Path,
) -> None:
    stage = JsonlWriter(str(tmp_path / "out"))
    first, second, third = batch(["a"]), batch(["a"]), batch(["b"])
    second.task_id = "0_8"
    third.task_id = ""
    paths = [stage.process(task).data[0] for task in (first, second, third, first)]
    assert len(set(paths)) == 3
    assert paths[3] == paths[0]


WRITERS: list[tuple[Any, dict[str, Any]]] = [
    (JsonlWriter, {}),
    (JsonlWriter, {"compression": "gz"}),
    (JsonlWriter, {"compression": "zst"}),
    (ParquetWriter, {}),
]


@pytest.mark.parametrize(("kind", "options"), WRITERS)
def test_writing_again_later_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, options: dict[str, Any]
) -> None:
    days = itertools.count(86_400, 86_400)
    monkeypatch.setattr(time, "time", lambda: float(next(days)))
    contents = []
    for folder in ("one", "two", "two"):
        stage = kind(str(tmp_path / folder), **options)
        (path,) = stage.process(keyed(["a", "b"])).data
        contents.append(Path(path).read_bytes())
    assert contents[0] == contents[1] == contents[2]
    assert len(names(tmp_path / "two")) == 1


def test_every_format_holds_what_was_given(tmp_path: Path) -> None:
    paths = [
        Path(kind(str(tmp_path), **options).process(keyed(["a", "b"])).data[0])
        for kind, options in WRITERS
    ]
    contents = [
        paths[0].read_bytes(),
        gzip.decompress(paths[1].read_bytes()),
        zstandard.ZstdDecompressor().decompress(paths[2].read_bytes()),
    ]
    for content in contents:
        assert [json.loads(line)["text"] for line in content.splitlines()] == ["a", "b"]
    assert pq.read_table(paths[3]).to_pylist() == batch(["a", "b"]).data.to_pylist()


@pytest.mark.parametrize(("kind", "options"), WRITERS)
def test_killed_between_write_and_rename_leaves_no_visible_file_and_the_retry_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, options: dict[str, Any]
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_arguments: Any) -> NoReturn:
        raise Killed

    stage = ready(kind(str(tmp_path / "out"), **options))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "replace", killed)
        patch.setattr(Path, "unlink", lambda _self: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            stage.process(keyed(["a"]))
    (left,) = names(tmp_path / "out")
    assert left.startswith(".tmp-")
    stage.process(keyed(["a"]))
    (name,) = names(tmp_path / "out")
    assert name.startswith(KEY.hex())


def test_earlier_file_stays_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ready(JsonlWriter(str(tmp_path)))
    (path,) = stage.process(keyed(["old"])).data
    before = Path(path).read_bytes()

    def fails(*_arguments: Any) -> NoReturn:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "write", fails)
    with pytest.raises(OSError, match="broken disk"):
        stage.process(keyed(["new"]))
    assert Path(path).read_bytes() == before
    assert names(tmp_path) == [Path(path).name]


def test_full_disk_names_the_file_and_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ready(JsonlWriter(str(tmp_path)))
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        write(descriptor, content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(
        OSError,
        match=r"no space left on the disk for a file of .*free space or"
        r" write elsewhere",
    ) as caught:
        stage.process(keyed(["a"]))
    assert caught.value.errno == errno.ENOSPC
    assert KEY.hex() in str(caught.value)
    assert names(tmp_path) == []


def test_partial_writes_of_the_system_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda d, content: write(d, content[:3]))
    (path,) = JsonlWriter(str(tmp_path)).process(keyed(["a long enough text"])).data
    assert json.loads(Path(path).read_text())["text"] == "a long enough text"


def test_leftovers_of_killed_writers_go_at_the_start_and_live_ones_stay(tmp_path: Path) -> None:
    dead, live = tmp_path / ".tmp-dead.jsonl", tmp_path / ".tmp-live.jsonl"
    dead.write_text("half")
    with live.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        JsonlWriter(str(tmp_path), mode="append").setup_on_node()
        assert names(tmp_path) == [live.name]
    JsonlWriter(str(tmp_path), mode="append").setup_on_node()
    assert names(tmp_path) == []


def test_writer_that_waited_for_another_of_the_same_file_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. Two attempts of one task open the temporary file. 2. The first gets the lock and renames.
    3. The second gets the lock of a file that is the final one by now: it must not truncate it.
    """
    stage = ready(JsonlWriter(str(tmp_path)))
    lock = fcntl.flock
    seen: list[int] = []

    def first_writer_finishes_meanwhile(descriptor: int, operation: int) -> None:
        lock(descriptor, operation)
        if not seen:
            seen.append(os.fstat(descriptor).st_ino)
            final = tmp_path / f"{KEY.hex()}.jsonl"
            os.write(descriptor, b"by the first")
            (tmp_path / f".tmp-{final.name}").replace(final)

    monkeypatch.setattr(fcntl, "flock", first_writer_finishes_meanwhile)
    truncated: list[int] = []
    truncate = os.truncate

    def noted(descriptor: int, length: int) -> None:
        truncated.append(os.fstat(descriptor).st_ino)
        truncate(descriptor, length)

    monkeypatch.setattr(os, "truncate", noted)
    (path,) = stage.process(keyed(["by the second"])).data
    assert truncated
    assert seen[0] not in truncated
    assert json.loads(Path(path).read_text())["text"] == "by the second"


def test_disk_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_descriptor: int, _operation: int) -> NoReturn:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (path,) = JsonlWriter(str(tmp_path)).process(keyed(["a"])).data
    assert Path(path).exists()


def test_object_store_gets_one_complete_put(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    puts: list[str] = []
    pipe = type(store).pipe_file

    def noted(self: Any, path: str, value: bytes, **more: Any) -> None:
        puts.append(path)
        pipe(self, path, value, **more)

    monkeypatch.setattr(type(store), "pipe_file", noted)
    stage = ready(JsonlWriter("memory://writer-test/out"))
    (path,) = stage.process(keyed(["a"])).data
    assert path == f"memory://writer-test/out/{KEY.hex()}.jsonl"
    assert puts == [f"/writer-test/out/{KEY.hex()}.jsonl"]


def test_output_directory_with_files_is_refused_unless_the_mode_allows_it(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("{}")
    (tmp_path / ".tmp-x").write_text("left over")
    with pytest.raises(FileExistsError, match=r"holds 1 files already, old\.jsonl for one"):
        JsonlWriter(str(tmp_path)).check()
    JsonlWriter(str(tmp_path), mode="append").check()
    assert names(tmp_path) == [".tmp-x", "old.jsonl"]


def test_checking_changes_nothing(tmp_path: Path) -> None:
    JsonlWriter(str(tmp_path / "out")).check()
    JsonlWriter(str(tmp_path / "out"), mode="overwrite").check()
    assert names(tmp_path) == []


def test_overwrite_removes_earlier_output_and_nothing_else(tmp_path: Path) -> None:
    earlier = tmp_path / f"{'ab' * 16}.jsonl"
    for path in (earlier, tmp_path / "mine.jsonl"):
        path.write_text("{}")
        os.utime(path, (1, 1))
    stage = JsonlWriter(str(tmp_path), mode="overwrite")
    stage.check()
    assert earlier.exists()
    stage.setup_on_node()
    assert names(tmp_path) == ["mine.jsonl"]


def test_overwrite_on_a_second_node_spares_what_the_run_wrote(tmp_path: Path) -> None:
    stage = ready(JsonlWriter(str(tmp_path), mode="overwrite"))
    stage.process(keyed(["a"]))
    stage.setup_on_node()
    assert names(tmp_path) == [f"{KEY.hex()}.jsonl"]


def test_output_place_that_cannot_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "below"):
        with pytest.raises(ValueError, match=r"file is a file, wanted a directory"):
            JsonlWriter(str(path)).check()
    # Root may write anywhere, so the answer is given instead of a directory without permission.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(ValueError, match="no permission to write into"):
        JsonlWriter(str(tmp_path / "new")).check()


def test_fields_select_and_order_columns(tmp_path: Path) -> None:
    stage = JsonlWriter(str(tmp_path), fields=["text", "n"])
    (path,) = stage.process(keyed(["a"], n=[1])).data
    assert Path(path).read_text() == '{"text": "a", "n": 1}\n'
    with pytest.raises(ValueError, match=r"no column 'n'; columns: id, text"):
        stage.process(keyed(["a"]))


def test_values_that_json_lacks_become_text_or_null(tmp_path: Path) -> None:
    task = keyed(["a"], day=[dt.date(2024, 5, 1)], price=[Decimal("1.50")], score=[float("nan")])
    (path,) = JsonlWriter(str(tmp_path)).process(task).data
    row = json.loads(Path(path).read_text())
    assert row == {"id": "d0", "text": "a", "day": "2024-05-01", "price": "1.50", "score": None}


def test_value_that_a_format_cannot_hold_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'raw' holds bytes, which JSON cannot hold"):
        JsonlWriter(str(tmp_path)).process(keyed(["a"], raw=[b"\x00"]))
    empty = pa.array([{}], pa.struct([]))
    with pytest.raises(ValueError, match=r"Parquet cannot hold these columns: .*meta"):
        ParquetWriter(str(tmp_path)).process(keyed(["a"], meta=empty))


def test_null_column_can_be_written_as_parquet(tmp_path: Path) -> None:
    (path,) = ParquetWriter(str(tmp_path)).process(keyed(["a"], n=[None])).data
    assert pq.read_table(path).to_pylist() == [{"id": "d0", "text": "a", "n": None}]


def test_index_of_a_filtered_frame_does_not_reach_the_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"]})
    task = DocumentBatch(dataset_name="tests", data=frame[frame["text"] == "b"])
    (path,) = ParquetWriter(str(tmp_path)).process(task).data
    table = pq.read_table(path)
    assert table.column_names == ["text"]
    assert table.schema.metadata is None
    assert texts_of(task) == ["b"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (JsonlWriter, {"path": ""}, "path must be a directory or URL, got ''"),
        (
            JsonlWriter,
            {"path": "a", "mode": "overwrit"},
            "mode must be one of .*did you mean 'over",
        ),
        (JsonlWriter, {"path": "a", "compression": "gzip"}, "compression must be one of none, gz"),
        (ParquetWriter, {"path": "a", "compression": "zst"}, "did you mean 'zstd'"),
    ],
)
def test_bad_argument_is_named(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)
