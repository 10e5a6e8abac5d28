"""A hundred lives of pipelines in a storm: each comes to its right end, and nothing is done twice.

Life, kills and faults are seeded by the number of the first life. `make test-storm SEEDS=1000` runs
more of them, a hundred at a time; `make test-storm FIRST=42 SEEDS=1` a single one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from curator_operator.reconcile.actions import ACTIONS
from tests.cluster import kuberay
from tests.cluster.conftest import CURATOR_CRD
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import OF_WRITES, Spoiled
from tests.cluster.namespaces import emptied, made
from tests.cluster.storm import Storm

FIRST = int(os.environ.get("STORM_FIRST", "1"))
SEEDS = int(os.environ.get("STORM_SEEDS", "100"))
AT_ONCE = 100
STORMS = [
    (first, min(AT_ONCE, FIRST + SEEDS - first)) for first in range(FIRST, FIRST + SEEDS, AT_ONCE)
]
# On two idle cores it takes about half of that.
WITHIN_S = 200.0
SHOWN_STORIES = 3


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server on which nobody else plays KubeRay."""
    with ControlPlane(tmp_path_factory.mktemp("storm")) as running:
        running.install_crds(CURATOR_CRD, *kuberay.crds(running.directory)[:1])
        yield running


def faults_of(storm: Storm) -> list[str]:
    """All that is wrong, by life."""
    wrongs = [f"{name}: {text}" for name, texts in storm.witness.wrongs.items() for text in texts]
    wrongs += [f"{name}: {text}" for name, text in storm.seen.unfinished.items()]
    for name, life in storm.lives.items():
        status = (storm.witness.now.get(name) or {}).get("status")
        if name in storm.seen.unfinished or not life.end.phase or not status:
            continue
        end = life.end
        finished = {one["type"]: one for one in status["conditions"]}["Finished"]
        got = (status.get("attempt"), status.get("retriesUsed"))
        wanted = (end.attempts, end.retries_used)
        if got != wanted:
            wrongs.append(f"{name}: wanted attempts and retries {wanted}, got {got}")
        if finished["reason"] not in end.reasons:
            wrongs.append(f"{name}: wanted {set(end.reasons)}, got {finished['reason']}")
        submitted = len(storm.witness.accepted[name])
        if end.submitted not in {None, submitted}:
            wrongs.append(f"{name}: wanted {end.submitted} jobs, got {submitted}")
    return wrongs + [f"{name.split('/')[1]}: {name} is left over" for name in storm.seen.left]


def told(storm: Storm, wrongs: list[str]) -> str:
    """What went wrong, how to see it again, and the first stories."""
    concerned = dict.fromkeys("-".join(text.split(":")[0].split("-")[:2]) for text in wrongs)
    stories = [
        f"{name} ({storm.lives[name].kind}):\n{storm.story(name)}"
        for name in list(concerned)[:SHOWN_STORIES]
        if name in storm.lives
    ]
    count = len(storm.lives)
    again = f"again: make test-storm FIRST={storm.first} SEEDS={count}"
    return "\n".join([*wrongs, again, *stories])


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("first", "count"), STORMS)
def test_every_life_in_a_storm_comes_to_its_end_and_nothing_is_done_twice(
    own_plane: ControlPlane, tmp_path: Path, first: int, count: int
) -> None:
    namespace = made(client.CoreV1Api(own_plane.api), f"storm-{first}")
    storm = Storm(own_plane.kubeconfig, namespace, tmp_path, first, count)
    asyncio.run(storm.blow(WITHIN_S))
    spoiled = {note.spoiled for note in storm.proxy.notes}
    # Shown with -s, and when it fails.
    print(
        f"storm {first}: {count} lives in {storm.seen.took_s:.0f} s, {storm.seen.kills} kills, "
        f"deaths at {dict(storm.seen.deaths)}, {len(storm.proxy.notes)} requests spoiled"
    )
    wrongs = faults_of(storm)
    assert not wrongs, told(storm, wrongs)
    emptied(own_plane.api, namespace)
    if count == AT_ONCE:
        done = {str(line.get("action", "")).split(" ")[0] for line in storm.log()}
        done |= (
            {"EmitEvent"} if any(one["event"] == "event posted" for one in storm.log()) else set()
        )
        assert done >= {action.__name__ for action in ACTIONS}
        assert spoiled >= {*OF_WRITES, Spoiled.WATCH_CUT}
        assert storm.seen.kills + storm.seen.deaths.total() >= 5
