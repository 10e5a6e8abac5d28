"""What each stage spent on a task: `StagePerfStats`, and the packed form it travels in.

Stage authors read `StagePerfStats`; the worker appends one packed entry per stage to each
task (42 bytes, whatever the stage), and the list is built only when somebody looks at it.
Field names and meaning are NeMo Curator's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# stage index, items, process s, idle s, input MB, batch number. The batch number tells two
# batches of one stage apart, so that a merge counts a shared batch once.
_ENTRY = struct.Struct("<HqdddQ")
ENTRY_BYTES = _ENTRY.size
pack_entry = _ENTRY.pack

BatchMetrics = Mapping[int, Mapping[str, float]]


@dataclass(slots=True)
class StagePerfStats:
    """Performance of the one stage call that produced (or passed on) a task.

    Attributes:
        stage_name: name of the stage.
        process_time: seconds inside `process` or `process_batch` for the whole batch.
        actor_idle_time: seconds the worker waited before this batch.
        input_data_size_mb: size of the batch's input, in MB of 10^6 bytes.
        num_items_processed: sum of `num_items` over the batch's input tasks.
        custom_metrics: what the stage recorded with `_log_metric(s)` or `_time_metric`.
    """

    stage_name: str
    process_time: float = 0.0
    actor_idle_time: float = 0.0
    input_data_size_mb: float = 0.0
    num_items_processed: int = 0
    custom_metrics: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: StagePerfStats) -> StagePerfStats:
        """Sum of both, under this one's stage name; metrics are added key by key."""
        keys = self.custom_metrics.keys() | other.custom_metrics.keys()
        return StagePerfStats(
            stage_name=self.stage_name,
            process_time=self.process_time + other.process_time,
            actor_idle_time=self.actor_idle_time + other.actor_idle_time,
            input_data_size_mb=self.input_data_size_mb + other.input_data_size_mb,
            num_items_processed=self.num_items_processed + other.num_items_processed,
            custom_metrics={
                k: self.custom_metrics.get(k, 0.0) + other.custom_metrics.get(k, 0.0)
                for k in sorted(keys)
            },
        )

    def __radd__(self, other: int | StagePerfStats) -> StagePerfStats:
        """Let `sum()` start from 0."""
        if other == 0:
            return self
        if not isinstance(other, StagePerfStats):
            raise TypeError(f"cannot add {type(other).__name__} to StagePerfStats")
        return other + self

    def reset(self) -> None:
        """Set every figure back to zero; the stage name stays."""
        self.process_time = self.actor_idle_time = self.input_data_size_mb = 0.0
        self.num_items_processed = 0
        self.custom_metrics = {}

    def to_dict(self) -> dict[str, Any]:
        """All fields, as plain values."""
        return {
            "stage_name": self.stage_name,
            "process_time": self.process_time,
            "actor_idle_time": self.actor_idle_time,
            "input_data_size_mb": self.input_data_size_mb,
            "num_items_processed": self.num_items_processed,
            "custom_metrics": dict(self.custom_metrics),
        }

    def items(self) -> list[tuple[str, float | int]]:
        """(name, value) pairs without the stage name; custom metrics as `custom.<name>`."""
        flat = self.to_dict()
        del flat["stage_name"]
        custom = flat.pop("custom_metrics")
        flat.update({f"custom.{name}": value for name, value in custom.items()})
        return list(flat.items())


def unpack_chain(
    packed: bytes, stage_names: Sequence[str], metrics: BatchMetrics | None
) -> list[StagePerfStats]:
    """The stats behind a packed chain, one per stage, in the order the stages ran.

    Args:
        packed: entries one after another, `ENTRY_BYTES` each.
        stage_names: name by stage index.
        metrics: custom metrics by batch number, or None where no stage recorded any.
    """
    return [
        StagePerfStats(
            stage_names[index],
            process_s,
            idle_s,
            size_mb,
            items,
            dict(metrics.get(batch, {})) if metrics else {},
        )
        for index, items, process_s, idle_s, size_mb, batch in _ENTRY.iter_unpack(packed)
    ]


def merge_chains(chains: Iterable[bytes]) -> bytes:
    """One chain for a task made from several: per stage the sum over its distinct batches.

    Tasks of one batch carry the same entry; it is counted once. A stage that several
    different batches passed through keeps the smallest batch number.
    """
    by_stage: dict[int, dict[int, tuple[int, float, float, float]]] = {}
    order: list[int] = []
    for chain in dict.fromkeys(chains):
        for index, items, process_s, idle_s, size_mb, batch in _ENTRY.iter_unpack(chain):
            if index not in by_stage:
                by_stage[index] = {}
                order.append(index)
            by_stage[index][batch] = (items, process_s, idle_s, size_mb)
    merged = []
    for index in sorted(order):
        batches = by_stage[index]
        totals = [sum(column) for column in zip(*batches.values(), strict=True)]
        merged.append(
            pack_entry(index, int(totals[0]), totals[1], totals[2], totals[3], min(batches))
        )
    return b"".join(merged)
