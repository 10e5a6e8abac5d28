"""Tasks wait on disk, whole or not at all, and come back as they were."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from curator_executor.api import DocumentBatch, FileGroupTask, StagePerfStats, Task
from curator_executor.stages.spool import SpoolError, TaskSpool, key_of


def batch(key: int, texts: list[str] | None = None) -> DocumentBatch:
    task = DocumentBatch(
        dataset_name="docs",
        data=pa.table({"id": [f"{key}-{n}" for n in range(2)], "text": texts or ["one", "two"]}),
        _metadata={"source": "a.jsonl", "numbers": [1, 2]},
    )
    task.task_id = f"0_{key}"
    task.__dict__["_lineage_key"] = bytes([key]) * 16
    return task


def test_everything_about_a_task_comes_back(tmp_path: Path) -> None:
    task = batch(7)
    task.add_stage_perf(StagePerfStats("read", process_time=0.5, num_items_processed=2))
    task.__dict__["_perf_packed"] = b"packed"
    task.__dict__["_source_id"] = "source"
    TaskSpool(tmp_path).append(task)
    back = TaskSpool(tmp_path).read(b"\7" * 16)
    assert type(back) is DocumentBatch
    assert back.data.equals(task.data, check_metadata=True)
    assert back.__dict__.keys() == task.__dict__.keys()
    for name in task.__dict__.keys() - {"data"}:
        assert back.__dict__[name] == task.__dict__[name], name


def test_schema_metadata_of_the_payload_survives(tmp_path: Path) -> None:
    task = batch(1)
    task.data = task.data.replace_schema_metadata({"license": "mit"})
    spool = TaskSpool(tmp_path)
    spool.append(task)
    assert spool.read(b"\1" * 16).data.schema.metadata == {b"license": b"mit"}


def test_frame_comes_back_as_a_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "size": [1, 2]}, index=[4, 9])
    task = DocumentBatch(dataset_name="docs", data=frame)
    task.task_id = "0_1"
    spool = TaskSpool(tmp_path)
    spool.append(task)
    (back,) = list(spool)
    pd.testing.assert_frame_equal(back.data, frame)


def test_frame_that_arrow_cannot_hold_is_pickled(tmp_path: Path) -> None:
    task = DocumentBatch(dataset_name="docs", data=pd.DataFrame({"odd": [1, "one"]}))
    task.task_id = "0_1"
    spool = TaskSpool(tmp_path)
    spool.append(task)
    (back,) = list(spool)
    assert back.data["odd"].tolist() == [1, "one"]


@dataclass
class Clip(Task[bytes]):
    seconds: float = 1.0
    data: bytes = b""
    tags: list[str] = field(default_factory=list)

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


@pytest.mark.parametrize(
    "task",
    [Clip(dataset_name="clips", data=b"\0\1", tags=["x"]), FileGroupTask("f", data=["a", "b"])],
    ids=["own class", "file group"],
)
def test_tasks_of_other_kinds_come_back(tmp_path: Path, task: Task[Any]) -> None:
    task.task_id = "0_5"
    TaskSpool(tmp_path).append(task)
    (back,) = list(TaskSpool(tmp_path))
    assert back == task
    assert back.task_id == "0_5"


def test_a_key_is_stored_once_and_the_first_one_stays(tmp_path: Path) -> None:
    spool = TaskSpool(tmp_path)
    assert spool.append(batch(3, ["first", "a"])) is True
    assert spool.append(batch(3, ["second", "b"])) is False
    assert TaskSpool(tmp_path).append(batch(3, ["third", "c"])) is False
    assert len(spool) == 1
    assert spool.read(b"\3" * 16).data["text"].to_pylist() == ["first", "a"]


def test_order_is_that_of_the_keys(tmp_path: Path) -> None:
    spool = TaskSpool(tmp_path)
    for key in (9, 200, 4):
        spool.append(batch(key))
    assert spool.keys() == [bytes([key]) * 16 for key in (4, 9, 200)]
    assert [task.task_id for task in TaskSpool(tmp_path)] == ["0_4", "0_9", "0_200"]
    assert [c.to_pylist()[0] for c in spool.column("id")] == ["4-0", "9-0", "200-0"]


def test_without_a_lineage_key_the_task_id_names_the_file(tmp_path: Path) -> None:
    first, second = batch(1), batch(2)
    del first.__dict__["_lineage_key"], second.__dict__["_lineage_key"]
    spool = TaskSpool(tmp_path)
    assert [spool.append(first), spool.append(second), spool.append(first)] == [True, True, False]
    assert key_of(first) in spool
    first.task_id = ""
    with pytest.raises(ValueError, match="no lineage key and no task_id"):
        spool.append(first)


def test_what_a_killed_worker_had_half_written_is_removed(tmp_path: Path) -> None:
    TaskSpool(tmp_path).append(batch(1))
    whole = (tmp_path / f"{'01' * 16}.arrow").read_bytes()
    (tmp_path / f".tmp-{'02' * 16}.arrow").write_bytes(whole[:100])
    reopened = TaskSpool(tmp_path)
    assert reopened.keys() == [b"\1" * 16]
    assert [path.name for path in tmp_path.iterdir()] == [f"{'01' * 16}.arrow"]


def test_full_disk_names_the_directory_and_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = TaskSpool(tmp_path)

    def half(self: Path, content: Any) -> int:
        with self.open("wb") as stream:
            stream.write(bytes(content)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SpoolError, match="has no room for a task of") as raised:
        spool.append(batch(1))
    assert raised.value.errno == errno.ENOSPC
    for said in (str(tmp_path), "scratch_dir", "TMPDIR"):
        assert said in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    assert len(spool) == 0
    monkeypatch.undo()
    assert spool.append(batch(1)) is True


def test_damaged_file_is_said_by_name(tmp_path: Path) -> None:
    spool = TaskSpool(tmp_path)
    spool.append(batch(1))
    path = tmp_path / f"{'01' * 16}.arrow"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SpoolError, match=f"has lost {path.name}"):
        spool.read(b"\1" * 16)
    path.unlink()
    with pytest.raises(SpoolError, match=f"has lost {path.name}"):
        list(spool.column("id"))


def test_unknown_column_is_said_with_the_known_ones(tmp_path: Path) -> None:
    spool = TaskSpool(tmp_path)
    spool.append(batch(1))
    with pytest.raises(KeyError, match="no column 'ids': id, text"):
        list(spool.column("ids"))


def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file cannot be used"):
        TaskSpool(tmp_path / "file")
