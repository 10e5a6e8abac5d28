"""The demo's corpus: what documents there are, the same ones each time, all or nothing."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import corpus
import pytest

SOURCE = '''#!/usr/bin/env python
# Copyright of somebody.
# All of these lines
# are one comment,
# which is long enough
# to be a document.

"""What the module is for."""

# Too short to be one.

class Box:
    """A box."""

    def open(self):
        """Open it.

            Even if it is locked.
        """
        return lambda: None

    if True:
        @property
        def size(self): "In metres."
    else:
        def size(self): "In feet."


async def close():
    """Close all."""
    try:
        pass
    except ValueError:
        def inner(): "Inside."
'''


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, Path]:
    folder = tmp_path / "packages"
    files: dict[str, str | bytes] = {
        "box/__init__.py": SOURCE,
        "box/tests/test_box.py": '"""Left out."""',
        "box/README.md": "# Box\n\nHow to use it.\n",
        "box/data.json": "{}",
        "box-1.0.dist-info/METADATA": "Name: box\nVersion: 1.0\n\n# Box\n\nFrom the index.\n",
        "old/python2.py": "print 'no'",
        "old/latin.py": b"# \xe9",
        "old/coded.py": b'# -*- coding: latin-1 -*-\n"""caf\xe9"""',
        "site-packages/other.py": '"""Somebody else\'s."""',
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return "packages", folder


def rows(directory: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(directory.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def test_documents_are_docstrings_comment_blocks_texts_and_descriptions(
    place: tuple[str, Path], tmp_path: Path
) -> None:
    summary = corpus.build(tmp_path / "made", [place])
    found = {row["id"]: row["text"] for row in rows(tmp_path / "made")}
    assert found == {
        "packages/box/__init__.py:1:module": "What the module is for.",
        "packages/box/__init__.py:2:comment": (
            "Copyright of somebody.\nAll of these lines\nare one comment,\n"
            "which is long enough\nto be a document.\n"
        ),
        "packages/box/__init__.py:12:class": "A box.",
        "packages/box/__init__.py:15:function": "Open it.\n\nEven if it is locked.",
        "packages/box/__init__.py:24:function": "In metres.",
        "packages/box/__init__.py:26:function": "In feet.",
        "packages/box/__init__.py:29:function": "Close all.",
        "packages/box/__init__.py:34:function": "Inside.",
        "packages/box/README.md:file": "# Box\n\nHow to use it.\n",
        "packages/box-1.0.dist-info/METADATA:package": "# Box\n\nFrom the index.\n",
        "packages/old/coded.py:1:module": "café",
    }
    assert summary.documents == len(found)
    assert summary.text_bytes == sum(len(text.encode()) for text in found.values())
    assert (summary.files, summary.skipped) == (6, 2)
    assert summary.by_kind["function"] == 5
    assert len(list((tmp_path / "made").glob("*.jsonl.gz"))) == corpus.SHARDS == 16


def test_same_files_give_the_same_bytes(place: tuple[str, Path], tmp_path: Path) -> None:
    for name in ("first", "second"):
        corpus.build(tmp_path / name, [place])
    for path in (tmp_path / "first").glob("*.gz"):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_corpus_is_made_anew_only_when_the_files_change(
    place: tuple[str, Path], tmp_path: Path
) -> None:
    directory = tmp_path / "made"
    first, cached = corpus.load_or_build(directory, [place])
    assert not cached
    assert corpus.load_or_build(directory, [place]) == (first, True)
    (place[1] / "new.py").write_text('"""One more."""')
    second, cached = corpus.load_or_build(directory, [place])
    assert (second.documents, cached) == (first.documents + 1, False)
    assert len(rows(directory)) == second.documents


def test_interrupted_build_leaves_the_earlier_corpus_and_nothing_else(
    place: tuple[str, Path], tmp_path: Path
) -> None:
    directory = tmp_path / "cache" / "made"
    corpus.build(directory, [place])

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpus.build(directory, [place], interrupt)
    assert [path.name for path in directory.parent.iterdir()] == ["made"]
    assert len(rows(directory)) == 11


def test_this_machine_has_enough_to_read() -> None:
    """Only listed here: reading all of it takes half a minute."""
    files = [path for _, folder in corpus.roots() for path in corpus.source_files(folder)]
    assert Counter(path.endswith(".py") for path in files)[True] > 1000
