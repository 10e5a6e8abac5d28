"""Which contestants do which work, how much of it, and on how large an object store.

Read by `run`. Sizes are inputs, except for `M` (tasks that the first stage yields) and `S` (arrays
that it yields).
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.child import Assignment
from tests.benchmarks.constants import BEST_COUNTS
from tests.benchmarks.head import LOGICAL_CPUS
from tests.benchmarks.workloads import WORKLOADS

MB = 1_000_000
GB = 1_000 * MB
# Room for Ray Data, which puts all of W2's inputs into the store at once.
MAIN_STORE = 4 * GB


@dataclass(frozen=True)
class Entry:
    """One contestant on one workload.

    Attributes:
        workload: name of the workload.
        contestant: who does it.
        quick: sizes in the quick form; empty to leave it out.
        full: sizes in the full form.
        warm_up: size of the uncounted first run of every driver process.
        repeat: times that a driver process goes through its sizes.
        quick_store: capacity of the object store in the quick form, bytes.
        full_store: the same in the full form.
        rounds: driver processes in the full form, in turn with the other contestants; the quick
            form has one.
        timeout_s: after which a driver process is ended.
        cpus: logical cores of the node.
    """

    workload: str
    contestant: str
    quick: tuple[int, ...]
    full: tuple[int, ...]
    warm_up: int = 100
    repeat: int = 1
    quick_store: int = MAIN_STORE
    full_store: int = MAIN_STORE
    rounds: int = 3
    timeout_s: float = 300.0
    cpus: int = LOGICAL_CPUS


SLOTS = sum(BEST_COUNTS)
BIG = (1, 100_000, 500_000)
PLAN = (
    Entry("W1", "ours", (1, 100_000), BIG),
    Entry("W1", "ours_fused", (1, 100_000), BIG),
    Entry("W1", "raw", (1, 3_000), (1, 20_000)),
    Entry("W1", "ray_data", (1, 5_000), (1, 20_000)),
    Entry("W1", "plain", (100_000,), (500_000,), rounds=1),
    Entry("W1b", "ours", (1, 200_000), (1, 500_000)),
    Entry("W1b", "ours_fused", (), (1, 500_000)),
    Entry("W1b", "raw32", (1, 100_000), (1, 200_000)),
    Entry("W1b", "ray_data", (), (1, 20_000)),
    Entry("W1b", "plain", (), (500_000,), rounds=1),
    Entry("W2", "ours", (100,), (400,), warm_up=8),
    Entry("W2", "ours_fused", (), (400,), warm_up=8),
    Entry("W2", "raw", (100,), (400,), warm_up=8),
    Entry("W2", "ray_data", (), (400,), warm_up=8),
    Entry("W2", "plain", (), (400,), warm_up=8, rounds=1),
    Entry("W3", "ours", (1_000,), (1_000,), warm_up=20, cpus=SLOTS),
    Entry("W3", "raw_fixed", (1_000,), (1_000,), warm_up=20, cpus=SLOTS),
    Entry("W3", "ray_data_scaled", (), (1_000,), warm_up=20, cpus=SLOTS),
    Entry("W3s", "ours", (500,), (500,), warm_up=20, cpus=SLOTS),
    Entry("W3s", "raw_fixed", (500,), (500,), warm_up=20, cpus=SLOTS),
    Entry("W3s", "ray_data_scaled", (), (500,), warm_up=20, cpus=SLOTS),
    Entry("W4", "ours", (1, 20_000), (1, 500_000)),
    Entry("W4", "ours_fused", (), (1, 50_000)),
    Entry("W4", "raw", (), (1, 20_000)),
    Entry("W4", "raw32", (1, 50_000), (1, 100_000)),
    Entry("W4", "raw32_refilled", (1, 10_000), (1, 20_000)),
    Entry("W4", "ray_data", (), (1, 5_000)),
    Entry("W4", "plain", (), (50_000,), rounds=1),
    Entry("W5", "ours", (1,), (1,), warm_up=1, repeat=5),
    Entry("W5", "ours_fused", (), (1,), warm_up=1, repeat=5),
    Entry("W5", "raw", (1,), (1,), warm_up=1, repeat=5),
    Entry("W5", "ray_data", (), (1,), warm_up=1, repeat=3, rounds=1),
    Entry("M", "ours", (50_000,), (100_000,), warm_up=1_000),
    Entry("M", "ours", (500_000,), (1_000_000,), warm_up=1_000),
    Entry(
        "S",
        "ours",
        (500,),
        (2_500,),
        warm_up=4,
        quick_store=256 * MB,
        full_store=GB,
        rounds=1,
    ),
)
# The long call's length, s.
IDLE_S = {"quick": 20.0, "full": 60.0}


@dataclass(frozen=True)
class Planned:
    """An assignment with the node and the time that it gets."""

    assignment: Assignment
    store_bytes: int
    timeout_s: float
    cpus: int = LOGICAL_CPUS

    @property
    def node(self) -> tuple[int, int]:
        """Capacity of the object store, and logical cores."""
        return self.store_bytes, self.cpus


def planned(mode: str, only: frozenset[str] = frozenset()) -> list[Planned]:
    """What a run in this mode does, in order.

    Args:
        mode: `quick` or `full`.
        only: names of workloads; all if empty.
    """
    quick = mode == "quick"
    found = []
    for turn in range(max(entry.rounds for entry in PLAN)):
        for entry in PLAN:
            sizes = entry.quick if quick else entry.full
            if not sizes or (only and entry.workload not in only):
                continue
            if turn >= (1 if quick else entry.rounds):
                continue
            assignment = Assignment(
                entry.workload, entry.contestant, sizes, entry.warm_up, entry.repeat
            )
            store = entry.quick_store if quick else entry.full_store
            found.append(Planned(assignment, store, entry.timeout_s, entry.cpus))
    if not only or "I" in only:
        idle = Assignment("I", "ours", (1,), 0, idle_s=IDLE_S[mode])
        found.append(Planned(idle, MAIN_STORE, IDLE_S[mode] + 120))
    return sorted(found, key=_turn)


def _turn(plan: Planned) -> tuple[int, int, bool, int]:
    """Nodes one after the other; workload by workload; contestants in turn, round by round.

    Ray Data goes last on a node: it leaves detached actors there, which would disturb the rest.
    """
    work = [*WORKLOADS, "I"].index(plan.assignment.workload)
    is_ray_data = plan.assignment.contestant.startswith("ray_data")
    return -plan.store_bytes, plan.cpus, is_ray_data, work
