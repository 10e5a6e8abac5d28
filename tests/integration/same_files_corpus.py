"""A small corpus of real documents with near-duplicates planted across its shards.

Made of a part of the standard library's documentation by the demo's own functions: with Python
3.11.7, 2,650 documents, of which the pipeline keeps 1,287. Called once by `test_same_files`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
sys.path.append(str(DEMO))

from corpus import Document, documents_of, roots, source_files  # noqa: E402

PARTS = (
    *("asyncio", "collections", "concurrent", "ctypes", "email", "html", "http", "importlib"),
    *("json", "logging", "multiprocessing", "unittest", "urllib", "wsgiref", "xml", "zoneinfo"),
)
SHARDS = 6
PLANTED = 50
# Then one changed word leaves more than nine tenths of the 5-grams: far above the threshold.
LEAST_WORDS = 60
NGRAM = 5
# What may be shared with any one other document, so that nothing else decides about a planted one.
MOST_SHARED = 0.3
# The library is in English, so that nothing in it is dropped for its language. The title's words
# let this pass the filter before it.
GERMAN = (
    "Der Text mit dem Titel »The Zen of Python« nennt neunzehn Leitsätze für den Entwurf der "
    "Sprache. Schönes ist besser als Hässliches, und Ausdrückliches ist besser als Stillschweigen. "
    "Wer ihn lesen möchte, braucht dafür nur ein Modul einzubinden, das jede Ausgabe mitbringt."
)


@dataclass(frozen=True)
class Corpus:
    """What was written.

    Attributes:
        directory: where the shards are.
        ids: of all documents, in the order of their shards.
        planted: (id that must stay, id that must go) of each planted duplicate.
    """

    directory: Path
    ids: list[str]
    planted: list[tuple[str, str]]


def build(directory: Path, passes: Callable[[Sequence[Document]], set[str]]) -> Corpus:
    """Write the shards.

    Args:
        directory: where; made.
        passes: ids of those documents that the filters before the deduplication keep.
    """
    folder = dict(roots())["stdlib"]
    shards: list[list[Document]] = [[] for _ in range(SHARDS)]
    for path in source_files(folder):
        if path.startswith(tuple(f"{part}/" for part in PARTS)):
            shards[_shard_of(path)] += documents_of(folder, path, "stdlib")
    pairs = _pairs([document for shard in shards for document in shard], passes)
    for original, copy in pairs:
        shards[(_shard_of(original.path.removeprefix("stdlib/")) + 1) % SHARDS].append(copy)
    for number, shard in enumerate(shards):
        name = f"german/{number}"
        shard.insert(len(shard) // 2, Document(name, f"{GERMAN} {number}.", name, "file"))
    directory.mkdir(parents=True)
    for number, shard in enumerate(shards):
        lines = [json.dumps(asdict(document), ensure_ascii=False) + "\n" for document in shard]
        content = "".join(lines).encode("utf-8", "replace")
        (directory / f"part-{number}.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
    planted = [(min(a.id, b.id), max(a.id, b.id)) for a, b in pairs]
    return Corpus(directory, [document.id for shard in shards for document in shard], planted)


def _shard_of(path: str) -> int:
    return hashlib.blake2b(path.encode(), digest_size=1).digest()[0] % SHARDS


def _pairs(
    documents: Sequence[Document], passes: Callable[[Sequence[Document]], set[str]]
) -> list[tuple[Document, Document]]:
    """Originals with their copies; each second copy has the smaller id."""
    chosen = [d for d in _lonely(documents) if len(_words(d.text)) >= LEAST_WORDS]
    pairs = [(original, _copy(original, number)) for number, original in enumerate(chosen)]
    kept = passes([document for pair in pairs for document in pair])
    pairs = [(a, b) for a, b in pairs if {a.id, b.id} <= kept][:PLANTED]
    assert len(pairs) == PLANTED, f"{len(pairs)} documents are fit to be planted, wanted {PLANTED}"
    return pairs


def _copy(original: Document, number: int) -> Document:
    """The document with one word added, changed or left out, under another id."""
    words = original.text
    first, last = list(re.finditer(r"\w+", words))[:: len(_words(words)) - 1][:2]
    edits = (
        words.rstrip() + "\nAddendum",
        words[: first.start()] + "Otherwise" + words[first.end() :],
        words[: last.start()].rstrip() + words[last.end() :],
    )
    front = ("a-copy", "z-copy")[number % 2]
    return replace(original, id=f"{front}/{original.id}", text=edits[number % 3])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _grams(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)}


def _lonely(documents: Sequence[Document]) -> list[Document]:
    """Documents that are like no other one."""
    grams = [_grams(document.text) for document in documents]
    holders: dict[tuple[str, ...], list[int]] = {}
    for at, own in enumerate(grams):
        for gram in own:
            holders.setdefault(gram, []).append(at)
    lonely = []
    for at, own in enumerate(grams):
        shared = Counter(other for gram in own for other in holders[gram] if other != at)
        if own and max(shared.values(), default=0) <= MOST_SHARED * len(own):
            lonely.append(documents[at])
    return lonely
