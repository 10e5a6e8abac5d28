"""Story: a release is tested with Helm, upgraded while a pipeline runs, and taken away."""

from __future__ import annotations

import json

import pytest

from tests.cluster.chart.helm import RELEASE
from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.system import System
from tests.e2e.team import Team


@pytest.mark.long
def test_a_release_is_upgraded_under_a_pipeline_and_goes_without_stranding_it(
    alone: None, team: Team, system: System
) -> None:
    assert "Phase:          Succeeded" in system.helm("test", RELEASE)
    team.apply(pipeline("stays", numbers(300, 2, 0.5), image=team.image))
    team.wait_for_phase("stays", "Running")
    operator = system.operator_pod()

    system.install({"podLabels": {"upgraded": "yes"}})

    assert system.operator_pod() != operator
    before = team.status("stays")["progress"]["inputsDone"]
    status = team.wait(
        "stays", lambda seen: seen["progress"]["inputsDone"] > before, "progress after the upgrade"
    )
    assert status["attempt"] == 1

    try:
        system.helm("uninstall", RELEASE, "--wait", "--timeout=2m")

        assert "finalizers" not in team.get("stays")["metadata"]
        assert team.pods("stays"), "its cluster goes on"
        team.kubectl("delete", "cpl", "stays", "--timeout=60s")
    finally:
        system.install()
    assert json.loads(system.kubectl("get", "secret", "curator-token-key", "-o", "json"))["data"]
