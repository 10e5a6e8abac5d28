"""Our executor on a workload, and what must be true of every task that it returns.

Called by `child`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curator_executor import Pipeline, Task, XennaExecutor
from tests.benchmarks.workloads import Stage, Workload

LINEAGE_KEY_BYTES = 16


def execute(stages: list[Stage], tasks: list[Task[Any]], fusion: bool) -> list[Task[Any]]:
    """One run with default settings but for fusion."""
    return Pipeline("benchmark", stages=stages).run(XennaExecutor({"fusion": fusion}), tasks)


def problems_of(
    workload: Workload, n: int, outputs: Sequence[Task[Any]], directory: Path
) -> list[str]:
    """What is wrong with the outputs: payloads, ids, lineage keys, figures; empty if nothing."""
    found = workload.problems(n, [task.data for task in outputs], directory)
    found += _not_distinct("task ids", [task.task_id for task in outputs])
    keys = [task._lineage_key for task in outputs]
    found += _not_distinct("lineage keys", keys)
    short = sum(1 for key in keys if len(key) != LINEAGE_KEY_BYTES)
    if short:
        found.append(f"{short} lineage keys are not {LINEAGE_KEY_BYTES} bytes long")
    return found + _wrong_figures(workload, n, outputs, directory)


def _not_distinct(what: str, values: Sequence[Any]) -> list[str]:
    found = []
    empty = sum(1 for value in values if not value)
    if empty:
        found.append(f"{empty} {what} are empty")
    repeated = len(values) - len(set(values))
    if repeated:
        example = Counter(values).most_common(1)[0][0]
        found.append(f"{repeated} {what} occur again, e.g. {example!r}")
    return found


def _wrong_figures(
    workload: Workload, n: int, outputs: Sequence[Task[Any]], directory: Path
) -> list[str]:
    names = [stage.name for stage in workload.stages(n, directory)]
    wrong_order = negative = 0
    sizes: list[Counter[int]] = [Counter() for _ in names]
    for task in outputs:
        perf = task._stage_perf
        if [entry.stage_name for entry in perf] != names:
            wrong_order += 1
            continue
        negative += any(entry.process_time < 0 for entry in perf)
        for seen, entry in zip(sizes, perf, strict=True):
            seen[entry.num_items_processed] += 1
    found = []
    if wrong_order:
        got = [entry.stage_name for entry in outputs[0]._stage_perf]
        found.append(f"{wrong_order} tasks lack one figure per stage {names}; the first has {got}")
    if negative:
        found.append(f"{negative} tasks have a negative process_time")
    if not wrong_order:
        found += _wrong_sizes(workload, n, names, sizes)
    return found


def _wrong_sizes(
    workload: Workload, n: int, names: list[str], sizes: list[Counter[int]]
) -> list[str]:
    found = []
    for name, batch, seen in zip(names, workload.per_batch, sizes, strict=True):
        remainder = n % batch
        wanted = Counter({batch: n - remainder, remainder: remainder})
        if workload.spread:
            wanted = Counter({batch: seen.total()})
        if +seen != +wanted:
            found.append(
                f"stage {name}: tasks by num_items_processed {dict(seen)}, wanted {dict(+wanted)}"
            )
    return found
