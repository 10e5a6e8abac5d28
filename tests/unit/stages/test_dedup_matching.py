"""Groups of near-duplicates are those of the plain definition, whatever the order."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curator_executor.stages import near_duplicates
from curator_executor.stages.near_duplicates import find_groups, smallest_of_group

BANDS, ROWS = 4, 3
Signatures = NDArray[np.uint32]


def plain_groups(signatures: Signatures, present: NDArray[np.bool_], threshold: float) -> set[str]:
    """The definition, pair by pair: who shares a band and enough numbers is joined."""
    parent = list(range(len(signatures)))

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    for left, right in combinations(range(len(signatures)), 2):
        if not (present[left] and present[right]):
            continue
        equal = signatures[left] == signatures[right]
        if equal.reshape(BANDS, ROWS).all(axis=1).any() and equal.mean() >= threshold:
            parent[root(left)] = root(right)
    members: dict[int, list[int]] = {}
    for node in range(len(signatures)):
        members.setdefault(root(node), []).append(node)
    return {str(sorted(group)) for group in members.values()}


def groups_of(labels: NDArray[np.int64]) -> set[str]:
    members: dict[int, list[int]] = {}
    for node, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(node)
    return {str(sorted(group)) for group in members.values()}


def related(seed: int, documents: int, families: int, changes: int) -> Signatures:
    """Signatures that differ from one of a few in up to `changes` places."""
    rng = random.Random(seed)
    bases = [[rng.randrange(1000) for _ in range(BANDS * ROWS)] for _ in range(families)]
    rows = []
    for _ in range(documents):
        row = list(rng.choice(bases))
        for _ in range(rng.randrange(changes + 1)):
            row[rng.randrange(len(row))] = rng.randrange(1000)
        rows.append(row)
    return np.array(rows, dtype=np.uint32)


def present_but(signatures: Signatures, *absent: int) -> NDArray[np.bool_]:
    present = np.ones(len(signatures), dtype=bool)
    present[list(absent)] = False
    return present


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12), st.integers(0, 8))
@pytest.mark.parametrize("listed", [0, 3, 32], ids=["walked", "both", "listed"])
def test_groups_are_those_of_the_definition(
    listed: int, seed: int, documents: int, families: int, changes: int
) -> None:
    """Both ways through a bucket, listing its pairs and walking it, give the same."""
    signatures = related(seed, documents, families, changes)
    absent = [n for n in range(documents) if n % 7 == 3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_LISTED_BUCKET", listed)
        patch.setattr(near_duplicates, "_PAIRS_AT_ONCE", 5)
        found = find_groups(signatures, present_but(signatures, *absent), BANDS, 0.75)
    assert groups_of(found.group) == plain_groups(
        signatures, present_but(signatures, *absent), 0.75
    )


def test_chain_is_one_group_although_its_ends_are_unlike() -> None:
    base = np.arange(12, dtype=np.uint32)
    middle, end = base.copy(), base.copy()
    middle[9:12] += 100
    end[6:12] += 100
    signatures = np.stack([end, base, middle])
    assert (end == base).mean() == 0.5
    found = find_groups(signatures, present_but(signatures), BANDS, 0.75)
    assert groups_of(found.group) == {"[0, 1, 2]"}


def test_one_equal_band_is_not_enough() -> None:
    """Candidates are verified: LSH alone would join these."""
    base = np.arange(12, dtype=np.uint32)
    other = base + 100
    other[:3] = base[:3]
    signatures = np.stack([base, other.astype(np.uint32)])
    found = find_groups(signatures, present_but(signatures), BANDS, 0.75)
    assert groups_of(found.group) == {"[0]", "[1]"}
    assert (found.candidate_pairs, found.matched_pairs) == (1, 0)


def test_threshold_itself_is_near_enough() -> None:
    base = np.arange(12, dtype=np.uint32)
    other = base.copy()
    other[9:] += 100
    signatures = np.stack([base, other])
    assert len(groups_of(find_groups(signatures, present_but(signatures), 4, 0.75).group)) == 1
    assert len(groups_of(find_groups(signatures, present_but(signatures), 4, 0.76).group)) == 2


def test_many_copies_of_a_page_cost_no_pair_comparisons() -> None:
    signatures = np.tile(np.arange(12, dtype=np.uint32), (20_000, 1))
    found = find_groups(signatures, present_but(signatures), BANDS, 0.75)
    assert groups_of(found.group) == {str(list(range(20_000)))}
    assert found.candidate_pairs == 0


def test_large_bucket_of_one_family_is_done_after_one_row() -> None:
    """2,000 texts that differ in one number each share bands: 2 million pairs, were they listed."""
    signatures = np.tile(np.arange(12, dtype=np.uint32), (2000, 1))
    signatures[:, 11] = np.arange(2000) + 1000
    found = find_groups(signatures, present_but(signatures), BANDS, 0.75)
    assert len(groups_of(found.group)) == 1
    assert found.candidate_pairs < 2 * len(signatures)


def test_documents_without_a_signature_are_alone_even_if_their_bytes_are_equal() -> None:
    signatures = np.zeros((4, 12), dtype=np.uint32)
    found = find_groups(signatures, present_but(signatures, 0, 2), BANDS, 0.75)
    assert groups_of(found.group) == {"[0]", "[1, 3]", "[2]"}


def test_no_documents_are_no_groups() -> None:
    signatures = np.empty((0, 12), dtype=np.uint32)
    assert len(find_groups(signatures, np.empty(0, dtype=bool), BANDS, 0.75).group) == 0


def test_hash_collision_of_a_whole_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash that is always the same, only the comparison tells documents apart."""
    monkeypatch.setattr(
        near_duplicates, "_row_hashes", lambda columns: np.zeros(len(columns), dtype=np.uint64)
    )
    signatures = np.arange(36, dtype=np.uint32).reshape(3, 12)
    signatures[2] = signatures[1]
    found = find_groups(signatures, present_but(signatures), BANDS, 0.75)
    assert groups_of(found.group) == {"[0]", "[1, 2]"}


def test_smallest_rank_of_each_group_is_found() -> None:
    group = np.array([0, 0, 2, 0, 2])
    ranks = np.array([4, 1, 3, 2, 0])
    assert smallest_of_group(group, ranks).tolist() == [1, 1, 4, 1, 4]


@given(
    size=st.integers(1, 40),
    edges=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60),
)
def test_components_are_those_of_following_every_edge(
    size: int, edges: list[tuple[int, int]]
) -> None:
    within = [(left % size, right % size) for left, right in edges]
    smallest = list(range(size))
    for _ in within:  # no path is longer than there are edges
        for left, right in within:
            smallest[left] = smallest[right] = min(smallest[left], smallest[right])

    ends = [np.array([edge[end] for edge in within], np.int64) for end in (0, 1)]

    assert near_duplicates.joined(size, *ends).tolist() == smallest


def test_a_long_chain_takes_few_rounds() -> None:
    size = 200_000
    shuffled = np.random.default_rng(7).permutation(size)

    assert not near_duplicates.joined(size, shuffled[:-1], shuffled[1:]).any()
