"""What the operator's client and performers take for granted, asked of a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster import client as kube
from curator_operator.cluster.apply import Applier, Conflict, Place, Tools
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import (
    CONFIG_MAPS,
    PIPELINES,
    RAYCLUSTERS,
    ApiRefused,
    ApiUnreachable,
    KubeApi,
)
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.faults import Faults
from curator_operator.cluster.http import Heads
from curator_operator.cluster.jobs import Jobs
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.cluster.targets import Targets
from curator_operator.metrics import Metrics
from curator_operator.reconcile.actions import AddFinalizer, EmitEvent, RemoveFinalizer
from curator_operator.settings import OperatorSettings
from tests.cluster.conftest import TOKEN_KEY
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_port
from tests.cluster.test_operator_process import PIPELINE

T = TypeVar("T")
STATUS = PipelineStatus(phase="Pending", message="said by a test")


class World:
    """An applier on the real API server, and one pipeline in the cache."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self.api = api
        self.cache = Cache()
        settings = OperatorSettings(token_key=TOKEN_KEY)
        heads = Heads(1.0)
        targets = Targets(api, settings)
        tools = Tools(api, self.cache, Jobs(heads), Driver(heads), targets, settings)
        self.applier = Applier(tools, Metrics(), Faults())
        self.key = PipelineKey(namespace, "clean")

    async def load(self) -> Place:
        """The pipeline as it is now, in the cache."""
        self.cache.put_pipeline(await self.api.get(PIPELINES, *self.key))
        return Place(self.key, self.cache.entry(self.key))


@pytest.fixture
def ask(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[KubeApi], Awaitable[Any]]], Any]:
    """Runs something that is given our client."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))

    def run(what: Callable[[KubeApi], Awaitable[T]]) -> T:
        async def whole() -> T:
            api = await KubeApi.connect(Metrics(), timeout_s=10.0)
            try:
                return await what(api)
            finally:
                await api.close()

        return asyncio.run(whole())

    return run


@pytest.fixture
def made(control_plane: ControlPlane, curator_crd: None, namespace: str) -> str:
    """The namespace, with a pipeline in it."""
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(PIPELINE))
    return namespace


def test_a_status_over_what_was_seen_is_written(ask: Any, made: str) -> None:
    async def what(api: KubeApi) -> None:
        world = World(api, made)
        place = await world.load()
        await world.applier.write_status(place, place.pipeline, STATUS)
        assert place.pipeline.status == STATUS
        stored = await api.get(PIPELINES, *world.key)
        assert stored["metadata"]["resourceVersion"] == place.pipeline.resource_version

    ask(what)


def test_a_status_over_what_has_changed_is_a_conflict_and_changes_nothing(
    ask: Any, made: str
) -> None:
    async def what(api: KubeApi) -> None:
        world = World(api, made)
        place = await world.load()
        edit = {"spec": {"ttlSecondsAfterFinished": 5}}
        await api.merge_patch(PIPELINES, *world.key, edit)
        with pytest.raises(Conflict):
            await world.applier.write_status(place, place.pipeline, STATUS)
        assert place.pipeline.spec["ttlSecondsAfterFinished"] == 5
        assert "status" not in await api.get(PIPELINES, *world.key)

    ask(what)


def test_a_status_that_the_schema_refuses_is_no_conflict(ask: Any, made: str) -> None:
    async def what(api: KubeApi) -> None:
        world = World(api, made)
        place = await world.load()
        bad = STATUS.model_copy(update={"attempt": 0})
        with pytest.raises(ApiRefused) as raised:
            await world.applier.write_status(place, place.pipeline, bad)
        assert raised.value.code == 422

    ask(what)


def test_a_finalizer_over_what_has_changed_is_a_conflict(ask: Any, made: str) -> None:
    async def what(api: KubeApi) -> None:
        world = World(api, made)
        place = await world.load()
        await api.merge_patch(PIPELINES, *world.key, {"metadata": {"finalizers": ["test.dev/own"]}})
        with pytest.raises(Conflict):
            await world.applier.do(place, AddFinalizer("r"))
        await world.applier.do(place, AddFinalizer("r"))
        await world.applier.do(place, RemoveFinalizer("r"))
        assert place.pipeline.finalizers == ("test.dev/own",)
        await api.merge_patch(PIPELINES, *world.key, {"metadata": {"finalizers": []}})

    ask(what)


def test_an_event_is_posted_once_by_two_processes(
    ask: Any, made: str, control_plane: ControlPlane
) -> None:
    event = EmitEvent("Normal", "Began", "it began", "began/1")

    async def what(api: KubeApi) -> None:
        for _ in range(2):
            world = World(api, made)
            await world.applier.do(await world.load(), event)

    ask(what)
    text = control_plane.kubectl("events", "-n", made, "--for", "CuratorPipeline/clean")
    assert text.count("it began") == 1


def test_deleting_another_object_of_that_name_is_a_conflict(ask: Any, namespace: str) -> None:
    async def what(api: KubeApi) -> None:
        await api.create(CONFIG_MAPS, namespace, {"metadata": {"name": "x"}})
        with pytest.raises(ApiRefused) as raised:
            await api.delete(CONFIG_MAPS, namespace, "x", uid="of-another")
        assert raised.value.conflict

    ask(what)


def test_a_field_that_the_api_server_does_not_know_is_refused_and_named(
    ask: Any, namespace: str
) -> None:
    async def what(api: KubeApi) -> None:
        with pytest.raises(ApiRefused, match="dataa"):
            await api.create(CONFIG_MAPS, namespace, {"metadata": {"name": "x"}, "dataa": {}})

    ask(what)


def test_what_exists_is_told_from_a_conflict(ask: Any, namespace: str) -> None:
    async def what(api: KubeApi) -> None:
        await api.create(CONFIG_MAPS, namespace, {"metadata": {"name": "x"}})
        with pytest.raises(ApiRefused) as raised:
            await api.create(CONFIG_MAPS, namespace, {"metadata": {"name": "x"}})
        assert raised.value.already_exists

    ask(what)


def test_a_list_is_read_to_its_end(
    ask: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "PAGE", 2)

    async def what(api: KubeApi) -> None:
        for number in range(5):
            body = {"metadata": {"name": f"m{number}", "labels": {"listed": "yes"}}}
            await api.create(CONFIG_MAPS, namespace, body)
        pages = [page async for page in api.list_pages(CONFIG_MAPS, namespace, "listed=yes")]
        assert [len(page["items"]) for page in pages] == [2, 2, 1]
        assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1

    ask(what)


def test_kinds_are_known_or_not(ask: Any, kuberay_crds: None) -> None:
    async def what(api: KubeApi) -> None:
        assert await api.knows(RAYCLUSTERS)
        assert not await api.knows(("ray.io/v1", "raycastles"))
        assert not await api.knows(("castles.dev/v1", "castles"))

    ask(what)


def test_an_api_server_that_is_not_there_is_unreachable(ask: Any, namespace: str) -> None:
    async def what(api: KubeApi) -> None:
        api._client.configuration.host = f"https://127.0.0.1:{free_port()}"
        with pytest.raises(ApiUnreachable, match=r"no answer from https://127\.0\.0\.1"):
            await api.get(CONFIG_MAPS, namespace, "x")

    ask(what)
