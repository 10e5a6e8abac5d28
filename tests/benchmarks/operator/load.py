"""Which pipelines a benchmark makes, and how the jobs of each go: pure.

Used by `run`, which applies them, and by `stand_in`, which knows the kind of each by its name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tests.cluster.ray_jobs import Script

Kind = Literal["run", "ended", "held", "waiting", "late"]
# Kinds for which the operator makes a RayCluster.
WITH_CLUSTER: frozenset[Kind] = frozenset({"run", "ended", "waiting", "late"})
STAGES = ("read", "clean", "embed", "dedup", "write")
NAMESPACES = ("team-0", "team-1", "team-2", "team-3")
# Inputs of a run without an end, spread over an hour: 10 to 40 a second, so that the counts of no
# two snapshots are alike and every poll has something to show.
INPUTS_AN_HOUR = 36_000
RATES = 4
# How long the short jobs work.
SHORT_S = 10.0


@dataclass(frozen=True)
class Pipeline:
    """One pipeline of the load.

    Attributes:
        kind: `run`: works as long as the benchmark lasts; `ended`: works for a moment and has
            succeeded since; `held`: `suspend: true` from the start; `waiting`: no node has room
            for its head; `late`: as `ended`, applied when all others are there.
    """

    namespace: str
    name: str
    kind: Kind

    @property
    def key(self) -> str:
        """`NAMESPACE/NAME`."""
        return f"{self.namespace}/{self.name}"

    def manifest(self) -> dict[str, Any]:
        """What is applied."""
        stages = [
            {
                "name": name,
                "class": f"my_team.stages.{name.title()}",
                "args": {"paths": [f"/data/{self.name}/*.jsonl.gz"]},
                "resources": {"cpus": 1},
                "batchSize": 32,
            }
            for name in STAGES
        ]
        group = {
            "name": "cpu",
            "minReplicas": 1,
            "maxReplicas": 1,
            "resources": {"cpus": 8, "memory": "32Gi"},
        }
        return {
            "apiVersion": "curator.dev/v1alpha1",
            "kind": "CuratorPipeline",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "image": "curator/executor:0.1.0",
                "stages": stages,
                "cluster": {
                    "head": {"resources": {"cpus": 1, "memory": "2Gi"}},
                    "workerGroups": [group],
                },
                "suspend": self.kind == "held",
            },
        }


def kind_of(name: str) -> Kind:
    """The kind of a pipeline, from its name."""
    begins = name.partition("-")[0]
    for kind in get_args(Kind):
        if begins == kind:
            found: Kind = kind
            return found
    raise ValueError(f"wanted a name that begins with one of {get_args(Kind)}, got {name!r}")


def script_of(name: str) -> Script:
    """How the job of a pipeline goes."""
    number = int(name.rpartition("-")[2])
    if kind_of(name) == "run":
        return Script(inputs=INPUTS_AN_HOUR * (1 + number % RATES), stages=STAGES)
    return Script(running_s=SHORT_S, stages=STAGES)


def load(pipelines: int, running: int) -> list[Pipeline]:
    """The pipelines, in the order in which they are applied.

    Of those that do not run a third each has ended, is held and waits for a node.
    """
    rest = pipelines - running
    counts: dict[Kind, int] = {"run": running, "ended": rest - 2 * (rest // 3)}
    counts |= {"held": rest // 3, "waiting": rest // 3}
    made = [_one(kind, number) for kind, count in counts.items() for number in range(count)]
    random.Random(1).shuffle(made)
    return made


def late(count: int) -> list[Pipeline]:
    """The pipelines that are applied when all others are there."""
    return [_one("late", number) for number in range(count)]


def _one(kind: Kind, number: int) -> Pipeline:
    return Pipeline(NAMESPACES[number % len(NAMESPACES)], f"{kind}-{number:04}", kind)
