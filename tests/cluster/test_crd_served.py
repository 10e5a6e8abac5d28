"""The CRD as the API server serves it: accepted as it is, shown as a table, parsed by us."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from curator_api import parse_resource
from curator_api.errors import ManifestError
from curator_api.generate import DEFAULT_FILE
from curator_api.load import parse_manifest
from curator_api.v1alpha1 import PipelineStatus
from curator_api.v1alpha1.status import StatusBottleneck, StatusProgress
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd_examples import large_pipeline
from tests.cluster.curator_resources import CuratorResources, as_sent
from tests.unit.curator_api.bad_rows import BAD
from tests.unit.curator_api.good_rows import GOOD
from tests.unit.curator_api.manifests import STAGE, spec

NAME = "curatorpipelines.curator.dev"


@pytest.fixture
def pipelines(control_plane: ControlPlane, curator_crd: None, namespace: str) -> CuratorResources:
    return CuratorResources(control_plane, namespace)


def test_the_definition_is_structural_and_established(
    control_plane: ControlPlane, curator_crd: None
) -> None:
    seen = json.loads(control_plane.kubectl("get", "crd", NAME, "-o", "json"))

    conditions = {one["type"]: one["status"] for one in seen["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("arguments", [(), ("--server-side", "--force-conflicts")])
def test_the_definition_is_applied_without_a_warning(
    arguments: tuple[str, ...], control_plane: ControlPlane, curator_crd: None
) -> None:
    """Also under the size that `kubectl apply` can write into its annotation."""
    ran = control_plane.try_kubectl("apply", *arguments, "--dry-run=server", "-f", DEFAULT_FILE)

    warnings = [
        line for line in ran.stderr.splitlines() if "last-applied-configuration" not in line
    ]
    assert (ran.returncode, warnings) == (0, [])


def test_a_table_shows_how_far_a_pipeline_is(
    control_plane: ControlPlane, pipelines: CuratorResources, namespace: str
) -> None:
    made = pipelines.create(as_sent(spec(STAGE)))
    status = PipelineStatus(
        phase="Running",
        attempt=1,
        message="busy",
        held_up_by="embed",
        progress=StatusProgress(
            inputs_done=812,
            inputs_total=2000,
            percent=40,
            inputs_per_second="13.1",
            remaining="1m30s",
            bottleneck=StatusBottleneck(stage="embed", reason="busy 98 %"),
        ),
    )
    made["status"] = status.model_dump(by_alias=True, exclude_none=True)
    pipelines.replace_status(made)

    table = control_plane.kubectl("get", "cpl", "-n", namespace)
    wide = control_plane.kubectl("get", "curator", "-n", namespace, "-o", "wide")

    head, line = table.splitlines()
    assert head.split() == ["NAME", "PHASE", "PROGRESS", "RATE", "BOTTLENECK", "ETA", "AGE"]
    assert line.split()[:7] == [
        "clean-web",
        "Running",
        "812/2000",
        "(40%)",
        "13.1",
        "embed",
        "1m30s",
    ]
    assert wide.splitlines()[0].split()[-2:] == ["ATTEMPT", "MESSAGE"]
    assert wide.split()[-2:] == ["1", "busy"]


def test_kubectl_explains_a_field_in_the_models_words(
    control_plane: ControlPlane, curator_crd: None
) -> None:
    said = control_plane.kubectl("explain", "cpl.spec.stages.batchSize")

    assert "Tasks in one call of the stage." in said


INVENTED: list[dict[str, Any]] = [
    {"spec": {"invented": 1}},
    {"spec": {"stages": [{"name": "read", "class": "m.A", "invented": {"a": 1}}]}},
    {"spec": {"execution": {"invented": True}}},
    {"spec": {"stages": None, "builder": {"callable": "m.build", "invented": 1}}},
    {"invented": 1},
    {"metadata": {"name": "clean-web", "invented": 1}},
]


@pytest.mark.parametrize("more", INVENTED)
def test_what_validation_let_pass_is_pruned_and_parsed(
    more: dict[str, Any], pipelines: CuratorResources
) -> None:
    """With field validation off; the unknown field is gone when the operator sees the resource."""
    sent = as_sent(spec(STAGE))
    sent = {**sent, **more, "spec": {**sent["spec"], **more.get("spec", {})}}

    seen = pipelines.create(sent, validation="Ignore", dry_run="All")

    parse_resource(seen)
    assert "invented" not in json.dumps(
        {**seen, "metadata": {**seen["metadata"], "managedFields": []}}
    )


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_a_bad_manifest_is_parsed_or_refused_whatever_the_api_server_makes_of_it(
    row: tuple[str, str, str, str], control_plane: ControlPlane, curator_crd: None
) -> None:
    """With field validation off the operator gets some of these, and never falls over them."""
    resources = CuratorResources(control_plane)
    try:
        seen = resources.create(as_sent(row[1]), validation="Ignore", dry_run="All")
    except (ApiException, ValueError, AttributeError, TypeError):
        return  # nobody gets to see it
    with contextlib.suppress(ManifestError):
        parse_resource(seen)


def test_what_only_the_models_refuse_reaches_the_operator_with_its_path(
    pipelines: CuratorResources,
) -> None:
    sent = as_sent(spec("stages: [{name: a, class: m.A, args: {k: {fromEnv: A, default: b}}}]"))

    seen = pipelines.create(sent, dry_run="All")

    with pytest.raises(ManifestError) as raised:
        parse_resource(seen)
    assert [problem.path for problem in raised.value.problems] == ["spec.stages[0].args.k"]


def test_nulls_inside_free_form_values_are_kept(pipelines: CuratorResources) -> None:
    text = spec("stages: [{name: a, class: m.A, args: {a: ~, b: [~, {c: ~}]}}]")

    seen = pipelines.create(as_sent(text), dry_run="All")

    assert parse_resource(seen).spec == parse_manifest(text).spec


def test_a_large_pipeline_is_judged_within_the_price_of_its_rules(
    pipelines: CuratorResources,
) -> None:
    """As many stages, parts and worker groups as may be, with long names: the rules run to their
    end, and the API server has a limit on that."""
    sent = large_pipeline()
    beyond = json.loads(json.dumps(sent))
    beyond["spec"]["stages"][-1]["parts"]["p14"]["resources"]["memory"] = "33Gi"

    assert pipelines.refusal(sent) == ""
    assert "needs more per worker than any worker group" in pipelines.refusal(beyond)


def test_every_good_manifest_is_served_again_as_it_is(pipelines: CuratorResources) -> None:
    """Created for good, not tried: what etcd gives back is the manifest."""
    made = pipelines.create(as_sent(GOOD["every field"]))

    assert parse_resource(made).spec == parse_manifest(GOOD["every field"]).spec
