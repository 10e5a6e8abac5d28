"""Where the tasks of a chunk come from: their ids, lineage keys and figures, as columns.

Called by `codec`, which sends an `Origin` along with each chunk, and by `sprint`, which derives
the next stage's from it. Few stages look at an id or a key, so nothing is made for each task: an
origin keeps the ids and keys of a forebear and the steps taken since, and makes a task's own when
somebody reads it (see `api.tasks`). A key is one hash a step, so this is most of their cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import repeat
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from curator_executor.api.perf import ENTRY_BYTES, StagePerfStats, unpack_chain
from curator_executor.runtime.lineage import KEY_BYTES

_BETWEEN_IDS = "\0"

# Which stage (its tag), and the ordinal of each row among its parent's children; None: all 0.
Step = tuple[bytes, Any]
# Packed figures of all rows, so many bytes a row; 0 bytes: a tuple, each row of its own length.
Chain = tuple[int, Any]
Metrics = dict[int, dict[str, float]]


@functools.lru_cache(maxsize=1024)
def _cutter(width: int, count: int) -> Struct:
    return Struct(f"{width}s" * count)


def _cut(column: Any, width: int, count: int) -> Sequence[bytes]:
    """The values of a column of bytes; it may be in one piece."""
    return _cutter(width, count).unpack(column) if type(column) is bytes else column


def _joined(values: Sequence[bytes], width: int) -> Any:
    """In one piece where all are equally long."""
    joined = b"".join(values)
    even = len(joined) == width * len(values) and set(map(len, values)) == {width}
    return joined if even else tuple(values)


def _joined_ids(ids: Sequence[str]) -> Any:
    joined = _BETWEEN_IDS.join(ids)
    return joined if joined.count(_BETWEEN_IDS) == len(ids) - 1 else tuple(ids)


def _chain_of(packed: Sequence[bytes]) -> tuple[Chain, ...]:
    width = len(packed[0])
    joined = _joined(packed, width)
    if type(joined) is not bytes:
        return ((0, joined),)
    return ((width, joined),) if width else ()


def _ordinals(values: Sequence[int]) -> Any:
    if not any(values):
        return None
    return bytes(values) if max(values) < 256 else tuple(values)


def _taker(rows: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes some rows out of a column."""
    if len(rows) == 1:
        (only,) = rows
        return lambda column: (column[only],)
    return itemgetter(*rows)


class Known(NamedTuple):
    """What is known of the rows of a chunk without making anything.

    Attributes:
        rows: how many there are.
        ids: of their forebears; in one string where that can be undone.
        keys: the forebears' lineage keys; in one piece where that can be undone.
        prior: figures that they came into the run with, or None where none did.
        metrics: custom metrics by batch number, or None where no stage recorded any.
    """

    rows: int
    ids: Any
    keys: Any
    prior: Sequence[Any] | None
    metrics: Sequence[Metrics | None] | None


class Origin:
    """Ids, lineage keys and figures of the tasks of one chunk, by row.

    Args:
        known: what they start from.
        steps: from forebear to task.
        chains: figures, a piece for a number of stages.
        names: names of all stages.
    """

    __slots__ = ("_ids", "_keys", "chains", "known", "names", "steps")

    def __init__(
        self,
        known: Known,
        steps: tuple[Step, ...] = (),
        chains: tuple[Chain, ...] = (),
        names: tuple[str, ...] = (),
    ) -> None:
        self.known = known
        self.steps = steps
        self.chains = chains
        self.names = names
        self._ids: Sequence[str] | None = None
        self._keys: Sequence[bytes] | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        keys: Sequence[bytes],
        packed: Sequence[bytes],
        prior: Sequence[Any],
        metrics: Sequence[Metrics | None],
    ) -> Origin:
        """Of tasks whose ids, keys and figures are known."""
        known = Known(
            len(ids),
            _joined_ids(ids),
            _joined(keys, KEY_BYTES),
            tuple(prior) if any(prior) else None,
            tuple(metrics) if any(metrics) else None,
        )
        return cls(known, chains=_chain_of(packed))

    def packed(self) -> tuple[Any, ...]:
        """Plain values that `unpacked` makes it from again, with the names of the stages."""
        return (*self.known, self.steps, self.chains)

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...], names: tuple[str, ...]) -> Origin:
        """What `packed` was called on."""
        *known, steps, chains = packed
        return cls(Known(*known), steps, chains, names)

    def __reduce__(self) -> Any:
        return Origin.unpacked, (self.packed(), self.names)

    # Of one row ----------------------------------------------------------------------------

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the forebears."""
        if self._ids is None:
            ids = self.known.ids
            self._ids = ids.split(_BETWEEN_IDS) if type(ids) is str else ids
        return self._ids

    @property
    def keys(self) -> Sequence[bytes]:
        """Lineage keys of the forebears."""
        if self._keys is None:
            self._keys = _cut(self.known.keys, KEY_BYTES, self.known.rows)
        return self._keys

    def task_id(self, row: int) -> str:
        """Id of a task: its forebear's, and its ordinals since."""
        known = self.ids[row]
        for position, (_, ordinals) in enumerate(self.steps):
            if known:
                known = f"{known}_{ordinals[row] if ordinals else 0}"
            else:
                # Several inputs, none whose id this could continue: see `naming`.
                known = "r" + self._key_after(row, position + 1).hex()
        return known

    def lineage_key(self, row: int) -> bytes:
        """Lineage key of a task: a hash for each step."""
        return self._key_after(row, len(self.steps))

    def _key_after(self, row: int, steps: int) -> bytes:
        key = self.keys[row]
        for tag, ordinals in self.steps[:steps]:
            own = key + str(ordinals[row] if ordinals else 0).encode()
            key = blake2b(own, digest_size=KEY_BYTES, person=tag).digest()
        return key

    def chain(self, row: int) -> bytes:
        """Packed figures of a task."""
        return b"".join(
            [
                blob[row * width : (row + 1) * width] if width else blob[row]
                for width, blob in self.chains
            ]
        )

    def stage_perf(self, row: int) -> list[StagePerfStats]:
        """Figures of a task, one per stage passed."""
        metrics = self.known.metrics[row] if self.known.metrics else None
        prior = (self.known.prior[row] if self.known.prior else None) or ()
        return [*prior, *unpack_chain(self.chain(row), self.names, metrics)]

    def attributes(self, row: int) -> dict[str, Any]:
        """All of a task's, as the attributes that it would have by itself."""
        known = {"task_id": self.task_id(row), "_lineage_key": self.lineage_key(row)}
        return {**known, **self.figures(row)}

    def figures(self, row: int) -> dict[str, Any]:
        """A task's packed figures, as the attributes that it would have by itself."""
        found: dict[str, Any] = {"_perf_packed": self.chain(row), "_perf_names": self.names}
        _, _, _, prior, metrics = self.known
        if prior and prior[row]:
            found["_perf_prior"] = prior[row]
        if metrics and metrics[row]:
            found["_perf_metrics"] = metrics[row]
        return found

    # Derived ones --------------------------------------------------------------------------

    def child(
        self,
        rows: list[int],
        ordinals: Sequence[int],
        entries: Sequence[bytes],
        tag: bytes,
        noted: dict[int, Metrics],
    ) -> Origin:
        """Of tasks that a stage made from these.

        Args:
            rows: by task, the row that it was made from.
            ordinals: its position among the children of that row.
            entries: packed figures of the batch it was made in.
            tag: of the stage.
            noted: custom metrics of that batch, of tasks that have any.
        """
        count = len(rows)
        kept = self if rows == list(range(self.known.rows)) else self._taken(rows)
        known = kept.known
        if noted:
            metrics = [
                {**(of or {}), **noted[row]} if row in noted else of
                for row, of in enumerate(known.metrics or repeat(None, count))
            ]
            known = known._replace(metrics=metrics)
        step = (tag, _ordinals(ordinals))
        own = (ENTRY_BYTES, b"".join(entries))
        return Origin(known, (*kept.steps, step), (*kept.chains, own), self.names)

    def _taken(self, rows: Sequence[int]) -> Origin:
        take = _taker(rows)
        merged = self._merged()
        _, _, _, prior, metrics = self.known
        known = Known(
            len(rows),
            _joined_ids(take(self.ids)),
            _joined(take(self.keys), KEY_BYTES),
            take(prior) if prior else None,
            take(metrics) if metrics else None,
        )
        steps = tuple((tag, _ordinals(take(own)) if own else None) for tag, own in self.steps)
        return Origin(known, steps, _chain_of(take(merged)) if merged else (), self.names)

    def _merged(self) -> Sequence[bytes]:
        """Packed figures by row, in one column; empty if there are none."""
        columns = [_cut(blob, width, self.known.rows) for width, blob in self.chains]
        if len(columns) < 2:
            return columns[0] if columns else ()
        return tuple(map(b"".join, zip(*columns, strict=True)))

    def goes_with(self, other: Origin) -> bool:
        """Whether the rows of both may be in one chunk."""
        return [tag for tag, _ in self.steps] == [tag for tag, _ in other.steps]

    @staticmethod
    def together(parts: Sequence[Origin]) -> Origin:
        """Of the rows of several origins that go with each other, in order."""
        if len(parts) == 1:
            return parts[0]
        of = [part.known for part in parts]
        known = Known(
            sum(each.rows for each in of),
            _joined_ids([task_id for part in parts for task_id in part.ids]),
            _joined([key for part in parts for key in part.keys], KEY_BYTES),
            _chained([each.prior for each in of], of, None),
            _chained([each.metrics for each in of], of, None),
        )
        steps = []
        for position, (tag, _) in enumerate(parts[0].steps):
            columns = [part.steps[position][1] for part in parts]
            steps.append((tag, _chained(columns, of, 0)))
        packed: list[bytes] = []
        for part in parts:
            packed += part._merged() or repeat(b"", part.known.rows)
        return Origin(known, tuple(steps), _chain_of(packed), parts[0].names)


def _chained(columns: Sequence[Any], of: Sequence[Known], missing: Any) -> Any:
    """One column of several; None if all are."""
    if not any(columns):
        return None
    return tuple(
        value
        for column, known in zip(columns, of, strict=True)
        for value in (column or repeat(missing, known.rows))
    )
