"""The cluster with our chart on it, and a namespace for each story.

`make e2e` brings the cluster up and takes it away; after `make kind-up` the stories run on the one
that is there: `.venv/bin/python -m pytest tests/e2e/test_quickstart.py`.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.kind import cluster
from tests.cluster.kind.cluster import Kind
from tests.e2e.system import System
from tests.e2e.team import Team

KEPT = binaries.ROOT / "out" / "e2e"
STORY_ENDS_WITHIN_S = 480
NAME_LENGTH = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A story that hangs must not take the others with it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(STORY_ENDS_WITHIN_S))


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
    """The chart, installed with its own values but for the images."""
    installed = System(kind, tmp_path_factory.mktemp("helm"))
    installed.install()
    return installed


@pytest.fixture
def another_team(system: System, request: pytest.FixtureRequest) -> Iterator[Callable[[], Team]]:
    """Makes namespaces of the story's own; what was in them is kept if the story fails."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test-")
    made: list[Team] = []

    def make() -> Team:
        name = f"{readable[:NAME_LENGTH].strip('-')}-{uuid.uuid4().hex[:4]}"
        made.append(Team(system.kind, name))
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
