"""`curator simulate`: how a pipeline would do on a cluster that is described, in virtual time."""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from curator_executor.cli.described import Described, described
from curator_executor.cli.forecast_view import show_forecast
from curator_executor.cli.outcome import OK, REFUSED, CommandError
from curator_executor.cli.plan import pools_of
from curator_executor.cli.prepare import Prepared, prepare
from curator_executor.cli.services import Services
from curator_executor.cli.simulate_report import simulation_view, write_report
from curator_executor.core.state import CoreSettings
from curator_executor.core.types import Node, PoolSpec
from curator_executor.simulation.forecast import Forecast
from curator_executor.simulation.simulate import Simulation
from curator_executor.simulation.timeline import Timeline, run_timeline
from curator_executor.simulation.workload import Faults, StageWork, Workload
from curator_executor.sinks.formatting import format_duration, format_rate
from curator_executor.sinks.html import require_writable

_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 60
MOST_STEPS = 10_000_000


def simulate_pipeline(options: Namespace, services: Services) -> int:
    """Print the forecast, then what a simulated run makes of it.

    Raises:
        ManifestError: the manifest is wrong.
        CommandError: an option is wrong.
    """
    if options.report:
        try:
            require_writable(options.report)
        except OSError as error:
            raise CommandError(f"--report {options.report}: {error.strerror}") from error
    prepared = prepare(services.load(Path(options.manifest)), options, services)
    pools = pools_of(prepared)
    cluster = described(options, prepared, pools)
    console = Console()
    found = show_forecast(console, prepared, pools, cluster)
    if found is None:
        return REFUSED
    timeline = None
    if options.inputs:
        run = Simulation(
            workload_of(pools, cluster, options),
            nodes=_first_nodes(options, cluster.nodes),
            settings=_settings(prepared),
            fuse=any(len(pool.stages) > 1 for pool in pools),
            most_steps=MOST_STEPS,
        )
        timeline = run_timeline(run)
        _show_run(console, timeline, found, options.inputs)
    if options.report:
        notes = [*prepared.notes, *cluster.notes]
        name, nodes = prepared.pipeline.name, cluster.nodes
        view = simulation_view(name, nodes, found, timeline, options.inputs or 0, notes)
        write_report(options.report, view)
        console.print(f"Report: {options.report}")
    return OK


def workload_of(pools: Sequence[PoolSpec], cluster: Described, options: Namespace) -> Workload:
    """What simulated workers do, and what goes wrong."""
    stages = tuple(stage for pool in pools for stage in pool.stages)
    costs = cluster.costs
    work = tuple(
        StageWork(
            batch_s=costs[stage.index].seconds * stage.batch_size,
            jitter=options.jitter,
            fan_out=max(1, round(costs[stage.index].outputs)),
            keep=min(1.0, costs[stage.index].outputs),
            setup_s=costs[stage.index].setup_s,
        )
        for stage in stages
    )
    faults = _faults(options, cluster.nodes)
    return Workload(stages, work, options.inputs, faults=faults, seed=options.seed)


def _first_nodes(options: Namespace, nodes: Sequence[Node]) -> tuple[Node, ...]:
    late = _late(options, nodes)
    return tuple(node for node in nodes if node not in late) or tuple(nodes[:1])


def _late(options: Namespace, nodes: Sequence[Node]) -> list[Node]:
    return list(nodes[1:]) if options.nodes_every else []


def _faults(options: Namespace, nodes: Sequence[Node]) -> Faults:
    """Nodes that come one by one, and a share of them that goes for good at some time."""
    there = list(_first_nodes(options, nodes))
    at: list[tuple[float, tuple[Node, ...]]] = []
    for number, node in enumerate(_late(options, nodes), start=1):
        there.append(node)
        at.append((number * options.nodes_every, tuple(there)))
    if options.lose:
        share, when = options.lose
        dice = random.Random(options.seed)
        gone = set(dice.sample(range(len(nodes)), round(share * len(nodes))))
        left = tuple(node for place, node in enumerate(nodes) if place not in gone)
        before = [each for each in at if each[0] < when]
        at = [*before, (when, left)]
    return Faults(
        straggle=options.stragglers,
        mean_life_s=options.worker_life,
        most_deaths=1_000,
        nodes_at=tuple(at),
    )


def _settings(prepared: Prepared) -> CoreSettings:
    return CoreSettings(
        max_workers_per_stage=prepared.settings.max_workers_per_stage,
        autoscale_interval_s=float(prepared.settings.autoscale_interval_s),
    )


def _show_run(console: Console, run: Timeline, found: Forecast, inputs: int) -> None:
    rate = inputs / run.seconds if run.seconds else 0.0
    console.print()
    share = f", {rate / found.rate:.0%} of the steady rate" if found.rate else ""
    console.print(
        f"Simulated: {inputs:,} inputs in {format_duration(run.seconds)} "
        f"({format_rate(rate)}/s{share})"
    )
    console.print(f"Workers started: {run.started:,}, of them lost: {run.died:,}")
    if run.has_gpus:
        console.print(f"GPUs at work: {run.gpu_use:.0%} in the mean")
        console.print(Text(f"  {_curve(run)}"))
        end = format_duration(run.seconds)
        console.print(Text(f"  0{end:>{_COLUMNS - 1}}", "dim"))


def _curve(run: Timeline) -> str:
    """GPUs at work, as a share of those there were, in equal stretches of time."""
    busy, there = [0.0] * _COLUMNS, [0.0] * _COLUMNS
    ends = [*(moment.at_s for moment in run.moments[1:]), run.seconds]
    width = max(run.seconds / _COLUMNS, 1e-9)
    for moment, end_s in zip(run.moments, ends, strict=True):
        at_s = moment.at_s
        while at_s < end_s:
            column = min(_COLUMNS - 1, int(at_s / width + 1e-9))
            until_s = end_s if column == _COLUMNS - 1 else min(end_s, (column + 1) * width)
            busy[column] += moment.gpus_at_work * (until_s - at_s)
            there[column] += moment.gpus * (until_s - at_s)
            at_s = max(until_s, at_s + 1e-9)
    shares = [a / b if b else 0.0 for a, b in zip(busy, there, strict=True)]
    return "".join(_BLOCKS[min(8, round(share * 8))] for share in shares)
