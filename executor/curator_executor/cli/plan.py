"""`curator plan`: what would run here, or on `--nodes`, and why; nothing is started."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curator_executor.cli.described import described
from curator_executor.cli.forecast_view import show_forecast
from curator_executor.cli.machine import Machine, this_machine
from curator_executor.cli.outcome import OK, REFUSED
from curator_executor.cli.prepare import Prepared, prepare
from curator_executor.cli.services import Services
from curator_executor.core.fusion import plan_pools
from curator_executor.core.sizing import check_fits
from curator_executor.core.types import Need, Node, PoolSpec, StageSpec
from curator_executor.runtime.settings import RunSettings
from curator_executor.runtime.specs import stage_specs
from curator_executor.sinks.formatting import count_of, format_bytes, one_line

_MIN_NAME_WIDTH = 14
# Marker, batch size and number of workers, with the gaps between them.
_BESIDE_NAME_AND_NEEDS = 27


def show_plan(options: Namespace, services: Services) -> int:
    """Print the plan; 2 if a stage does not fit, since `run` would refuse it.

    Raises:
        ManifestError: the manifest is wrong.
        CommandError: an option is wrong.
    """
    prepared = prepare(services.load(Path(options.manifest)), options, services)
    pools = pools_of(prepared)
    if options.nodes:
        cluster = described(options, prepared, pools)
        return REFUSED if show_forecast(Console(), prepared, pools, cluster) is None else OK
    machine = this_machine()
    node = node_of(machine, prepared.settings)
    console = Console()
    stages = count_of(sum(len(pool.stages) for pool in pools), "stage")
    groups = count_of(len(pools), "pool of workers", "pools of workers")
    title = Text().append(prepared.pipeline.name, style="bold").append(f": {stages} in {groups}")
    console.print(title)
    console.print(Text(_offer(machine, node)))
    console.print()
    console.print(_table(pools, node, prepared.settings, console.width))
    console.print()
    for line in why(pools):
        console.print(Text(line))
    for line in _turns(pools, node, prepared.settings):
        console.print(Text(line))
    problems = check_fits([(pool.name, pool.need) for pool in pools], [node])
    for problem in problems:
        console.print(Text(f"does not fit here: {problem}", "bold red"))
    _print_settings(console, prepared)
    return REFUSED if problems else OK


def pools_of(prepared: Prepared) -> tuple[PoolSpec, ...]:
    """The pools that the run would have.

    Raises:
        InvalidPipeline: the stages cannot run as they are.
    """
    settings = prepared.settings
    return plan_pools(
        stage_specs(prepared.stages, settings),
        fuse=settings.fusion and settings.execution_mode == "streaming",
    )


def node_of(machine: Machine, settings: RunSettings) -> Node:
    """This machine as a node: its share of the cores, at least one."""
    cpus = max(1, round(machine.cpus * settings.cpu_allocation_percentage))
    return Node("here", float(cpus), float(machine.gpus), machine.memory)


def needs(need: Need) -> str:
    """What a worker takes, in words."""
    parts = [f"{need.cpus:g} CPU{'' if need.cpus == 1 else 's'}"]
    if need.gpu_memory:
        parts.append(f"{format_bytes(need.gpu_memory)} of a GPU")
    elif need.gpus:
        parts.append(f"{need.gpus:g} GPU{'' if need.gpus == 1 else 's'}")
    if need.memory:
        parts.append(format_bytes(need.memory))
    return ", ".join(parts)


def workers(stage: StageSpec, node: Node, settings: RunSettings) -> str:
    """How many workers the stage may have here, in words."""
    if stage.is_global:
        return "1 (global)"
    if stage.fixed_workers is not None:
        return f"{stage.fixed_workers} (set)"
    if stage.workers_per_node is not None:
        return f"{stage.workers_per_node:g} a node"
    limits = [float(most) for most in (stage.max_workers, settings.max_workers_per_stage) if most]
    for have, want in (
        (node.cpus, stage.need.cpus),
        (node.gpus, stage.need.gpus),
        (float(node.memory), float(stage.need.memory)),
    ):
        if want and (have or want == stage.need.gpus):
            limits.append(have // want)
    most = int(min(limits)) if limits else None
    least = max(stage.min_workers, 1)
    if most is None:
        return f"{least} or more"
    if most < 1:
        return "none fits"
    return str(most) if most <= least else f"{least} to {most}"


def why(pools: Sequence[PoolSpec]) -> list[str]:
    """A line for each boundary between stages: shared workers or not, and why."""
    lines = []
    for before, pool in zip([None, *pools], pools, strict=False):
        if before is not None:
            left, right = before.stages[-1].name, pool.head.name
            lines.append(f"{left} | {right}: own workers, because {pool.reason}")
        lines += [
            f"{first.name} + {second.name}: one worker for both, tasks pass inside it"
            for first, second in zip(pool.stages, pool.stages[1:], strict=False)
        ]
    return lines


def _offer(machine: Machine, node: Node) -> str:
    gpus = count_of(machine.gpus, "GPU") if machine.gpus else "no GPU"
    memory = format_bytes(machine.memory) if machine.memory else "unknown"
    return (
        f"This machine: {count_of(machine.cpus, 'CPU')} (stages may use {node.cpus:g}), "
        f"memory {memory}, {gpus}"
    )


def _table(pools: Sequence[PoolSpec], node: Node, settings: RunSettings, width: int) -> Table:
    texts = [needs(stage.need) for pool in pools for stage in pool.stages]
    names = [len(stage.name) + 2 for pool in pools for stage in pool.stages]
    needs_width = min(max(map(len, texts)), 26)
    room = width - needs_width - _BESIDE_NAME_AND_NEEDS
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(
        "Stage",
        width=max(_MIN_NAME_WIDTH, min(max(names), room)),
        no_wrap=True,
        overflow="ellipsis",
    )
    table.add_column("A worker takes", min_width=needs_width, no_wrap=True, overflow="ellipsis")
    table.add_column("Batch", justify="right", no_wrap=True)
    table.add_column("Workers", no_wrap=True)
    for pool in pools:
        for stage in pool.stages:
            is_first = stage is pool.head
            name = Text().append("" if is_first else "↳ ", style="dim")
            table.add_row(
                name.append(one_line(stage.name, 80)),
                needs(stage.need),
                str(stage.batch_size),
                workers(stage, node, settings) if is_first else Text("the same", "dim"),
            )
    return table


def _turns(pools: Sequence[PoolSpec], node: Node, settings: RunSettings) -> list[str]:
    """Whether one worker for each pool is more than the machine has."""
    wanted = sum(pool.need.cpus * (pool.fixed_workers or 1) for pool in pools)
    if settings.execution_mode == "batch" or wanted <= node.cpus:
        return []
    said = f"A worker for each pool takes {wanted:g} CPUs and {node.cpus:g} may be used"
    return [f"{said}: the pools take turns."]


def _print_settings(console: Console, prepared: Prepared) -> None:
    console.print()
    values = vars(prepared.settings)
    console.print(Text("Settings: " + ", ".join(f"{k}={v}" for k, v in values.items()), "dim"))
    for note in prepared.notes:
        console.print(Text(f"note: {note}", "yellow"))
