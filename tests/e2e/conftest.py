"""The cluster with our chart on it, and a namespace for each story.

`make e2e` brings the cluster up and takes it away; after `make kind-up` the stories run on the one
that is there: `.venv/bin/python -m pytest tests/e2e/test_quickstart.py`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.cluster import binaries
from tests.cluster.kind import cluster
from tests.cluster.kind.cluster import Kind
from tests.cluster.kind.machine import state_directory
from tests.cluster.namespaces import name_for
from tests.e2e.system import System
from tests.e2e.team import Team

KEPT = binaries.ROOT / "out" / "e2e"
STORY_ENDS_WITHIN_S = 480


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A story that hangs must not take the others with it; waiting for others is no hanging."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(STORY_ENDS_WITHIN_S, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures see whether their test failed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def kind() -> Kind:
    """The cluster that is up."""
    found = cluster.current()
    assert found is not None, "no cluster is up: `make kind-up` first, or `make e2e` for all of it"
    return found


@pytest.fixture(scope="session")
def system(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> System:
    """The chart, installed with its own values but for the images; once for all processes."""
    one = System(kind, tmp_path_factory.mktemp("helm"))
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    with _locked("install", fcntl.LOCK_EX) as record:
        if record.read() != run:
            one.install()
            record.truncate(0)
            record.seek(0)
            record.write(run)
    return one


@contextmanager
def _locked(name: str, how: int) -> Iterator[IO[str]]:
    """Hold a lock against other processes; the file that is locked may be read and written."""
    with (state_directory() / f"{name}.lock").open("a+") as file:
        fcntl.flock(file, how)
        file.seek(0)
        yield file


@pytest.fixture
def together() -> Iterator[None]:
    """Other stories may run at the same time."""
    with _locked("stories", fcntl.LOCK_SH):
        yield


@pytest.fixture
def alone() -> Iterator[None]:
    """No other story runs meanwhile: for those that end or change the operator."""
    with _locked("stories", fcntl.LOCK_EX):
        yield


@pytest.fixture
def another_team(system: System, request: pytest.FixtureRequest) -> Iterator[Callable[[], Team]]:
    """Makes namespaces of the story's own; what was in them is kept if the story fails."""
    if "alone" not in request.fixturenames:
        request.getfixturevalue("together")
    made: list[Team] = []

    def make() -> Team:
        made.append(Team(system.kind, name_for(request.node.name)))
        return made[-1]

    yield make
    for one in made:
        if request.node.stash.get(_FAILED, False):
            one.keep(KEPT / one.name)
            system.keep(KEPT / one.name)
            print(f"what was there is kept in {KEPT / one.name}")
        if "CURATOR_E2E_LEAVE" not in os.environ:
            one.remove()


@pytest.fixture
def team(another_team: Callable[[], Team]) -> Team:
    """A namespace of the story's own."""
    return another_team()
