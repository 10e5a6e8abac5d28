"""`curator simulate --report FILE`: the forecast and the simulated run as one page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_executor.cli.forecast_view import nodes_by_kind, where_of
from curator_executor.core.types import Node
from curator_executor.simulation.forecast import Forecast, PoolForecast
from curator_executor.simulation.timeline import Moment, Timeline
from curator_executor.sinks.charts import Chart, chart
from curator_executor.sinks.formatting import count_of, format_bytes, format_duration, format_rate
from curator_executor.sinks.html import render_page, write_page
from curator_executor.sinks.report_view import Card

# Points of a curve; more cannot be told apart on a page.
_POINTS = 300
_COLOURS = 8


@dataclass(frozen=True)
class StageView:
    """A row of the table, and a curve of its workers; `colour` is one of eight."""

    forecast: PoolForecast
    where: str
    rate: str
    is_bottleneck: bool
    colour: int
    workers: Chart | None
    at_work: Chart | None


@dataclass(frozen=True)
class SimulationView:
    """All that the page shows."""

    pipeline: str
    cards: list[Card]
    nodes: list[str]
    stages: list[StageView]
    one_more: list[tuple[str, str]]
    throughput: Chart | None
    gpus: Chart | None
    node_count: Chart | None
    notes: list[str]


def write_report(path: Path, view: SimulationView) -> None:
    """Write the page.

    Raises:
        OSError: it cannot be written there.
    """
    write_page(path, render_page("simulation.html.j2", view=view))


def simulation_view(
    pipeline: str,
    nodes: Sequence[Node],
    found: Forecast,
    run: Timeline | None,
    inputs: int,
    notes: Sequence[str],
) -> SimulationView:
    """What the page shows.

    Args:
        pipeline: its name.
        nodes: the cluster.
        found: the steady state.
        run: the simulated run, or None if there was none.
        inputs: inputs of that run.
        notes: what was assumed.
    """
    moments = _thinned(run.moments) if run else []
    times = [moment.at_s for moment in moments]
    has_curve = len(moments) > 1
    return SimulationView(
        pipeline=pipeline,
        cards=_cards(found, run, inputs),
        nodes=_kinds(nodes),
        stages=[
            StageView(
                forecast=pool,
                where=where_of(pool),
                rate=f"{format_rate(pool.rate)}/s",
                is_bottleneck=pool.name in found.bottlenecks,
                colour=at % _COLOURS,
                workers=_counts(times, [m.workers[at] for m in moments]) if has_curve else None,
                at_work=_counts(times, [m.at_work[at] for m in moments]) if has_curve else None,
            )
            for at, pool in enumerate(found.pools)
        ],
        one_more=[
            (kind, f"{rate / found.rate - 1:+.1%}" if found.rate else "")
            for kind, rate in found.one_more.items()
        ],
        throughput=chart(times[1:], _rates(moments), format_rate) if has_curve else None,
        gpus=_gpu_chart(times, moments) if has_curve and run and run.has_gpus else None,
        node_count=_counts(times, [m.nodes for m in moments]) if has_curve else None,
        notes=list(notes),
    )


def _cards(found: Forecast, run: Timeline | None, inputs: int) -> list[Card]:
    upper = "inputs, at most: stages take turns" if found.takes_turns else "inputs"
    cards = [Card("Steady rate", f"{format_rate(found.rate)}/s", upper)]
    cards.append(Card("Held up by", ", ".join(found.bottlenecks)))
    if run is None:
        return cards
    rate = inputs / run.seconds if run.seconds else 0.0
    share = f"{rate / found.rate:.0%} of the steady rate" if found.rate else ""
    cards += [
        Card(f"{inputs:,} inputs take", format_duration(run.seconds)),
        Card("On average", f"{format_rate(rate)}/s", share),
    ]
    if run.has_gpus:
        cards.append(Card("GPUs at work", f"{run.gpu_use:.0%}", "of their time"))
    lost = f"of them lost: {run.died:,}" if run.died else ""
    return [*cards, Card("Workers started", f"{run.started:,}", lost)]


def _kinds(nodes: Sequence[Node]) -> list[str]:
    said = []
    for kind, mine in nodes_by_kind(nodes).items():
        one = mine[0]
        has = [f"{one.cpus:g} CPUs"]
        if one.memory:
            has.append(format_bytes(one.memory))
        if one.gpus:
            of = f" of {format_bytes(one.gpu_memory)}" if one.gpu_memory else ""
            has.append(count_of(int(one.gpus), "GPU") + of)
        said.append(f"{count_of(len(mine), 'node')} {kind}: {', '.join(has)} each")
    return said


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """About evenly spaced ones, the first and the last among them."""
    if len(moments) <= _POINTS:
        return list(moments)
    step = (len(moments) - 1) / (_POINTS - 1)
    return [moments[round(at * step)] for at in range(_POINTS)]


def _rates(moments: Sequence[Moment]) -> list[float]:
    return [
        max(0.0, (after.inputs_done - before.inputs_done) / (after.at_s - before.at_s))
        for before, after in itertools.pairwise(moments)
    ]


def _gpu_chart(times: Sequence[float], moments: Sequence[Moment]) -> Chart:
    use = [moment.gpus_at_work / moment.gpus if moment.gpus else 0.0 for moment in moments]
    return chart(times, use, lambda share: f"{share:.0%}", top=1.0, is_step=True)


def _counts(times: Sequence[float], counts: Sequence[int]) -> Chart:
    return chart(times, counts, lambda count: f"{count:,.0f}", is_step=True)
