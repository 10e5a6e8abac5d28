"""What outputs inherit from their inputs: id, lineage key, figures so far.

Called by `runner` for every batch, and by `run` for the tasks that the caller hands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from curator_executor.api.perf import merge_chains

KEY_BYTES = 16
_ROOT = blake2b(digest_size=KEY_BYTES, person=b"root")


class Parent:
    """What outputs inherit, read before the stage may change its input."""

    __slots__ = ("id", "key", "metrics", "packed", "prior")

    def __init__(self, task: Any) -> None:
        self.id: str = task.task_id
        self.key: bytes = task._lineage_key
        state = task.__dict__
        if "_origin" in state:
            state = state["_origin"].figures(state["_row"])
        self.packed: bytes = state.get("_perf_packed", b"")
        self.metrics: dict[int, dict[str, float]] | None = state.get("_perf_metrics")
        self.prior: tuple[Any, ...] | None = state.get("_perf_prior")


def root_key(position: int, content: str | None) -> bytes:
    """Lineage key of a task that the caller handed in."""
    own = content if content is not None else str(position)
    hashed = _ROOT.copy()  # half the time of making one with its parameters
    hashed.update(own.encode("utf-8", "surrogatepass"))
    return hashed.digest()


def merged_parent(parents: Sequence[Parent]) -> Parent:
    """One parent for outputs that cannot be told apart by input: all of them, in order."""
    merged = Parent.__new__(Parent)
    merged.id = ""
    merged.key = blake2b(b"".join(p.key for p in parents), digest_size=KEY_BYTES).digest()
    merged.packed = merge_chains(p.packed for p in parents)
    known = [p.metrics for p in parents if p.metrics]
    merged.metrics = {k: v for metrics in known for k, v in metrics.items()} if known else None
    merged.prior = parents[0].prior
    return merged
