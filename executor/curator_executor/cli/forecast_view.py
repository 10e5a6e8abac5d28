"""The forecast of a pipeline on a described cluster, as `plan --nodes` and `simulate` show it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curator_executor.cli.described import Described
from curator_executor.cli.prepare import Prepared
from curator_executor.core.sizing import check_pools_fit
from curator_executor.core.types import Node, PoolSpec
from curator_executor.simulation.forecast import Forecast, PoolForecast, forecast
from curator_executor.sinks.formatting import count_of, format_rate, one_line


def show_forecast(
    console: Console, prepared: Prepared, pools: Sequence[PoolSpec], cluster: Described
) -> Forecast | None:
    """Print the steady state; None if a stage fits on no node, which is printed instead."""
    nodes = cluster.nodes
    problems = check_pools_fit(pools, nodes)
    for problem in problems:
        console.print(Text(f"does not fit: {problem}", "bold red"))
    if problems:
        return None
    found = forecast(pools, cluster.costs, nodes, prepared.settings.max_workers_per_stage)
    _print(console, prepared.pipeline.name, found, nodes)
    for note in [*prepared.notes, *cluster.notes]:
        console.print(Text(f"note: {note}", "yellow"))
    return found


def nodes_by_kind(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """Nodes of a described cluster, by the name of their kind."""
    kinds: dict[str, list[Node]] = {}
    for node in nodes:
        kinds.setdefault(node.group, []).append(node)
    return kinds


def where_of(pool: PoolForecast) -> str:
    """How many workers of a pool are on which kind of node, in words."""
    return ", ".join(f"{count} on {kind}" for kind, count in sorted(pool.places.items()))


def _print(console: Console, name: str, found: Forecast, nodes: Sequence[Node]) -> None:
    kinds = nodes_by_kind(nodes)
    console.print(Text(name, style="bold"))
    for kind, mine in kinds.items():
        gpus = f", {count_of(int(mine[0].gpus), 'GPU')}" if mine[0].gpus else ""
        console.print(f"{count_of(len(mine), 'node')} {kind}: {mine[0].cpus:g} CPUs{gpus} each")
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Stage", overflow="ellipsis", no_wrap=True)
    for title in ("Workers", "Busy", "Lets through"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Where")
    table.add_column("Why so many")
    for pool in found.pools:
        where = where_of(pool)
        row = (f"{pool.workers:,}", f"{pool.busy:.0%}", f"{format_rate(pool.rate)}/s")
        table.add_row(one_line(pool.name, 40), *row, where, pool.reason)
    console.print(table)
    console.print()
    upper = " at most, as stages take turns" if found.takes_turns else ""
    console.print(f"Steady: {format_rate(found.rate)} inputs/s{upper}")
    console.print(f"Held up by: {', '.join(found.bottlenecks)}")
    if any(node.gpus for node in nodes):
        there = sum(node.gpus for node in nodes)
        held, busy = found.gpus
        console.print(f"GPUs: {there:g}, {held:.4g} of them held, {busy:.4g} at work")
    for kind, rate in found.one_more.items():
        more = rate / found.rate - 1 if found.rate else 0.0
        console.print(f"One more node {kind}: {more:+.1%}")
