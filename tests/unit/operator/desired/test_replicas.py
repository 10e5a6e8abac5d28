"""Live changes of replica ranges."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

from curator_operator.desired import replica_patch
from tests.unit.operator.desired.scenarios import (
    AUTOSCALED,
    EXISTING,
    MINIMAL,
    cluster_of,
    spec_of,
)


def with_ranges(text: str, *ranges: tuple[int, int]) -> Any:
    spec = yaml.safe_load(text)
    for group, (low, high) in zip(spec["cluster"]["workerGroups"], ranges, strict=True):
        group |= {"minReplicas": low, "maxReplicas": high}
    return spec_of(yaml.safe_dump(spec))


def applied(body: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """What the API server makes of the operations; a test that does not hold is an error."""
    whole = {"spec": deepcopy(body)}
    for operation in operations:
        *way, last = operation["path"].removeprefix("/").split("/")
        inner: Any = whole
        for part in way:
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        if operation["op"] == "test":
            assert inner[last] == operation["value"]
        else:
            assert operation["op"] == "add"
            inner[last] = operation["value"]
    return whole["spec"]


def test_nothing_to_do_gives_no_operations() -> None:
    for text in (MINIMAL, AUTOSCALED):
        assert replica_patch(cluster_of(spec_of(text))["spec"], spec_of(text)) == []


def test_range_of_an_autoscaled_group_is_patched_and_its_replicas_are_not() -> None:
    seen = cluster_of(spec_of(AUTOSCALED))["spec"]
    seen["workerGroupSpecs"][1]["replicas"] = 5
    assert replica_patch(seen, with_ranges(AUTOSCALED, (1, 1), (2, 4))) == [
        {"op": "test", "path": "/spec/workerGroupSpecs/1/groupName", "value": "burst"},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/minReplicas", "value": 0},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/maxReplicas", "value": 8},
        {"op": "add", "path": "/spec/workerGroupSpecs/1/minReplicas", "value": 2},
        {"op": "add", "path": "/spec/workerGroupSpecs/1/maxReplicas", "value": 4},
    ]


def test_fixed_group_of_a_cluster_without_autoscaler_gets_its_pods() -> None:
    seen = cluster_of(spec_of(MINIMAL))["spec"]
    after = applied(seen, replica_patch(seen, with_ranges(MINIMAL, (5, 5))))
    group = after["workerGroupSpecs"][0]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (5, 5, 5)


def test_range_without_autoscaler_keeps_the_pods_that_are_within() -> None:
    seen = cluster_of(spec_of(MINIMAL))["spec"]
    after = applied(seen, replica_patch(seen, with_ranges(MINIMAL, (1, 6))))
    assert after["workerGroupSpecs"][0]["replicas"] == 2


def test_a_patch_is_all_there_is_to_do() -> None:
    seen = cluster_of(spec_of(AUTOSCALED))["spec"]
    wanted = with_ranges(AUTOSCALED, (3, 3), (1, 2))
    assert replica_patch(applied(seen, replica_patch(seen, wanted)), wanted) == []


def test_groups_are_found_by_name_wherever_they_stand() -> None:
    seen = cluster_of(spec_of(AUTOSCALED))["spec"]
    seen["workerGroupSpecs"].reverse()
    operations = replica_patch(seen, with_ranges(AUTOSCALED, (1, 1), (0, 9)))
    assert {operation["path"].split("/")[3] for operation in operations} == {"0"}


def test_group_that_the_cluster_lacks_waits_for_the_next_attempt() -> None:
    seen = cluster_of(spec_of(MINIMAL))["spec"]
    assert replica_patch(seen, spec_of(AUTOSCALED)) == []


def test_range_that_was_never_written_is_not_tested() -> None:
    seen = cluster_of(spec_of(AUTOSCALED))["spec"]
    del seen["workerGroupSpecs"][1]["minReplicas"]
    operations = replica_patch(seen, spec_of(AUTOSCALED))
    assert [operation["op"] for operation in operations] == ["test", "add"]


def test_existing_cluster_is_never_patched() -> None:
    seen = cluster_of(spec_of(MINIMAL))["spec"]
    assert replica_patch(seen, spec_of(EXISTING)) == []
