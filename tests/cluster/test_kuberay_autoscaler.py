"""What Ray's own autoscaler reads in our RayClusters, a group without a pod included.

It plans pods by what is written in the RayCluster alone: a GPU that it does not see there is never
asked for.
"""

from __future__ import annotations

from typing import Any

import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from tests.unit.operator.desired.scenarios import GPU_GROUPS, cluster_of, spec_of

GIB = 1024**3


def node_types() -> dict[str, Any]:
    """Kinds of nodes of the scenario with GPUs, its groups scaling from zero."""
    spec = yaml.safe_load(GPU_GROUPS)
    for group in spec["cluster"]["workerGroups"]:
        group |= {"minReplicas": 0, "maxReplicas": 3}
    made = cluster_of(spec_of(yaml.safe_dump(spec)))
    found: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(made)
    kinds: dict[str, Any] = found["available_node_types"]
    return kinds


def test_autoscaler_sees_what_each_group_offers() -> None:
    offers = {name: kind["resources"] for name, kind in node_types().items()}
    assert offers["h100"] == {
        "CPU": 8,
        "GPU": 2,
        "memory": 32 * GIB,
        "accelerator_type:H100": 1,
    }
    assert offers["shared"] == {"CPU": 4, "GPU": 4, "memory": 16 * GIB}
    assert offers["cpu"] == {"CPU": 1, "GPU": 0, "memory": 1_500_000_000}


def test_autoscaler_sees_a_head_without_room_for_stages() -> None:
    head = node_types()["headgroup"]
    assert (head["resources"]["CPU"], head["resources"]["GPU"]) == (0, 0)
    assert head["max_workers"] == 0


def test_autoscaler_sees_labels_by_which_stages_are_placed() -> None:
    labels = {name: kind["labels"] for name, kind in node_types().items()}
    assert labels["h100"] == {
        "curator.dev/worker-group": "h100",
        "ray.io/node-group": "h100",
        "ray.io/accelerator-type": "H100",
    }
    assert labels["cpu"] == {"curator.dev/worker-group": "cpu", "ray.io/node-group": "cpu"}


def test_autoscaler_keeps_to_the_ranges() -> None:
    ranges = {
        name: (kind["min_workers"], kind["max_workers"])
        for name, kind in node_types().items()
        if name != "headgroup"
    }
    assert ranges == {"cpu": (0, 3), "h100": (0, 3), "shared": (0, 3)}
