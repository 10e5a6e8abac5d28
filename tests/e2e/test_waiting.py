"""Stories of pipelines that cannot start: `kubectl` says why within 15 seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.pipelines import gpu_group, group, numbers, pipeline
from tests.e2e.team import Team

TOLD_WITHIN_S = 15.0
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "small"},
    "spec": {"hard": {"pods": "1"}},
}


@pytest.mark.parametrize(
    ("groups", "spec", "reason", "told"),
    [
        pytest.param(
            (gpu_group("h100", "Fake-H100-80GB", 16),),
            {},
            "Unschedulable",
            "Insufficient nvidia.com/gpu",
            id="too many GPUs",
        ),
        pytest.param(
            (group("b200", nodeSelector={"nvidia.com/gpu.product": "B200"}),),
            {},
            "Unschedulable",
            "didn't match Pod's node affinity/selector",
            id="no node has the label",
        ),
        pytest.param(
            (group("cpu"),),
            {"image": "registry.invalid/no-such-image:1"},
            "ImagePullFailed",
            "registry.invalid/no-such-image:1",
            id="missing image",
        ),
    ],
)
def test_what_it_waits_for_is_told(
    team: Team, groups: tuple[Any, ...], spec: dict[str, Any], reason: str, told: str
) -> None:
    wanted = {"image": team.image, **spec}
    team.apply(pipeline("waits", numbers(1, 1, 0.1), *groups, **wanted))

    _is_told(team, reason, told)


def test_a_quota_that_is_too_small_is_told(team: Team) -> None:
    team.kubectl("apply", "-f", "-", stdin=json.dumps(QUOTA))
    team.apply(pipeline("waits", numbers(1, 1, 0.1), image=team.image))

    _is_told(team, "QuotaExceeded", "exceeded quota: small")


def _is_told(team: Team, reason: str, told: str) -> None:
    def seen(_status: dict[str, Any]) -> bool:
        ready = team.condition("waits", "ClusterReady")
        return reason in ready.get("reason", "") and told in ready.get("message", "")

    team.wait("waits", seen, f"{reason}: {told}", TOLD_WITHIN_S)
    row = team.kubectl("get", "cpl", "waits", "--no-headers")
    assert reason in row, row
    assert told in team.kubectl("describe", "cpl", "waits")
