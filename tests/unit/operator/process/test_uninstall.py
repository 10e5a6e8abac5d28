"""What goes before the operator does: its process first, then its finalizer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from curator_operator.cluster.client import ApiRefused
from curator_operator.desired.labels import FINALIZER
from curator_operator.uninstall import Installed, StillRunning, release_pipelines, stop_operator
from tests.unit.operator.cluster.fakes import PIPELINE_PATH, ScriptedApi, refused

INSTALLED = Installed("curator", "system", "app=curator")
SCALE = ("PATCH", "/apis/apps/v1/namespaces/system/deployments/curator/scale")
PODS = ("GET", "/api/v1/namespaces/system/pods")
EVERYWHERE = ("GET", "/apis/curator.dev/v1alpha1/curatorpipelines")
PATCH = ("PATCH", PIPELINE_PATH)


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {}, "items": list(items)}


def pipeline(*finalizers: str, version: str = "7") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team-a",
            "name": "clean",
            "resourceVersion": version,
            "finalizers": list(finalizers),
        }
    }


POD = {"metadata": {"name": "curator-1"}}


def test_operator_is_scaled_to_nothing_before_its_pods_are_looked_for() -> None:
    api = ScriptedApi({SCALE: {}, PODS: listed()})
    asyncio.run(stop_operator(api, INSTALLED, 1))
    assert api.asked_for() == [SCALE, PODS]
    assert api.asked[0][2] == [{"op": "add", "path": "/spec/replicas", "value": 0}]


def test_pods_that_stay_are_named() -> None:
    api = ScriptedApi({SCALE: {}, PODS: listed(POD)})
    with pytest.raises(StillRunning, match="curator-1 in namespace system"):
        asyncio.run(stop_operator(api, INSTALLED, 0))


def test_deployment_that_is_gone_is_as_good() -> None:
    asyncio.run(stop_operator(ScriptedApi({PODS: listed()}), INSTALLED, 1))


def test_refusal_to_scale_is_told() -> None:
    api = ScriptedApi({SCALE: refused(403, "Forbidden"), PODS: listed()})
    with pytest.raises(ApiRefused, match="403"):
        asyncio.run(stop_operator(api, INSTALLED, 1))


def test_only_our_finalizer_goes_and_only_from_that_version() -> None:
    api = ScriptedApi({EVERYWHERE: listed(pipeline("other/one", FINALIZER)), PATCH: {}})
    assert asyncio.run(release_pipelines(api, ())) == 1
    assert api.asked[-1][2] == {"metadata": {"resourceVersion": "7", "finalizers": ["other/one"]}}


def test_pipeline_without_our_finalizer_is_left_alone() -> None:
    api = ScriptedApi({EVERYWHERE: listed(pipeline("other/one"))})
    assert asyncio.run(release_pipelines(api, ())) == 0
    assert api.asked_for() == [EVERYWHERE]


def test_pipeline_that_changed_meanwhile_is_read_again() -> None:
    api = ScriptedApi(
        {
            EVERYWHERE: [listed(pipeline(FINALIZER)), listed(pipeline(FINALIZER, version="8"))],
            PATCH: [refused(409, "Conflict"), {}],
        }
    )
    assert asyncio.run(release_pipelines(api, ())) == 1
    assert api.asked[-1][2]["metadata"]["resourceVersion"] == "8"


def test_pipeline_that_changes_all_the_time_is_told() -> None:
    api = ScriptedApi(
        {EVERYWHERE: listed(pipeline(FINALIZER)), PATCH: refused(409, "Conflict", "changed")}
    )
    with pytest.raises(ApiRefused, match="changed"):
        asyncio.run(release_pipelines(api, ()))


def test_pipeline_that_went_meanwhile_is_as_good() -> None:
    api = ScriptedApi({EVERYWHERE: listed(pipeline(FINALIZER))})
    assert asyncio.run(release_pipelines(api, ())) == 0


def test_named_namespaces_alone_are_asked() -> None:
    api = ScriptedApi()
    assert asyncio.run(release_pipelines(api, ("team-a", "team-b"))) == 0
    paths = [path.split("/namespaces/")[1] for _, path in api.asked_for()]
    assert paths == ["team-a/curatorpipelines", "team-b/curatorpipelines"]
