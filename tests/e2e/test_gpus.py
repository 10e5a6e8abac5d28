"""Story: two kinds of GPU, a stage for each, several workers to a device."""

from __future__ import annotations

from typing import Any

from tests.e2e.pipelines import DATA_FOLDER, gpu_group, pipeline, stage
from tests.e2e.team import Team

H100, L4 = "Fake-H100-80GB", "Fake-L4"
SHARDS = 24


def test_each_stage_runs_on_its_kind_of_gpu_and_shares_devices(team: Team) -> None:
    share = {"resources": {"cpus": 0.25, "gpus": 0.5}, "workers": {"count": 2}}
    seen = team.data / "seen"
    embed = {"seconds": 0.5, "note": "embed", "until": f"{DATA_FOLDER}/{seen.name}"}
    stages = [
        stage("shards", "Shards", {"count": SHARDS}),
        stage("embed", "Work", embed, workerGroups=["h100"], **share),
        stage("caption", "Work", {"seconds": 0.5, "note": "caption"}, workerGroups=["l4"], **share),
        stage("save", "Save", {"folder": f"{DATA_FOLDER}/out"}),
    ]
    groups = (gpu_group("h100", H100, 1), gpu_group("l4", L4, 1))
    team.apply(pipeline("gpus", stages, *groups, image=team.image))

    running = team.wait(
        "gpus",
        lambda status: _workers(status, "embed") == 2 and _workers(status, "caption") == 2,
        "two workers of each stage",
    )
    gpus = {name: _stage(running, name).get("gpus") for name in ("embed", "caption", "save")}
    assert gpus == {"embed": "1", "caption": "1", "save": None}
    assert _nodes_by_group(team) == {"h100": {H100}, "l4": {L4}}
    seen.touch()
    team.wait_for_phase("gpus", "Succeeded")

    saved = team.saved().values()
    assert len(saved) == SHARDS
    for name, product in (("embed", "h100"), ("caption", "l4")):
        places = [each[name] for each in saved]
        assert {place["labels"]["curator.dev/worker-group"] for place in places} == {product}
        # Both halves are halves of one device, and neither sees another.
        assert len({place["pid"] for place in places}) == 2
        assert {tuple(place["gpus"]) for place in places} == {(0,)}
        assert {place["visible"] for place in places} == {"0"}


def _stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((each for each in status.get("stages", []) if each["name"] == name), {})


def _workers(status: dict[str, Any], name: str) -> int:
    return int(_stage(status, name).get("workers", {}).get("ready", 0))


def _nodes_by_group(team: Team) -> dict[str, set[str]]:
    """Which kinds of node the pods of each worker group are on."""
    nodes = {each["metadata"]["name"]: each["metadata"]["labels"] for each in team.listed("nodes")}
    found: dict[str, set[str]] = {}
    for pod in team.pods("gpus"):
        group = pod["metadata"]["labels"].get("curator.dev/worker-group")
        if group:
            product = nodes[pod["spec"]["nodeName"]]["nvidia.com/gpu.product"]
            found.setdefault(group, set()).add(product)
    return found
