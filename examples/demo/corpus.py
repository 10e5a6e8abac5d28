"""Make the demo's corpus out of the documentation that any Python installation has.

Docstrings, comment blocks, text files and package descriptions of the standard library and of the
installed packages: tens of thousands of real documents, with real near-duplicates (vendored
copies, overloads, boiler-plate) and nothing to download. Source files are read, never imported.

Called by `demo.py`; alone: `python corpus.py DIRECTORY`.
"""

from __future__ import annotations

import ast
import email
import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import decode_source
from pathlib import Path

SHARDS = 16
SUMMARY = "corpus.json"
# Changes when the same files give other documents.
FORMAT = "1"
TEXT_SUFFIXES = (".md", ".rst", ".txt")
# Larger files are vocabularies and test data, not documentation.
MOST_BYTES = 1_000_000
# Shorter comments are remarks on a line of code.
COMMENT_LINES = 5
# Tests are half of the code and hardly any of its documentation.
LEFT_OUT_FOLDERS = {"__pycache__", "node_modules", "test", "tests", "idle_test"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_COMMENTS = re.compile(rf"(?:^[ \t]*#(?!!).*\n){{{COMMENT_LINES},}}", re.MULTILINE)
_COMMENT_MARK = re.compile(r"^[ \t]*#+ ?", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """A document of the corpus.

    Attributes:
        id: unique, and the same on every machine with the same packages.
        text: the documentation.
        path: file that it is from, below the folder of its root.
        kind: `module`, `class`, `function`, `comment`, `file` or `package`.
    """

    id: str
    text: str
    path: str
    kind: str


@dataclass(frozen=True)
class Summary:
    """What a corpus holds.

    Attributes:
        documents: number of documents.
        text_bytes: bytes of their texts, as UTF-8.
        files: source files read.
        skipped: source files that are no Python of this version, or no text.
        inputs: see `inputs_hash`.
        seconds: how long it took.
        by_kind: documents by kind.
    """

    documents: int
    text_bytes: int
    files: int
    skipped: int
    inputs: str
    seconds: float
    by_kind: dict[str, int]


def roots() -> list[tuple[str, Path]]:
    """(name, folder) of the standard library and of the installed packages."""
    paths = sysconfig.get_paths()
    found = {"stdlib": Path(paths["stdlib"]), "packages": Path(paths["purelib"])}
    if Path(paths["platlib"]) != Path(paths["purelib"]):
        found["platform-packages"] = Path(paths["platlib"])
    return [(name, folder) for name, folder in found.items() if folder.is_dir()]


def source_files(folder: Path) -> list[str]:
    """Paths below a folder of the files that may hold documentation, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        # The standard library's folder may have the installed packages in it.
        folders[:] = [
            name
            for name in sorted(folders)
            if name not in LEFT_OUT_FOLDERS
            and not (Path(parent) == folder and name in ("site-packages", "dist-packages"))
        ]
        found += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in names
            if name.endswith((".py", *TEXT_SUFFIXES)) or name == "METADATA"
        ]
    return sorted(found)


def documents_of(folder: Path, path: str, root: str) -> Iterator[Document]:
    """The documents of one file.

    Raises:
        ValueError, SyntaxError: the file is no Python of this version, or no text.
    """
    source = (folder / path).read_bytes()
    if len(source) > MOST_BYTES:
        return
    name = f"{root}/{path}"
    if path.endswith(".py"):
        yield from _of_python(source, name)
        return
    text = source.decode("utf-8")
    if Path(path).name == "METADATA":
        package = email.message_from_string(text)
        description = package.get_payload() or package.get("Description", "")
        yield Document(f"{name}:package", str(description), name, "package")
    else:
        yield Document(f"{name}:file", text, name, "file")


def _of_python(source: bytes, name: str) -> Iterator[Document]:
    with warnings.catch_warnings():
        # About escapes in other people's strings.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    kinds = {ast.Module: "module", ast.ClassDef: "class"}
    for node in _documented(tree):
        docstring = ast.get_docstring(node)
        if docstring:
            kind = kinds.get(type(node), "function")
            line = getattr(node, "lineno", 1)
            yield Document(f"{name}:{line}:{kind}", docstring, name, kind)
    text = decode_source(source)
    for block in _COMMENTS.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        words = _COMMENT_MARK.sub("", block.group())
        yield Document(f"{name}:{line}:comment", words, name, "comment")


def _documented(node: ast.AST) -> Iterator[Documented]:
    """What may have a docstring. Expressions are left out: they are most of a tree."""
    if isinstance(node, Documented):
        yield node
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        inner = getattr(node, part, None)
        if isinstance(inner, list):  # of a lambda or a conditional expression it is none
            for statement in inner:
                yield from _documented(statement)


def build(
    directory: Path,
    places: Sequence[tuple[str, Path]] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Summary:
    """Write the corpus as gzipped JSON lines, all of it or nothing.

    The same files give the same bytes.

    Args:
        directory: where; replaced if it is there.
        places: (name, folder) to read; `roots()` if None.
        progress: called now and then with files read, files in all and documents so far.
    """
    started = time.perf_counter()
    listed = [
        (folder, path, root) for root, folder in places or roots() for path in source_files(folder)
    ]
    directory.parent.mkdir(parents=True, exist_ok=True)
    # In the same place, so that the finished corpus can be renamed.
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=directory.parent))
    try:
        with ExitStack() as stack:
            shards = [stack.enter_context(_shard(unfinished, n)) for n in range(SHARDS)]
            counted = _write(listed, shards, progress or (lambda *_: None))
        seconds = round(time.perf_counter() - started, 1)
        summary = Summary(
            files=len(listed),
            inputs=inputs_hash(places),
            seconds=seconds,
            **counted,  # type: ignore[arg-type]
        )
        (unfinished / SUMMARY).write_text(json.dumps(asdict(summary)))
        shutil.rmtree(directory, ignore_errors=True)
        unfinished.chmod(0o755)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return summary


@contextmanager
def _shard(directory: Path, number: int) -> Iterator[gzip.GzipFile]:
    """A file of the corpus; without a time or name inside, so that equal texts are equal bytes."""
    with (
        (directory / f"part-{number:02}.jsonl.gz").open("wb") as stream,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as file,
    ):
        yield file


def _write(
    listed: Sequence[tuple[Path, str, str]],
    shards: Sequence[gzip.GzipFile],
    progress: Callable[[int, int, int], None],
) -> dict[str, object]:
    skipped = text_bytes = documents = 0
    by_kind: dict[str, int] = {}
    for number, (folder, path, root) in enumerate(listed):
        try:
            found = list(documents_of(folder, path, root))
        except (SyntaxError, ValueError, RecursionError, OSError):
            skipped += 1
            continue
        # A file's documents stay together: a hash of its path spreads the files.
        shard = shards[hashlib.blake2b(path.encode(), digest_size=1).digest()[0] % SHARDS]
        for document in found:
            # Half of a surrogate pair, which some tests have in strings, is no text.
            line = json.dumps(asdict(document), ensure_ascii=False).encode("utf-8", "replace")
            shard.write(line + b"\n")
            text_bytes += len(document.text.encode("utf-8", "replace"))
            by_kind[document.kind] = by_kind.get(document.kind, 0) + 1
        documents += len(found)
        if number % 100 == 0:
            progress(number, len(listed), documents)
    progress(len(listed), len(listed), documents)
    return {
        "documents": documents,
        "text_bytes": text_bytes,
        "skipped": skipped,
        "by_kind": dict(sorted(by_kind.items())),
    }


def inputs_hash(places: Sequence[tuple[str, Path]] | None = None) -> str:
    """Twelve hex digits that change when the files do: names and sizes of all of them."""
    found = hashlib.blake2b(FORMAT.encode(), digest_size=6)
    for root, folder in places or roots():
        for path in source_files(folder):
            size = (folder / path).stat().st_size
            found.update(f"{root}/{path}\0{size}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def load_or_build(
    directory: Path,
    places: Sequence[tuple[str, Path]] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> tuple[Summary, bool]:
    """The corpus of this machine, made anew only if the installed packages changed.

    Returns:
        What it holds, and whether it was there already.
    """
    summary = directory / SUMMARY
    if summary.is_file():
        found = Summary(**json.loads(summary.read_text()))
        if found.inputs == inputs_hash(places):
            return found, True
    return build(directory, places, progress), False


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python corpus.py DIRECTORY")
    print(build(Path(sys.argv[1])))
