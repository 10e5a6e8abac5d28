"""Which signatures are of near-duplicates: LSH banding, verification, connected components.

Called by `FuzzyDedupGlobal`. Pure functions on NumPy arrays: the result depends on the set of
signatures, not on their order.

Two documents are joined if all numbers of at least one band are equal and at least `threshold` of
all numbers are. Groups are the connected components of that graph, so A and C are in one group if
both are near B.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pairs: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
log = logging.getLogger("curator_executor.stages")
_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
# Pairs compared at once: 2 x 448 bytes each at the default shape, so 7 MB.
_PAIRS_AT_ONCE = 8_192
# Above this size a bucket's pairs are not listed but walked row by row, leaving out those that are
# joined already: the usual large bucket is one group, done after one row.
_LISTED_BUCKET = 32
# A bucket of so many different texts of which most are no near-duplicates takes minutes.
_HUGE_BUCKET = 50_000


@dataclass
class Matching:
    """Groups of near-duplicates.

    Attributes:
        group: number of each document's group.
        candidate_pairs: pairs that were compared.
        matched_pairs: of these, how many were near-duplicates.
    """

    group: NDArray[np.int64]
    candidate_pairs: int = 0
    matched_pairs: int = 0


def find_groups(
    signatures: NDArray[np.uint32], present: NDArray[np.bool_], bands: int, threshold: float
) -> Matching:
    """Put near-duplicates into groups.

    Args:
        signatures: one row a document; the columns are split into `bands` equal bands.
        present: whether a document has a signature; one without is a group of its own.
        bands: number of bands.
        threshold: least share of equal numbers, 0 to 1.
    """
    documents = len(signatures)
    matching = Matching(np.arange(documents))
    same = _identical(signatures, present)
    nodes = np.flatnonzero(present & (same == np.arange(documents)))
    search = _Search(signatures, nodes, math.ceil(threshold * signatures.shape[1] - 1e-9))
    width = signatures.shape[1] // bands
    for band in range(bands):
        search.add_band(_row_hashes(signatures[:, band * width : (band + 1) * width])[nodes])
    matching.group[nodes] = nodes[_first_of(search.label)]
    matching.group = matching.group[same]
    matching.candidate_pairs = search.candidate_pairs
    matching.matched_pairs = search.matched_pairs
    return matching


def smallest_of_group(group: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each document, the one of its group with the smallest rank (itself if it is that)."""
    order = np.argsort(rank)[::-1]
    best = np.zeros(len(group), dtype=np.int64)
    best[group[order]] = order  # the last one written has the smallest rank
    return best[group]


def _identical(signatures: NDArray[np.uint32], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each document, the first one with an equal signature.

    A page copied ten thousand times is one node of the graph, not fifty million pairs.
    """
    same = np.arange(len(signatures))
    if not len(signatures):
        return same
    _, first, inverse = np.unique(_row_hashes(signatures), return_index=True, return_inverse=True)
    twins = np.flatnonzero((first[inverse] != same) & present)
    for block in np.array_split(twins, len(twins) // _PAIRS_AT_ONCE + 1):
        other = first[inverse[block]]
        equal = (signatures[block] == signatures[other]).all(axis=1) & present[other]
        same[block[equal]] = other[equal]
    return same


def _row_hashes(columns: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row. Two rows that share one by chance are told apart later."""
    result = np.full(len(columns), columns.shape[1], dtype=np.uint64)
    for position in range(columns.shape[1]):
        result ^= columns[:, position]
        result *= _FACTOR
        result ^= result >> np.uint64(29)
    return result


def _first_of(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each element, the position of the first one with its label."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    result: NDArray[np.int64] = first[inverse]
    return result


@dataclass
class _Search:
    """The graph so far; `label` numbers its components.

    Attributes:
        signatures: of all documents.
        nodes: documents that take part.
        least_equal: equal numbers that make a pair near-duplicates.
    """

    signatures: NDArray[np.uint32]
    nodes: NDArray[np.int64]
    least_equal: int
    label: NDArray[np.int64] = field(init=False)
    candidate_pairs: int = 0
    matched_pairs: int = 0

    def __post_init__(self) -> None:
        self.label = np.arange(len(self.nodes))

    def add_band(self, keys: NDArray[np.uint64]) -> None:
        """Join the near-duplicates among nodes that share a key."""
        order = np.argsort(keys)
        ordered = keys[order]
        begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        sizes = np.diff(np.append(begins, len(order)))
        edges: list[Pairs] = []
        for left, right in _listed_pairs(order, begins, sizes):
            apart = self.label[left] != self.label[right]
            new = left[apart], right[apart]
            near = self._are_near(*new)
            edges.append((new[0][near], new[1][near]))
        for bucket in np.flatnonzero(sizes > _LISTED_BUCKET):
            edges += self._walk(order[begins[bucket] : begins[bucket] + sizes[bucket]])
        self._join(edges)

    def _are_near(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the pairs are near-duplicates."""
        near = np.zeros(len(left), dtype=bool)
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            ours = self.signatures[self.nodes[left[part]]]
            theirs = self.signatures[self.nodes[right[part]]]
            near[part] = (ours == theirs).sum(axis=1) >= self.least_equal
        self.candidate_pairs += len(left)
        self.matched_pairs += int(near.sum())
        return near

    def _walk(self, members: NDArray[np.int64]) -> Iterator[Pairs]:
        """Near-duplicates of a large bucket; pairs that others have joined are left out."""
        if len(members) > _HUGE_BUCKET:
            log.warning(
                "near_duplicates large_bucket documents=%d: many texts share a part; this is slow",
                len(members),
            )
        label = self.label[members]
        for position, member in enumerate(members):
            rest = position + 1 + np.flatnonzero(label[position + 1 :] != label[position])
            left = np.full(len(rest), member)
            near = self._are_near(left, members[rest])
            if near.any():
                label[np.isin(label, label[rest[near]])] = label[position]
                yield left[near], members[rest[near]]

    def _join(self, edges: list[Pairs]) -> None:
        """Renumber the components after more edges."""
        left = self.label[np.concatenate([np.empty(0, np.int64), *(pair[0] for pair in edges)])]
        right = self.label[np.concatenate([np.empty(0, np.int64), *(pair[1] for pair in edges)])]
        if len(left):
            self.label = joined(len(self.label), left, right)[self.label]


def joined(size: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Components of a graph of `size` nodes with edges `left[i]` to `right[i]`.

    Written out because the library for it is a tenth of the image (SciPy, 111 MB): nodes point at
    smaller ones, and all at once at where those point, which takes logarithmically many rounds
    (Shiloach and Vishkin 1982).

    Returns:
        For each node the smallest node of its component.
    """
    label = np.arange(size)
    while len(left):
        np.minimum.at(label, np.maximum(left, right), np.minimum(left, right))
        above = label[label]
        while not np.array_equal(above, label):
            label, above = above, above[above]
        left, right = label[left], label[right]
        apart = left != right
        left, right = left[apart], right[apart]
    return label


def _listed_pairs(
    order: NDArray[np.int64], begins: NDArray[np.int64], sizes: NDArray[np.int64]
) -> Iterator[Pairs]:
    """All pairs within the small buckets, some at a time."""
    for size in range(2, _LISTED_BUCKET + 1):
        starts = begins[sizes == size]
        first, second = np.triu_indices(size, 1)
        step = max(1, _PAIRS_AT_ONCE * 16 // len(first))
        for at in range(0, len(starts), step):
            part = starts[at : at + step, None]
            yield order[(part + first).ravel()], order[(part + second).ravel()]
