"""One local Ray for all tests here, and a check after each test that nothing was left behind."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray

from tests.integration.marks import Marks

CPUS = 8
# Ray gives its own start 30 s, which cannot be changed; a machine that also builds needs more.
STARTS = 3
# A busy machine takes its time to end processes; what is still there then was left behind.
GONE_WITHIN_S = 60.0


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Ray with `CPUS` cores; tests take fewer of them with `cpu_allocation_percentage`."""
    for attempt in range(STARTS):
        try:
            ray.init(
                num_cpus=CPUS,
                include_dashboard=False,
                logging_level=logging.WARNING,
                log_to_driver=False,
            )
            break
        except Exception:
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise
    yield
    ray.shutdown()


@pytest.fixture
def node_id(local_ray: None) -> str:
    """Id of the only node."""
    return str(ray.get_runtime_context().get_node_id())


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Files by which stages and tests tell each other what happened."""
    directory = tmp_path / "marks"
    directory.mkdir()
    return Marks(str(directory))


@pytest.fixture
def on_ray(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray, and afterwards: no actor, process, placement group, thread or scratch directory of ours
    is left, and all resources are free again.
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    threads = our_threads()
    yield
    left: dict[str, Callable[[], object]] = {
        "live actors": live_actors,
        "worker processes": lambda: stage_worker_processes(raylet_pid()),
        "placement groups": live_placement_groups,
        "cores taken": lambda: CPUS - ray.available_resources().get("CPU", 0.0),
        "threads": lambda: our_threads() - threads,
        "scratch directories": lambda: list(scratch.glob("curator-run-*")),
    }
    for what, find in left.items():
        assert not settled(find), f"left behind: {what}: {find()}"


def settled(find: Callable[[], object], within_s: float = GONE_WITHIN_S) -> object:
    """What `find` gives when it gives nothing, or at the end of the time."""
    deadline = time.monotonic() + within_s
    found = find()
    while found and time.monotonic() < deadline:
        time.sleep(0.05)
        found = find()
    return found


def our_threads() -> set[threading.Thread]:
    """Threads that Python code started; Ray's own ones show up as dummies when they log."""
    return {t for t in threading.enumerate() if not isinstance(t, threading._DummyThread)}


def live_actors() -> list[str]:
    """Actors that are not dead; asks the control store, so it needs no dashboard."""
    actors = ray._private.state.actors()
    return [key for key, actor in actors.items() if actor["State"] != "DEAD"]


def live_placement_groups() -> list[str]:
    """Placement groups that are not removed."""
    groups = ray.util.placement_group_table()
    return [key for key, group in groups.items() if group["state"] != "REMOVED"]


def raylet_pid() -> int:
    """Process of the local node's daemon, the parent of its workers."""
    node = ray._private.worker._global_node
    assert node is not None
    return int(node.all_processes["raylet"][0].process.pid)


def stage_worker_processes(parent: int) -> list[str]:
    """Worker processes of ours under a node's daemon."""
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if "StageWorker" in title:
            found.append(title)
    return found
