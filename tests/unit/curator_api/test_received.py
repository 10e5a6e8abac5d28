"""What the operator reads of a resource, whoever wrote it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_api import parse_resource, parse_status
from curator_api.errors import ManifestError
from curator_api.load import parse_manifest
from curator_api.v1alpha1.status import (
    LONGEST_MESSAGE,
    MOST_FAILURES,
    Condition,
    PipelineStatus,
    StatusProgress,
)
from tests.unit.curator_api.manifests import STAGE, spec

SEEN: dict[str, Any] = {
    "apiVersion": "curator.dev/v1alpha1",
    "kind": "CuratorPipeline",
    "metadata": {
        "name": "clean-web",
        "namespace": "team-a",
        "uid": "4f1c9a20-0000",
        "resourceVersion": "812",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "invented": "by a later Kubernetes",
    },
    "spec": {"stages": [{"name": "read", "class": "my_team.stages.Read"}]},
    "status": {"phase": "Running", "attempt": 1},
}
WHOLE_STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "message": "12 of 20",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Valid",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "attempt": 1,
    "submissionId": "4f1c9a20-1",
    "rayCluster": "clean-web-4f1c9-1",
    "progress": {"inputsDone": 12, "inputsTotal": 20, "percent": 60, "summary": "12/20 (60%)"},
    "stages": [{"name": "read", "workers": {"ready": 1}, "done": 3}],
    "failures": [{"stage": "read", "message": "no", "count": 2}],
}


def test_a_resource_is_read_with_its_status_and_the_server_s_metadata() -> None:
    resource = parse_resource(SEEN)

    assert resource.spec == parse_manifest(spec(STAGE)).spec
    assert (resource.metadata.uid, resource.metadata.generation) == ("4f1c9a20-0000", 3)
    assert resource.status == PipelineStatus(phase="Running", attempt=1)


def test_an_item_of_a_list_has_no_kind_of_its_own() -> None:
    item = {name: SEEN[name] for name in ("metadata", "spec")}

    assert parse_resource(item).status is None


def test_views_of_a_framework_are_read_like_dicts() -> None:
    seen = MappingProxyType({**SEEN, "spec": MappingProxyType(SEEN["spec"])})

    assert parse_resource(seen) == parse_resource(SEEN)


def test_every_problem_is_said_with_its_path() -> None:
    stages = [{"name": "a", "class": "m.A", "batchSize": "5"}, {"class": "m.B", "invented": 1}]
    with pytest.raises(ManifestError) as raised:
        parse_resource({**SEEN, "spec": {"stages": stages}})

    assert [problem.path for problem in raised.value.problems] == [
        "spec.stages[0].batchSize",
        "spec.stages[1].name",
        "spec.stages[1].invented",
    ]
    assert all(problem.line is None for problem in raised.value.problems)


@pytest.mark.parametrize("obj", [{}, {"metadata": {}}, {"spec": None}, {"metadata": 5}, []])
def test_what_is_no_resource_is_refused_as_a_manifest_is(obj: Any) -> None:
    with pytest.raises(ManifestError):
        parse_resource(obj)


def test_a_status_survives_being_written_and_read() -> None:
    status = parse_status(WHOLE_STATUS)

    assert status.model_dump(by_alias=True, exclude_unset=True) == WHOLE_STATUS
    assert parse_status(status.model_dump(by_alias=True)) == status


def test_the_summary_says_what_is_known() -> None:
    assert StatusProgress(inputs_done=5).summary == "5"
    assert StatusProgress(inputs_done=5, inputs_total=20).summary == "5/20"
    assert StatusProgress(inputs_done=5, inputs_total=20, percent=25).summary == "5/20 (25%)"


@pytest.mark.parametrize("obj", [None, {}, [], "", 5, {"phase": None}, {5: 6}])
def test_no_status_is_an_empty_one(obj: Any) -> None:
    assert parse_status(obj) == PipelineStatus()


def test_a_later_operator_s_fields_are_left_out_and_the_others_kept() -> None:
    later = {**WHOLE_STATUS, "invented": 1, "progress": {"inputsDone": 12, "invented": {}}}

    status = parse_status(later)

    assert status.submission_id == "4f1c9a20-1"
    assert status.progress == StatusProgress(inputs_done=12)


def test_an_unknown_phase_or_condition_is_left_out_and_the_others_kept() -> None:
    good = WHOLE_STATUS["conditions"][0]
    odd = {**WHOLE_STATUS, "phase": "Dreaming", "attempt": "1"}
    odd["conditions"] = [{**good, "type": "Invented"}, {"type": "Failed"}, *[5] * 8, good, 5]

    status = parse_status(odd)

    assert (status.phase, status.attempt, status.ray_cluster) == (None, None, "clean-web-4f1c9-1")
    assert status.conditions == [Condition.model_validate(good)]


def test_of_two_stages_of_one_name_the_first_is_kept() -> None:
    stages = [{"name": "a", "done": 1}, {"name": "b"}, {"name": "a"}, {"name": "b"}]

    kept = parse_status({"stages": stages}).stages

    assert [(stage.name, stage.done) for stage in kept] == [("a", 1), ("b", 0)]


def test_what_is_too_long_is_cut() -> None:
    failures = [{"stage": f"s{n}"} for n in range(MOST_FAILURES + 15)]

    status = parse_status({"message": "x" * 5000, "failures": failures})

    assert status.message == "x" * LONGEST_MESSAGE
    assert [failure.stage for failure in status.failures] == [f"s{n}" for n in range(MOST_FAILURES)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from([*WHOLE_STATUS, "retriesUsed", "invented"])


@given(st.dictionaries(FIELDS, JSON | st.sampled_from(list(WHOLE_STATUS.values()))))
def test_no_status_whatever_raises(obj: dict[str, Any]) -> None:
    assert isinstance(parse_status(obj), PipelineStatus)


@given(
    st.sampled_from(["conditions", "stages", "failures"]),
    st.lists(JSON | st.dictionaries(st.sampled_from(["name", "type", "stage", "workers"]), JSON)),
)
def test_no_list_in_a_status_whatever_raises(field: str, entries: list[Any]) -> None:
    status = parse_status({"attempt": 3, field: entries})

    assert status.attempt == 3
