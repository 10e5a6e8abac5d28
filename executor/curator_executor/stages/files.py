"""Find files (local, glob, directory or any fsspec URL) and hand them out in groups: `FileList`.

Called by the readers. Local paths are made absolute when a stage is built, because workers have
another current directory.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from curator_executor.api import EmptyTask, FileGroupTask, ProcessingStage
from curator_executor.stages import arguments

log = logging.getLogger("curator_executor.stages")
COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
# What an error shows of a directory that holds nothing usable.
_SHOWN = 5


def absolute(path: str) -> str:
    """A local path made absolute; a URL as it is."""
    if "://" in path and not path.startswith(("file://", "local://")):
        return path
    return posixpath.normpath(str(LocalFileSystem._strip_protocol(path)))


def open_filesystem(path: str, options: Mapping[str, Any] | None) -> tuple[Any, str]:
    """The file system of a path, and the path in its own terms.

    Raises:
        ValueError: the protocol is unknown or its library is not installed.
    """
    try:
        filesystem, inner = fsspec.core.url_to_fs(path, **(options or {}))
    except (ValueError, ImportError) as error:
        extras = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
        extra = extras.get(path.partition("://")[0])
        hint = f"; install curator-operator[{extra}]" if extra else ""
        raise ValueError(f"{path}: cannot be opened: {error}{hint}") from error
    return filesystem, inner


def is_local(filesystem: Any) -> bool:
    """Whether paths are on this machine's disks."""
    return isinstance(filesystem, LocalFileSystem)


def expand(
    paths: Sequence[str],
    suffixes: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """All files behind paths, sorted, each with its name: the path below what was asked for.

    Args:
        paths: files, directories (searched to any depth) or globs.
        suffixes: what files of a directory must end in, compressed or not; empty for all. Files
            and directories that begin with a dot or an underscore are left out.
        options: for the file system (credentials, end points).

    Returns:
        Name by path. Names are unique and do not depend on where the data lie.

    Raises:
        FileNotFoundError: a path matches nothing.
    """
    name_by_path: dict[str, str] = {}
    for path in paths:
        for found, name in _expand_one(path, suffixes, options):
            name_by_path.setdefault(found, _bare(name))
    seen: dict[str, list[str]] = {}
    for found, name in name_by_path.items():
        seen.setdefault(name, []).append(found)
    for name, same in seen.items():
        if len(same) > 1:
            for found in same:
                mark = hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()[:8]
                name_by_path[found] = f"{name}~{mark}"
    return dict(sorted(name_by_path.items()))


def _expand_one(
    path: str, suffixes: Sequence[str], options: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    filesystem, inner = open_filesystem(path, options)

    def shown(found: str) -> str:
        return found if is_local(filesystem) else str(filesystem.unstrip_protocol(found))

    if filesystem.isfile(inner):
        yield shown(inner), posixpath.basename(inner)
        return
    if filesystem.isdir(inner):
        everything = sorted(filesystem.find(inner))
        root = inner.rstrip("/") + "/"
        visible = [f for f in everything if not _is_hidden(f.removeprefix(root))]
        usable = [f for f in visible if _has_suffix(f, suffixes)]
        if not usable:
            raise FileNotFoundError(_nothing_in(path, visible, suffixes))
        if len(usable) < len(everything):
            log.info("left_out files=%d dir=%s", len(everything) - len(usable), path)
        for found in usable:
            yield shown(found), found.removeprefix(root)
        return
    magic = min((inner.find(c) for c in "*?[" if c in inner), default=-1)
    matched = (
        [f for f in sorted(filesystem.glob(inner)) if filesystem.isfile(f)] if magic >= 0 else []
    )
    if not matched:
        raise FileNotFoundError(_nothing_at(path, filesystem, inner, is_glob=magic >= 0))
    root = inner[: inner.rfind("/", 0, magic) + 1]
    for found in matched:
        yield shown(found), found.removeprefix(root)


def _bare(name: str) -> str:
    """A file name without what says how it is written: `a/b.jsonl.gz` → `a/b`."""
    head, _, tail = name.rpartition("/")
    for suffix in COMPRESSION_SUFFIXES:
        tail = tail.removesuffix(suffix)
    stem = posixpath.splitext(tail)[0]
    return f"{head}/{stem}" if head else stem


def _is_hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split("/"))


def _has_suffix(path: str, suffixes: Sequence[str]) -> bool:
    for ending in COMPRESSION_SUFFIXES:
        path = path.removesuffix(ending)
    return not suffixes or path.endswith(tuple(suffixes))


def _nothing_in(path: str, visible: Sequence[str], suffixes: Sequence[str]) -> str:
    wanted = f"files ending in {', '.join(suffixes)}" if suffixes else "files"
    if not visible:
        return f"{path}: the directory has no {wanted}; it is empty"
    names = ", ".join(posixpath.basename(f) for f in visible[:_SHOWN])
    return (
        f"{path}: the directory has no {wanted} (compressed or not); it has {names}"
        f"{', …' if len(visible) > _SHOWN else ''}. Name files or a glob to read them all the same"
    )


def _nothing_at(path: str, filesystem: Any, inner: str, *, is_glob: bool) -> str:
    if is_glob:
        return f"{path}: no file matches this pattern"
    parent = posixpath.dirname(inner.rstrip("/"))
    try:
        names = [posixpath.basename(f) for f in filesystem.ls(parent, detail=False)]
    except (OSError, ValueError):
        return f"{path}: no such file or directory; {parent or '/'} does not exist either"
    return f"{path}: no such file or directory{arguments.near(posixpath.basename(inner), names)}"


@dataclass(eq=False, repr=False)
class FileList(ProcessingStage[EmptyTask, FileGroupTask]):
    """Source stage: emits the files behind paths, in sorted order, in groups.

    Attributes:
        paths: a file, directory, glob or fsspec URL, or a list of them.
        files_per_task: files in one emitted task.
        suffixes: what files of a directory must end in; empty for all.
        dataset_name: of the emitted tasks; by default the last part of the first path.
        storage_options: passed on to fsspec.
    """

    paths: str | list[str]
    files_per_task: int = 1
    suffixes: list[str] = field(default_factory=list)
    dataset_name: str = ""
    storage_options: dict[str, Any] = field(default_factory=dict)
    name: str = "list_files"
    is_pure = True

    def __post_init__(self) -> None:
        self.paths = [absolute(p) for p in arguments.texts("FileList", "paths", self.paths)]
        arguments.whole("FileList", "files_per_task", self.files_per_task)

    def num_workers(self) -> int | None:
        """One: there is one list."""
        return 1

    def check(self) -> None:
        """Refuse paths that match nothing, before any worker starts.

        Raises:
            FileNotFoundError: a path matches nothing.
            ValueError: a protocol that cannot be opened.
        """
        expand(self.paths, self.suffixes, self.storage_options)

    def process(self, task: EmptyTask) -> list[FileGroupTask]:
        """The groups of files.

        Raises:
            FileNotFoundError: a path matches nothing.
        """
        name_by_path = expand(self.paths, self.suffixes, self.storage_options)
        files = list(name_by_path)
        data_set = self.dataset_name or posixpath.basename(self.paths[0].rstrip("/")) or "files"
        return [
            FileGroupTask(
                dataset_name=data_set,
                data=group,
                reader_config={"names": [name_by_path[path] for path in group]},
            )
            for group in (
                files[start : start + self.files_per_task]
                for start in range(0, len(files), self.files_per_task)
            )
        ]
