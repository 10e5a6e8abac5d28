"""Decide which neighbouring stages share workers. Called once, when a run is compiled.

A fused stage takes its tasks as Python objects from the one before, in the same process. It is
done only where nothing a stage can see changes by it; each boundary carries its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from curator_executor.core.types import Need, PoolSpec, StageSpec


def why_not_fused(before: StageSpec, after: StageSpec) -> str:
    """Why two neighbours must not share a worker; "" if they may."""
    checks = (
        (before.is_global or after.is_global, "a global stage has its one worker for itself"),
        (before.need.gpus or after.need.gpus, "a GPU stage has its workers for itself"),
        (after.batch_size != 1, f"{after.name} takes batches of {after.batch_size}"),
        (after.attempts > 1, f"{after.name} is retried by itself"),
        (before.env_key != after.env_key, "their runtime environments differ"),
        (before.worker_groups != after.worker_groups, "they run on different worker groups"),
        (before.fans_out, f"{before.name} fans out: its outputs are shared among workers"),
        (_is_sized(before), f"the number of workers of {before.name} is set"),
        (_is_sized(after), f"the number of workers of {after.name} is set"),
        (
            before.timeout_s is not None or after.timeout_s is not None,
            "a time limit counts one stage's batches",
        ),
        (
            before.ignore_failures != after.ignore_failures,
            "only one of them may go on after a failure",
        ),
    )
    return next((reason for holds, reason in checks if holds), "")


def _is_sized(stage: StageSpec) -> bool:
    return (
        stage.fixed_workers is not None
        or stage.workers_per_node is not None
        or stage.max_workers is not None
        or stage.min_workers > 0
    )


def plan_pools(stages: Sequence[StageSpec], *, fuse: bool) -> tuple[PoolSpec, ...]:
    """The pools of a pipeline, in order.

    Args:
        stages: in order.
        fuse: whether fusing is allowed at all.

    Returns:
        One pool per stage or group of stages, each with the reason for its first boundary.
    """
    groups: list[list[StageSpec]] = []
    reasons: list[str] = []
    for stage in stages:
        if not groups:
            reason = "first stage"
        elif not fuse:
            reason = "fusion is off"
        else:
            reason = why_not_fused(groups[-1][-1], stage)
        if reason:
            groups.append([stage])
            reasons.append(reason)
        else:
            groups[-1].append(stage)
    return tuple(
        PoolSpec(index, tuple(group), _need(group), reason)
        for index, (group, reason) in enumerate(zip(groups, reasons, strict=True))
    )


def _need(group: Sequence[StageSpec]) -> Need:
    return Need(
        cpus=max(stage.need.cpus for stage in group),
        gpus=max(stage.need.gpus for stage in group),
        memory=sum(stage.need.memory for stage in group),
        gpu_memory=max(stage.need.gpu_memory for stage in group),
    )
