"""Give a stage's outputs their ids, lineage keys and figures.

Called by `runner` after each batch. Ids follow NeMo Curator's rules; lineage keys are ours: 16
bytes that are the same whenever the same task is made again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from curator_executor.api.tasks import FailedTask, NoneTask, Task
from curator_executor.runtime.lineage import KEY_BYTES, Parent, merged_parent


class StageReportedFailure(ValueError):
    """A stage returned a `FailedTask`."""


@dataclass(slots=True)
class Mark:
    """What the outputs of one batch are marked with.

    Attributes:
        entry: packed figures of this batch.
        batch: its number.
        metrics: custom metrics recorded in it, or None.
        suffixes: (parent key, id suffix) given so far.
        emitted: identities of the objects emitted so far.
    """

    entry: bytes
    batch: int
    metrics: dict[str, float] | None
    suffixes: set[tuple[bytes, str | int]] = field(default_factory=set)
    emitted: set[int] = field(default_factory=set)


class Namer:
    """Names the outputs of one stage in one worker.

    Args:
        stage: the stage.
        index: its position in the pipeline.
        names: names of all stages.
        by_task: `process_batch` is the default one: each slot belongs to one input.
    """

    def __init__(self, stage: Any, index: int, names: tuple[str, ...], *, by_task: bool) -> None:
        self.stage = stage
        self.names = names
        self.is_source = bool(getattr(stage, "is_source_stage", False))
        # Types of outputs seen that are no markers: most calls need no further look.
        self.plain_tasks: set[type] = set()
        self._by_task = by_task
        self.tag = blake2b(f"{index}:{stage.name}".encode(), digest_size=16).digest()

    def name(self, parents: list[Parent], results: list[Any], mark: Mark) -> tuple[list[Any], int]:
        """The outputs of a batch, named; and how many of its inputs gave none.

        Raises:
            TypeError: something that is no task was returned.
            ValueError: a `FailedTask` was returned.
        """
        outputs: list[Any] = []
        filtered = 0
        if self._by_task or (len(parents) > 1 and len(results) == len(parents)):
            plain = self.plain_tasks
            for parent, slot in zip(parents, results, strict=True):
                if type(slot) in plain and id(slot) not in mark.emitted and not self.is_source:
                    mark.emitted.add(id(slot))
                    self.stamp(slot, parent, 0, mark)
                    outputs.append(slot)
                    continue
                slots = slot if type(slot) is list else (slot,)
                found = self.children(parent, slots, mark)
                filtered += not found
                outputs += found
            return outputs, filtered
        parent = parents[0] if len(parents) == 1 else merged_parent(parents)
        flat: list[Any] = []
        for slot in results:
            flat.extend(slot) if type(slot) is list else flat.append(slot)
        outputs = self.children(parent, flat, mark)
        return outputs, max(0, len(parents) - len(outputs))

    def children(
        self, parent: Parent, slots: Sequence[Any], mark: Mark, first: int = 0
    ) -> list[Any]:
        """The outputs of one parent, named; empty slots are left out.

        Args:
            parent: what they inherit from.
            slots: what the stage returned for it.
            mark: of the batch.
            first: ordinal of the first slot.
        """
        outputs: list[Any] = []
        for ordinal, slot in enumerate(slots, first):
            if type(slot) not in self.plain_tasks and not self._is_output(slot, parent):
                continue
            # Emitted twice: each gets its own id.
            task = copy.copy(slot) if id(slot) in mark.emitted else slot
            mark.emitted.add(id(slot))
            suffix = self.suffix(task, ordinal)
            if type(suffix) is str:
                if (parent.key, suffix) in mark.suffixes:
                    suffix = ordinal  # two outputs with the same content
                mark.suffixes.add((parent.key, suffix))
            self.stamp(task, parent, suffix, mark)
            outputs.append(task)
        return outputs

    def _is_output(self, slot: Any, parent: Parent) -> bool:
        """Whether a returned value is a task to pass on; False if it was filtered out.

        Raises:
            TypeError: it is no task.
            ValueError: it says that the stage failed.
        """
        if slot is None or isinstance(slot, NoneTask):
            return False
        if not isinstance(slot, Task):
            raise TypeError(
                f"stage {self.stage.name}: process() returned {type(slot).__name__}, wanted a "
                "Task, a list of Tasks, an iterator or None"
            )
        if isinstance(slot, FailedTask):
            raise StageReportedFailure(
                f"stage {self.stage.name} returned a FailedTask for task {parent.id}"
            )
        self.plain_tasks.add(type(slot))
        return True

    def suffix(self, task: Any, ordinal: int) -> str | int:
        """Last part of a task's id: its content's where a source says so, else its position."""
        if self.is_source:
            content = task.get_deterministic_id()
            if content is not None:
                return str(content)
        return ordinal

    def stamp(self, task: Any, parent: Parent, suffix: str | int, mark: Mark) -> None:
        """Write id, lineage key and figures onto a task."""
        state = task.__dict__
        own = parent.key + str(suffix).encode("utf-8", "surrogatepass")
        digest = blake2b(own, digest_size=KEY_BYTES, person=self.tag).digest()
        state["_lineage_key"] = digest
        # Several inputs: NeMo Curator gives a random id that starts with "r". Ours has the same
        # form but is the same each time.
        state["task_id"] = f"{parent.id}_{suffix}" if parent.id else "r" + digest.hex()
        state["_perf_packed"] = parent.packed + mark.entry
        state["_perf_names"] = self.names
        state.pop("_stage_perf", None)
        if "_origin" in state:
            del state["_origin"], state["_row"]
        if parent.prior:
            state["_perf_prior"] = parent.prior
        if mark.metrics or parent.metrics:
            own_metrics = {mark.batch: mark.metrics} if mark.metrics else {}
            state["_perf_metrics"] = {**(parent.metrics or {}), **own_metrics}
        elif "_perf_metrics" in state:
            del state["_perf_metrics"]
