"""Drop duplicate documents: `ExactDedup` by the hash of the text, `FuzzyDedup` by MinHash.

Of a group of duplicates the document with the smallest id stays, so the result depends on the
documents alone: not on the order of arrival, nor on how they were split into tasks. Texts wait in
a spool on disk; memory holds ids and hashes, and those only while `finish` runs.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator_executor.api import CompositeStage, DocumentBatch, ProcessingStage
from curator_executor.stages import arguments
from curator_executor.stages.documents import DocumentStage, like, table_of
from curator_executor.stages.minhash import SIGNATURE_COLUMN, UNITS, MinHashSignatures
from curator_executor.stages.near_duplicates import find_groups, smallest_of_group
from curator_executor.stages.spool import TaskSpool

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("curator_executor.stages")

TEXT_HASH_COLUMN = "_curator_text_hash"
NORMALIZE = ("none", "spaces", "words")
# What a sample shows of a dropped text, after the two ids.
_SHOWN = 200


class _SpooledDedup(DocumentStage):
    """Takes batches in onto disk; gives them out without the duplicates.

    Subclasses say which column of keys is spooled with the documents, and which document each one
    is a duplicate of.
    """

    is_pure = True
    is_global_stage = True
    is_resumable = False
    keeps_state_in_scratch = True
    id_field: str = "id"
    key_column: str
    reason: str

    @abstractmethod
    def keyed(self, table: pa.Table) -> pa.Table:
        """The table with its column of keys."""

    @abstractmethod
    def originals(self, spool: TaskSpool, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each document, in the spool's order, the position of the one to keep.

        Args:
            spool: all batches.
            ranks: position of each document in the order of ids.
        """

    def process(self, task: DocumentBatch) -> None:
        """Take a batch in; one that is here already changes nothing.

        Raises:
            ValueError: the id or key column is missing, or a document has no id.
            SpoolError: the scratch disk is full.
        """
        table = table_of(task)
        self._ids(self._id_column(table))
        self._spool().append(like(task, self.keyed(table)))

    def finish(self) -> Iterator[DocumentBatch]:
        """The batches without duplicates, in the order of their lineage keys."""
        spool = self._spool()
        started = time.perf_counter()
        ids = self._all_ids(spool)
        order = pc.array_sort_indices(ids)
        ranks = np.empty(len(ids), dtype=np.int64)
        ranks[order.to_numpy()] = np.arange(len(ids))
        self._tell_of_repeated_ids(ids.take(order))
        original = self.originals(spool, ranks)
        self._log_metric("matching_s", time.perf_counter() - started)
        first = 0
        for task in spool:
            last = first + task.num_items
            survivors = self._survivors(task, original[first:last], first, ids)
            first = last
            if survivors is not None:
                yield survivors

    def _tell_of_repeated_ids(self, in_order: pa.Array) -> None:
        """Say that ids occur more than once: by them it is not settled which document stays."""
        if len(in_order) < 2:
            return
        is_repeated = pc.equal(in_order[1:], in_order[:-1])
        repeated = pc.sum(is_repeated).as_py()
        if repeated:
            self._log_metric("repeated_ids", repeated)
            log.warning(
                "stage %s: %d documents have an id in column %r that another one has, %s for one; "
                "of duplicates with the same id it is not the id that says which one stays",
                self.name,
                repeated,
                self.id_field,
                in_order[1:].filter(is_repeated)[0],
            )

    def _survivors(
        self, task: Any, original: NDArray[np.int64], first: int, ids: pa.Array
    ) -> DocumentBatch | None:
        """A batch without its duplicates and its keys; None if nothing is left."""
        own = np.arange(first, first + len(original))
        kept = original == own
        table = task.data.drop_columns([self.key_column])
        dropped = np.flatnonzero(~kept)
        texts = table.column(self.text_field) if self.text_field in table.column_names else None
        for row in dropped[:3]:
            text = "" if texts is None else str(texts[row])
            sample = f"{ids[first + row]} is like {ids[original[row]]}: {text[:_SHOWN]}"
            self._log_dropped(self.reason, sample=sample)
        if len(dropped) > 3:
            self._log_dropped(self.reason, len(dropped) - 3)
        if not kept.any():
            return None
        shown = None if texts is None else str(texts[int(np.argmax(kept))])
        self._log_kept(int(kept.sum()), sample=shown)
        return like(task, table if kept.all() else table.filter(pa.array(kept)))

    def _spool(self) -> TaskSpool:
        opened: TaskSpool | None = self.__dict__.get("_opened")
        if opened is None:
            if not self.scratch_dir:
                raise ValueError(
                    f"stage {self.name}: scratch_dir is not set; the executor sets it, and who "
                    "calls the stage without one sets it to an empty directory on a local disk"
                )
            opened = self.__dict__["_opened"] = TaskSpool(self.scratch_dir)
        return opened

    def teardown(self) -> None:
        """Forget the spool; its files stay."""
        self.__dict__.pop("_opened", None)

    def _all_ids(self, spool: TaskSpool) -> pa.Array:
        """Ids of all documents, in the spool's order.

        Raises:
            ValueError: some are text and some are numbers, which have no order.
        """
        pieces = [self._ids(column) for column in spool.column(self.id_field)]
        kinds = sorted({str(piece.type) for piece in pieces})
        if len(kinds) > 1:
            raise ValueError(
                f"stage {self.name}: column {self.id_field!r} holds {' and '.join(kinds)} in "
                "different tasks; of duplicates the smallest id is kept, so all must be of one type"
            )
        return pa.concat_arrays(pieces) if pieces else pa.array([], pa.large_string())

    def _id_column(self, table: pa.Table) -> pa.Array:
        """The ids of a table's documents.

        Raises:
            ValueError: there is no such column.
        """
        if self.id_field not in table.column_names:
            raise ValueError(
                f"stage {self.name}: documents have no column {self.id_field!r}; columns: "
                f"{', '.join(table.column_names)}. Set id_field to the one with unique identifiers"
            )
        return table.column(self.id_field).combine_chunks()

    def _ids(self, column: pa.Array) -> pa.Array:
        """Ids as text or as whole numbers.

        Raises:
            ValueError: some are missing, or they are something else.
        """
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise ValueError(
                f"stage {self.name}: {column.null_count} of {len(column)} documents have no "
                f"{self.id_field!r} (row {row} is the first); of duplicates the smallest id is "
                "kept, so each document needs one"
            )
        kind = column.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return column.cast(pa.large_string())
        if pa.types.is_integer(kind):
            return column.cast(pa.int64())
        raise ValueError(
            f"stage {self.name}: column {self.id_field!r} holds {kind}, wanted text or whole "
            "numbers"
        )


def _numbers(array: pa.Array, kind: str, columns: int) -> NDArray[Any]:
    """The bytes of a fixed-size binary array as rows of numbers."""
    flat = np.frombuffer(array.buffers()[1], dtype=kind)
    return flat[array.offset * columns : (array.offset + len(array)) * columns].reshape(-1, columns)


@dataclass(eq=False, repr=False)
class ExactDedup(_SpooledDedup):
    """Drop documents whose text occurs elsewhere; the smallest id stays.

    Attributes:
        text_field: column of the text.
        id_field: column of unique identifiers, text or whole numbers.
        normalize: what is equal: `none`, the same characters; `spaces`, the same but for the
            amount of white space; `words`, the same letters and digits, in either case.
    """

    text_field: str = "text"
    id_field: str = "id"
    normalize: str = "none"
    name: str = "exact_dedup"
    key_column = TEXT_HASH_COLUMN
    reason = "exact duplicate"

    def __post_init__(self) -> None:
        arguments.column_name("ExactDedup", "text_field", self.text_field)
        arguments.column_name("ExactDedup", "id_field", self.id_field)
        arguments.one_of("ExactDedup", "normalize", self.normalize, NORMALIZE)

    def keyed(self, table: pa.Table) -> pa.Table:
        """The table with 16 bytes of BLAKE2b of each text."""
        texts = self.texts(table)
        if self.normalize == "spaces":
            texts = [" ".join(text.split()) for text in texts]
        elif self.normalize == "words":
            texts = [" ".join(re.findall(r"[^\W_]+", text.lower())) for text in texts]
        hashes = [
            hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            for text in texts
        ]
        return table.append_column(TEXT_HASH_COLUMN, pa.array(hashes, pa.binary(16)))

    def originals(self, spool: TaskSpool, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The smallest id of each hash."""
        halves = np.empty((len(ranks), 2), dtype="<u8")
        first = 0
        for column in spool.column(TEXT_HASH_COLUMN):
            halves[first : first + len(column)] = _numbers(column, "<u8", 2)
            first += len(column)
        order = np.lexsort((ranks, halves[:, 1], halves[:, 0]))
        ordered = halves[order]
        begins = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))[: len(order)]
        original = np.empty(len(ranks), dtype=np.int64)
        original[order] = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
        return original


@dataclass(eq=False, repr=False)
class FuzzyDedupGlobal(_SpooledDedup):
    """Drop near-duplicates by the signatures that `MinHashSignatures` added; removes these.

    Attributes:
        id_field: column of unique identifiers, text or whole numbers.
        text_field: column that samples in the report are from.
        threshold: least estimated Jaccard similarity of near-duplicates.
        bands: bands of the signature; one equal band makes two documents candidates.
        rows: numbers a band.
    """

    id_field: str = "id"
    text_field: str = "text"
    threshold: float = 0.75
    bands: int = 14
    rows: int = 8
    name: str = "fuzzy_dedup"
    key_column = SIGNATURE_COLUMN
    reason = "near-duplicate"

    def __post_init__(self) -> None:
        arguments.column_name("FuzzyDedupGlobal", "id_field", self.id_field)
        arguments.share("FuzzyDedupGlobal", "threshold", self.threshold)
        arguments.whole("FuzzyDedupGlobal", "bands", self.bands)
        arguments.whole("FuzzyDedupGlobal", "rows", self.rows)

    def inputs(self) -> Any:
        """The id and the signature."""
        return ["data"], [self.id_field, SIGNATURE_COLUMN]

    def keyed(self, table: pa.Table) -> pa.Table:
        """The table as it is, its signatures checked.

        Raises:
            ValueError: there are none, or they have another size.
        """
        wanted = pa.binary(4 * self.bands * self.rows)
        if SIGNATURE_COLUMN not in table.column_names:
            raise ValueError(
                f"stage {self.name}: documents have no signatures; put MinHashSignatures before "
                "it, or use FuzzyDedup, which is both"
            )
        found = table.schema.field(SIGNATURE_COLUMN).type
        if found != wanted:
            raise ValueError(
                f"stage {self.name}: signatures are {found}, wanted {wanted}: {self.bands} bands "
                f"of {self.rows} numbers. MinHashSignatures needs hashes={self.bands * self.rows}"
            )
        return table

    def originals(self, spool: TaskSpool, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The smallest id of each group of near-duplicates."""
        hashes = self.bands * self.rows
        signatures = np.empty((len(ranks), hashes), dtype="<u4")
        present = np.empty(len(ranks), dtype=bool)
        first = 0
        for column in spool.column(SIGNATURE_COLUMN):
            rows = slice(first, first + len(column))
            signatures[rows] = _numbers(column, "<u4", hashes)
            present[rows] = column.is_valid().to_numpy(zero_copy_only=False)
            first += len(column)
        matching = find_groups(signatures, present, self.bands, self.threshold)
        self._log_metric("candidate_pairs", matching.candidate_pairs)
        self._log_metric("near_duplicate_pairs", matching.matched_pairs)
        return smallest_of_group(matching.group, ranks)


@dataclass(eq=False, repr=False)
class FuzzyDedup(CompositeStage[DocumentBatch, DocumentBatch]):
    """Drop near-duplicates: `minhash` (any number of workers), then `fuzzy_dedup` (one).

    The defaults are FineWeb's (Penedo et al. 2024): word 5-grams and 112 hashes in 14 bands of 8.

    Attributes:
        text_field: column of the text.
        id_field: column of unique identifiers; of near-duplicates the smallest stays.
        threshold: least estimated Jaccard similarity of the n-grams of near-duplicates.
        ngram: units an n-gram.
        unit: `words`, or `characters` for scripts without spaces between words.
        bands: bands of the signature.
        rows: hashes a band.
    """

    text_field: str = "text"
    id_field: str = "id"
    threshold: float = 0.75
    ngram: int = 5
    unit: str = "words"
    bands: int = 14
    rows: int = 8
    name: str = "fuzzy_dedup"

    def __post_init__(self) -> None:
        super().__init__()
        arguments.one_of("FuzzyDedup", "unit", self.unit, UNITS)
        self.decompose()

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        """The two stages."""
        last = FuzzyDedupGlobal(
            id_field=self.id_field,
            text_field=self.text_field,
            threshold=self.threshold,
            bands=self.bands,
            rows=self.rows,
        )
        hashes = self.bands * self.rows
        return [MinHashSignatures(self.text_field, self.ngram, self.unit, hashes), last]
