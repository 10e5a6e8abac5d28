"""`FileList`: paths become groups of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from curator_executor.api import EmptyTask
from curator_executor.stages.files import FileList, expand


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [
        "b.jsonl",
        "a.jsonl.gz",
        "deep/c.jsonl",
        "notes.txt",
        ".hidden.jsonl",
        "_tmp/d.jsonl",
    ]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_directory_gives_visible_files_with_the_suffix_at_any_depth_sorted(tree: Path) -> None:
    assert expand([str(tree)], [".jsonl"]) == {
        str(tree / "a.jsonl.gz"): "a",
        str(tree / "b.jsonl"): "b",
        str(tree / "deep" / "c.jsonl"): "deep/c",
    }


def test_named_file_and_glob_need_no_suffix(tree: Path) -> None:
    found = expand([str(tree / "notes.txt"), str(tree / "*" / "c.*")], [".jsonl"])
    assert found == {str(tree / "deep" / "c.jsonl"): "deep/c", str(tree / "notes.txt"): "notes"}


def test_file_that_two_paths_name_is_read_once(tree: Path) -> None:
    assert list(expand([str(tree / "b.jsonl"), str(tree / "b.*")])) == [str(tree / "b.jsonl")]


def test_files_of_one_name_in_two_roots_get_different_names(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.jsonl").write_bytes(b"")
    names = list(expand([str(tmp_path / "x"), str(tmp_path / "y")]).values())
    assert len(set(names)) == 2
    assert all(name.startswith("part~") for name in names)


def test_name_with_glob_characters_is_a_file_first(tmp_path: Path) -> None:
    path = tmp_path / "a[1].jsonl"
    path.write_bytes(b"")
    assert expand([str(path)]) == {str(path): "a[1]"}


def test_url_of_another_file_system_keeps_its_protocol() -> None:
    with fsspec.open("memory://bucket/in/a.jsonl", "wb") as file:
        file.write(b"")
    assert expand(["memory://bucket/in"]) == {"memory:///bucket/in/a.jsonl": "a"}


def test_groups_have_at_most_files_per_task_files(tree: Path) -> None:
    stage = FileList([str(tree)], files_per_task=2, suffixes=[".jsonl"])
    groups = stage.process(EmptyTask())
    assert [task.num_items for task in groups] == [2, 1]
    assert groups[0].reader_config == {"names": ["a", "b"]}
    assert {task.dataset_name for task in groups} == {tree.name}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("b.json", r"b\.json: no such file or directory; did you mean 'b\.jsonl'\?"),
        ("*.parquet", r"no file matches this pattern"),
        ("none/at/all.jsonl", r"no such file or directory; .*none/at does not exist either"),
    ],
)
def test_path_that_matches_nothing_is_refused_before_the_run(
    tree: Path, path: str, message: str
) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        FileList(str(tree / path)).check()


def test_directory_without_usable_files_says_what_is_there(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no files ending in \.csv .*it has a\.jsonl\.gz"):
        expand([str(tree)], [".csv"])
    (tree / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match="it is empty"):
        expand([str(tree / "nothing")], [".csv"])


def test_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be opened: Protocol not known: nosuch"):
        FileList("nosuch://bucket/a").check()


def test_relative_path_is_made_absolute_where_the_stage_is_built(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    stage = FileList("deep/../b.jsonl")
    monkeypatch.chdir(tree.parent)
    assert stage.process(EmptyTask())[0].data == [str(tree / "b.jsonl")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": []}, "paths must be a string or a list"),
        ({"paths": "a", "files_per_task": 0}, "files_per_task must be a whole number >= 1, got 0"),
    ],
)
def test_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FileList(**arguments)
