"""ConfigMap, Secret, token, and the hash that tells whether the work changed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from curator_operator.desired import (
    DesiredError,
    config_map,
    manifest_of,
    token,
    token_secret,
    with_token,
    work_hash,
)
from tests.unit.operator.desired.scenarios import (
    AUTOSCALED,
    GPU_GROUPS,
    MINIMAL,
    TEMPLATES,
    UID,
    pipeline,
    spec_of,
)

KEY = "0123456789abcdef0123456789abcdef"


def changed(text: str, path: str, value: Any) -> Any:
    """The spec with one field set, `a.0.b` being the way to it."""
    spec = yaml.safe_load(text)
    *way, last = path.split(".")
    inner = spec
    for part in way:
        inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    inner[last] = value
    return spec_of(yaml.safe_dump(spec))


def test_config_map_holds_the_manifest_and_stays_as_it_is() -> None:
    made = config_map(pipeline(), spec_of(MINIMAL), 1)
    assert made["metadata"]["name"] == "clean-web-4f1c9-1-pipeline"
    assert made["immutable"] is True
    assert made["data"] == {"pipeline.yaml": manifest_of(pipeline(), spec_of(MINIMAL))}


def test_secret_holds_no_token_until_it_is_made() -> None:
    made = token_secret(pipeline(), 1)
    assert made["metadata"]["name"] == "clean-web-4f1c9-1-token"
    assert {"data", "stringData"}.isdisjoint(made)
    assert with_token(made, "abc")["stringData"] == {"auth_token": "abc"}
    assert "stringData" not in made


def test_children_belong_to_the_pipeline_and_carry_its_labels() -> None:
    for made in (config_map(pipeline(), spec_of(MINIMAL), 2), token_secret(pipeline(), 2)):
        assert made["metadata"]["ownerReferences"][0]["uid"] == UID
        assert made["metadata"]["labels"]["curator.dev/attempt"] == "2"


def test_token_depends_on_key_pipeline_and_attempt() -> None:
    known = token(KEY, UID, 1)
    others = {token(KEY[::-1], UID, 1), token(KEY, UID[::-1], 1), token(KEY, UID, 2)}
    assert len(others) == 3
    assert known not in others


def test_token_is_the_same_after_a_restart() -> None:
    """Secrets may be made, not read: an operator that comes back has to know the token."""
    assert token(KEY, UID, 1) == (
        "3a3bda5d75880dbde567ac9907577aa99dc9de38b61309fca07db5421419952a"
    )


def test_what_the_operator_alone_heeds_does_not_travel() -> None:
    spec = spec_of(MINIMAL)
    later = spec.model_copy(
        update={
            "suspend": True,
            "ttl_seconds_after_finished": 5,
            "active_deadline_seconds": 60,
            "backoff_limit": 7,
        }
    )
    assert manifest_of(pipeline(), later) == manifest_of(pipeline(), spec)


def test_manifest_that_no_config_map_can_hold_is_refused() -> None:
    spec = changed(MINIMAL, "stages.0.args", {"paths": ["s3://bucket/file-" * 9] * 8000})
    with pytest.raises(DesiredError, match=r"spec: wanted .* at most 1,048,576 bytes, got"):
        config_map(pipeline(), spec, 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("suspend", True),
        ("ttlSecondsAfterFinished", 10),
        ("activeDeadlineSeconds", 10),
        ("backoffLimit", 9),
        ("cluster.workerGroups.0.minReplicas", 1),
        ("cluster.workerGroups.0.maxReplicas", 9),
        # Given or not: the API server fills in defaults.
        ("execution.mode", "streaming"),
        ("execution", {}),
        ("stages.0.args", {}),
        ("cluster.env", []),
        ("cluster.keepAfterFinish", False),
    ],
)
def test_hash_stays_when_the_work_is_the_same(path: str, value: Any) -> None:
    assert work_hash(changed(MINIMAL, path, value)) == work_hash(spec_of(MINIMAL))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image", "other:1"),
        ("runtimeEnv", {"pip": ["a"]}),
        ("stages.0.args", {"path": "b"}),
        ("stages.0.class", "my_team.stages.Other"),
        ("stages.0.resources", {"cpus": 2}),
        ("execution.mode", "batch"),
        ("execution.drainSeconds", 5),
        ("checkpoint.uri", "s3://bucket/a"),
        ("artifacts.uri", "s3://bucket/a"),
        ("cluster.rayVersion", "2.61.0"),
        ("cluster.head", {"resources": {"cpus": 1, "memory": "3Gi"}}),
        ("cluster.env", [{"name": "A", "value": "b"}]),
        ("cluster.podTemplate", {"spec": {"priorityClassName": "high"}}),
        ("cluster.workerGroups.0.resources.cpus", 5),
        ("cluster.workerGroups.0.name", "other"),
    ],
)
def test_hash_changes_with_the_work(path: str, value: Any) -> None:
    assert work_hash(changed(MINIMAL, path, value)) != work_hash(spec_of(MINIMAL))


def test_hash_sees_a_renamed_key_of_a_free_form_mapping() -> None:
    """The API server's own comparison of such mappings misses it."""
    before = work_hash(changed(MINIMAL, "stages.0.args", {"minLen": 1}))
    assert before != work_hash(changed(MINIMAL, "stages.0.args", {"maxLen": 1}))


def test_different_pipelines_have_different_hashes() -> None:
    texts = (MINIMAL, GPU_GROUPS, AUTOSCALED, TEMPLATES)
    assert len({work_hash(spec_of(text)) for text in texts}) == 4


def test_hash_is_the_same_in_every_version_of_the_operator() -> None:
    """A running attempt is told by it from one whose spec was changed."""
    assert work_hash(spec_of(TEMPLATES)) == "dcddba7dcde1c2b8"
