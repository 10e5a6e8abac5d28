"""A cluster and what stages cost, as the command line describes them. For `plan` and `simulate`.

Nodes: `NAME:count=10,cpus=64,gpus=8,memory=512Gi`, once for each kind. Costs: `STAGE=SECONDS` for
one task, or the progress of a run that was measured.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curator_api.errors import did_you_mean
from curator_api.quantities import parse_bytes
from curator_executor.cli.outcome import CommandError
from curator_executor.cli.prepare import Prepared
from curator_executor.core.sizing import usable_cpus
from curator_executor.core.types import Node, NodeGroup, PoolSpec, StageSpec
from curator_executor.simulation.forecast import StageCost

_KEYS = ("count", "cpus", "gpus", "memory", "gpuMemory")
_EXAMPLE = "h100:count=10,cpus=64,gpus=8,memory=512Gi"
_MOST_NODES = 10_000
# What a stage is taken to cost of which nothing is known.
ASSUMED_S = 1.0


@dataclass(frozen=True)
class Described:
    """A cluster and what stages cost on it.

    Attributes:
        nodes: all there are.
        costs: of each stage, in order.
        notes: what was assumed.
    """

    nodes: tuple[Node, ...]
    costs: list[StageCost]
    notes: list[str]


def described(options: Namespace, prepared: Prepared, pools: Sequence[PoolSpec]) -> Described:
    """What the options and the manifest say.

    Raises:
        CommandError: a description of nodes or costs that cannot be read.
    """
    share = prepared.settings.cpu_allocation_percentage
    nodes = nodes_from(options, prepared.pipeline.worker_groups, share)
    costs, notes = costs_from(options, [stage for pool in pools for stage in pool.stages])
    return Described(nodes, costs, notes)


def nodes_from(
    options: Namespace, groups: Sequence[NodeGroup], cpu_share: float
) -> tuple[Node, ...]:
    """The nodes that `--nodes` describes, else the manifest's worker groups at their largest.

    Raises:
        CommandError: a description that cannot be read, or none at all.
    """
    described = [_kind(text) for text in options.nodes]
    kinds = described or [(group.node, group.most) for group in groups]
    if not kinds:
        raise CommandError(
            "no cluster to plan for: the manifest has no spec.cluster.workerGroups; describe one "
            f"with --nodes {_EXAMPLE}"
        )
    names = [node.group for node, _ in kinds]
    if len(set(names)) < len(names):
        raise CommandError(f"--nodes: each kind of node needs a name of its own, got {names}")
    return tuple(
        replace(node, id=f"{node.group}-{at}", cpus=usable_cpus(node.cpus, cpu_share))
        for node, count in kinds
        for at in range(count)
    )


def _kind(text: str) -> tuple[Node, int]:
    name, colon, rest = text.partition(":")
    if not name or not colon:
        raise CommandError(f"--nodes: wanted NAME:cpus=…, such as {_EXAMPLE}, got {text!r}")
    values: dict[str, str] = {}
    for part in rest.split(","):
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise CommandError(
                f"--nodes {name}: unknown {key!r}; there are {', '.join(_KEYS)}. "
                f"{did_you_mean(key, _KEYS)}".rstrip()
            )
        values[key] = value
    if "cpus" not in values:
        raise CommandError(f"--nodes {name}: says no cpus; such as {_EXAMPLE}")
    count = _number(f"--nodes {name}: count", values.get("count", "1"), 1, _MOST_NODES)
    memory, gpu_memory = (_bytes(name, key, values) for key in ("memory", "gpuMemory"))
    node = Node(
        "",
        cpus=_number(f"--nodes {name}: cpus", values["cpus"], 0, 100_000),
        gpus=float(int(_number(f"--nodes {name}: gpus", values.get("gpus", "0"), 0, 1_000))),
        memory=memory,
        group=name,
        gpu_memory=gpu_memory,
    )
    return node, int(count)


def _bytes(name: str, key: str, values: Mapping[str, str]) -> int:
    try:
        return parse_bytes(values[key]) if key in values else 0
    except ValueError as error:
        raise CommandError(f"--nodes {name}: {key}: {error}") from error


def _number(what: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise CommandError(f"{what} must be a number from {least:g} to {most:g}, got {text!r}")
    return value


def costs_from(
    options: Namespace, stages: Sequence[StageSpec]
) -> tuple[list[StageCost], list[str]]:
    """Cost of each stage: measured, with what the options say over it; and what was assumed.

    Raises:
        CommandError: an option that names no stage, or a file that is no progress of a run.
    """
    names = [stage.name for stage in stages]
    found = {name: cost for name, cost in _measured(options.measured).items() if name in names}
    given = {
        "seconds": _by_stage("--cost", options.cost, names),
        "outputs": _by_stage("--outputs", options.outputs, names),
        "setup_s": _by_stage("--setup", options.setup, names),
    }
    costs, notes = [], []
    for name in names:
        if name not in found and name not in given["seconds"]:
            notes.append(f"{name}: cost not known, taken to be {ASSUMED_S:g} s a task (--cost)")
        cost = found.get(name, StageCost(ASSUMED_S))
        own = {field: values[name] for field, values in given.items() if name in values}
        costs.append(replace(cost, **own))
    return costs, notes


def _by_stage(option: str, given: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if name not in names:
            raise CommandError(
                f"{option} {text}: no stage {name!r}; there are {', '.join(names)}. "
                f"{did_you_mean(name, names)}".rstrip()
            )
        found[name] = _number(f"{option} {name}", value, 0, 1e9)
    return found


def _measured(path: str | None) -> dict[str, StageCost]:
    """Costs from the last line of a run's progress (`curator run --progress FILE`)."""
    if path is None:
        return {}
    try:
        lines = [line for line in Path(path).read_text().splitlines() if line.strip()]
        stages = json.loads(lines[-1])["stages"]
        return {stage["name"]: _cost_of(stage) for stage in stages if stage["done"]}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CommandError(
            f"--measured {path}: wanted the file of `curator run --progress FILE`, one JSON object "
            f"with stages in each line ({type(error).__name__}: {error})"
        ) from error


def _cost_of(stage: Mapping[str, Any]) -> StageCost:
    return StageCost(
        seconds=float(stage["secondsPerTask"] or 0.0),
        outputs=float(stage["emitted"]) / float(stage["done"]),
    )
