"""Random pipelines for the simulation, and what must be true of their ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st

from curator_executor.core.state import CoreSettings
from curator_executor.core.types import Need, Node, StageSpec
from curator_executor.simulation.simulate import Simulation, SimulationResult
from curator_executor.simulation.workload import Faults, StageWork, TaskPath, Workload

KIB = 1024


class FanOut:
    """Outputs of a task, between 0 and `most`, by its path."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, task: TaskPath) -> int:
        return hash(task) % (self.most + 1)

    def __repr__(self) -> str:
        return f"FanOut({self.most})"


def stage_work() -> st.SearchStrategy[StageWork]:
    return st.builds(
        StageWork,
        batch_s=st.sampled_from([0.001, 0.01, 0.05, 0.4, 3.0]),
        jitter=st.sampled_from([0.0, 0.5]),
        fan_out=st.sampled_from([1, 1, 1, 1, 1, 2, FanOut(3)]),
        keep=st.sampled_from([1.0, 1.0, 0.6]),
        output_bytes=st.sampled_from([100, 1000, 50_000]),
        setup_s=st.sampled_from([0.0, 0.1, 2.0]),
        yields=st.booleans(),
    )


def stage_specs(
    count: int, *, ignore: bool, deaths_allowed: int
) -> st.SearchStrategy[list[StageSpec]]:
    one = st.fixed_dictionaries(
        {
            "batch_size": st.integers(1, 7),
            "need": st.sampled_from([Need(1.0), Need(1.0), Need(1.0), Need(0.5), Need(2.0)]),
            "env_key": st.sampled_from(["", "", "", "other"]),
            "max_workers": st.sampled_from([None, None, None, 1, 2]),
            "min_workers": st.sampled_from([0, 0, 0, 1, 2]),
            "fixed_workers": st.sampled_from([None, None, None, None, 1]),
            "is_pure": st.booleans(),
        }
    )

    def build(rows: list[dict[str, object]], global_at: int | None) -> list[StageSpec]:
        return [
            StageSpec(
                index,
                f"s{index}",
                ignore_failures=ignore,
                deaths_allowed=deaths_allowed,
                is_global=index == global_at,
                keeps_state_in_scratch=index == global_at,
                **row,  # type: ignore[arg-type]
            )
            for index, row in enumerate(rows)
        ]

    places = st.one_of(st.none(), st.none(), st.integers(0, count - 1))
    return st.builds(build, st.lists(one, min_size=count, max_size=count), places)


@st.composite
def simulations(
    draw: st.DrawFn,
    *,
    faults: st.SearchStrategy[Faults] | None = None,
    ignore: bool = False,
    deaths_allowed: int = 1000,
    batch_mode: st.SearchStrategy[bool] | None = None,
    global_stages: bool = True,
) -> Simulation:
    count = draw(st.integers(1, 6))
    specs = draw(stage_specs(count, ignore=ignore, deaths_allowed=deaths_allowed))
    if not global_stages:
        specs = [replace(spec, is_global=False) for spec in specs]
    work = draw(st.lists(stage_work(), min_size=count, max_size=count))
    if draw(st.booleans()):  # one stage that emits many, as a reader of files does
        reader = draw(st.integers(0, count - 1))
        work[reader] = replace(work[reader], fan_out=FanOut(12))
    tiny = draw(st.booleans())
    nodes = (
        Node(
            "n1",
            cpus=draw(st.sampled_from([2.0, 2.0, 3.0, 8.0])),
            store_bytes=draw(st.sampled_from([0, 200 * KIB, 4000 * KIB])),
        ),
    )
    return Simulation(
        Workload(
            tuple(specs),
            tuple(work),
            source_tasks=draw(st.integers(1, 20)),
            faults=draw(faults) if faults is not None else Faults(),
            seed=draw(st.integers(0, 2**20)),
        ),
        nodes,
        CoreSettings(
            batch_mode=draw(st.booleans() if batch_mode is None else batch_mode),
            max_workers_per_stage=draw(st.sampled_from([None, None, 1, 2])),
            setup_deaths_allowed=1000,
        ),
        fuse=draw(st.booleans()),
        block_bytes=2000 if tiny else None,
    )


def random_faults() -> st.SearchStrategy[Faults]:
    return st.builds(
        Faults,
        mean_life_s=st.sampled_from([0.5, 2.0, 10.0]),
        most_deaths=st.sampled_from([1, 5, 30]),
        straggle=st.sampled_from([0.0, 0.1]),
    )


def broken_calls() -> st.SearchStrategy[Faults]:
    return st.builds(
        Faults,
        breaks=st.sampled_from([0.05, 0.3]),
        mean_life_s=st.sampled_from([None, 5.0]),
    )


@st.composite
def poisoned(draw: st.DrawFn, *, ignore: bool) -> Simulation:
    """A pipeline in which some tasks raise and some end their workers' processes."""
    run = draw(simulations(ignore=ignore, deaths_allowed=2))
    work = list(run.workload.work)
    tasks = st.integers(0, run.workload.source_tasks - 1)
    for stage in range(len(work)):
        if run.workload.stages[stage].is_global:
            continue
        bad = draw(st.sets(tasks, max_size=3))
        zeros = (0,) * stage
        paths = frozenset((number, *zeros) for number in bad)
        kills = draw(st.booleans())
        old = work[stage]
        work[stage] = replace(old, kills_on=paths) if kills else replace(old, raises_on=paths)
    return replace(run, workload=replace(run.workload, work=tuple(work)))


def check_complete(run: Simulation, result: SimulationResult) -> None:
    """The run succeeded and gave exactly the outputs it had to."""
    state = result.state
    assert (state.ending, state.error) == ("succeeded", None)
    expected = run.workload.expected_outputs(
        result.ledger.lost({s.index: s.deaths_allowed for s in run.workload.stages})
    )
    assert Counter(result.outputs) == Counter(expected)
    assert result.blocks_left == 0
    if state.settings.batch_mode:
        assert result.outputs == expected


def check_batches(run: Simulation, result: SimulationResult) -> None:
    """Each stage got batches of exactly its size, and at most one remainder."""
    for stage in run.workload.stages:
        sizes = Counter(
            len(batch) for index, batch in result.ledger.batches if index == stage.index
        )
        small = {size: count for size, count in sizes.items() if size != stage.batch_size}
        assert sum(small.values()) <= 1, (stage.name, sizes)
        assert max(small, default=0) <= stage.batch_size, (stage.name, sizes)
