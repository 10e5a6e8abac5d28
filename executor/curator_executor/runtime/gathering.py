"""Outputs of the tasks of one input chunk, on their way from the stage to the writer.

Called by `sprint`. A task is read at once, since a stage may use the same object for its next
output; what was read is handed to the writer many tasks at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

from curator_executor.runtime.columns import NO_LAYOUT, Layout, Reader, layout_of
from curator_executor.runtime.origins import Metrics
from curator_executor.runtime.sizes import FIXED_BYTES, estimate_bytes
from curator_executor.runtime.writer import PayloadWriter

# Outputs of one task that are read together; more go piece by piece, to keep chunks small.
GROUP_TASKS = 256


class Gathering:
    """Outputs that were read, all of one class and with the same attributes.

    Attributes:
        kind: their class.
        layout: their attributes.
        values: what was read.
        rows: by output, the row that it was made from.
        ordinals: its position among the outputs of that row; outputs that it lacks have 0.
        entries: packed figures of its batch.
        noted: custom metrics of its batch, of outputs that have any.
        bytes: about how large their payloads are; those in `FIXED_BYTES` are left out.
    """

    __slots__ = (
        "_writer",
        "bytes",
        "entries",
        "kind",
        "layout",
        "noted",
        "ordinals",
        "read",
        "rows",
        "values",
        "width",
    )

    def __init__(self) -> None:
        self._writer = PayloadWriter()
        self.kind: type | None = None
        self.layout: Layout = NO_LAYOUT
        self.width, self.read = NO_LAYOUT.width, NO_LAYOUT.read
        self.values: list[tuple[Any, ...]] = []
        self.rows: list[int] = []
        self.ordinals: list[int] = []
        self.entries: list[bytes] = []
        self.noted: dict[int, Metrics] = {}
        self.bytes = 0

    def begin(self, writer: PayloadWriter) -> Gathering:
        """What comes from now on goes to this writer, which expects children of its origin."""
        self._clear()  # what an interrupted call left
        self._writer = writer
        return self

    @property
    def reading(self) -> tuple[Any, int, Reader]:
        """Class of the tasks that are read now, how many attributes they have, and the reader."""
        return self.kind, self.width, self.read

    def add(
        self, task: Any, row: int, ordinal: int, entry: bytes, metrics: Metrics | None = None
    ) -> None:
        """Take one output; see `PayloadWriter.add_child`."""
        state = task.__dict__
        alike = type(task) is self.kind and len(state) == self.width
        if not alike and not self._fits(type(task), state):
            self._writer.add_child(task, row, ordinal, entry, metrics)
            return
        try:
            self.values.append(self.read(state))
        except KeyError:  # as many attributes, but others
            if not self._fits(type(task), state):
                self._writer.add_child(task, row, ordinal, entry, metrics)
                return
            self.values.append(self.read(state))
        rows = self.rows
        if metrics:
            self.noted[len(rows)] = metrics
        if ordinal or self.ordinals:
            self.ordinals += [0] * (len(rows) - len(self.ordinals))
            self.ordinals.append(ordinal)
        rows.append(row)
        self.entries.append(entry)
        if type(task.data) not in FIXED_BYTES:
            self.bytes += estimate_bytes(task.data)

    def _fits(self, kind: type, state: dict[str, Any]) -> bool:
        """Make ready for a task like this one; False if none can be read so."""
        layout = layout_of(state)
        if layout is not self.layout or kind is not self.kind:
            self.hand_over()
            self.kind, self.layout = kind, layout or NO_LAYOUT
            self.width, self.read = self.layout.width, self.layout.read
        return layout is not None

    def add_all(
        self,
        tasks: Sequence[Any],
        rows: Sequence[int],
        ordinals: Sequence[int],
        entry: bytes,
        metrics: Metrics | None = None,
    ) -> None:
        """Take the outputs of one batch; the same as `add` for each."""
        if not tasks:
            return
        few = len(tasks) <= GROUP_TASKS and not metrics
        if few and self._add_alike(tasks, rows, ordinals, entry):
            return
        for start in range(0, len(tasks), GROUP_TASKS):
            stop = start + GROUP_TASKS
            group = tasks[start:stop]
            if metrics or not self._add_alike(group, rows[start:stop], ordinals[start:stop], entry):
                for task, row, ordinal in zip(group, rows[start:], ordinals[start:], strict=False):
                    self.add(task, row, ordinal, entry, metrics)

    def _add_alike(
        self, tasks: Sequence[Any], rows: Sequence[int], ordinals: Sequence[int], entry: bytes
    ) -> bool:
        """Take outputs that are all like those before; False if they are not."""
        states = [task.__dict__ for task in tasks]
        kinds = set(map(type, tasks))
        if len(kinds) > 1:
            return False
        if self.kind not in kinds or len(states[0]) != self.width:
            self._fits(type(tasks[0]), states[0])
        if set(map(len, states)) != {self.width}:
            return False
        try:
            read = list(map(self.read, states))
        except KeyError:
            return False
        data = [task.data for task in tasks]
        held = set(map(type, data))
        self.values += read
        if self.ordinals or any(ordinals):
            self.ordinals += [0] * (len(self.rows) - len(self.ordinals))
            self.ordinals += ordinals
        self.rows += rows
        self.entries += repeat(entry, len(tasks))
        if not held <= FIXED_BYTES.keys():
            self.bytes += sum(map(estimate_bytes, data))
        if len(self.values) >= GROUP_TASKS:
            self.hand_over()
        return True

    def hand_over(self) -> None:
        """Give to the writer what there is."""
        if self.values:
            self._writer.add_children(self)
            self._clear()

    def _clear(self) -> None:
        self.values.clear()
        self.rows.clear()
        self.ordinals.clear()
        self.entries.clear()
        self.noted.clear()
        self.bytes = 0
