"""The submission of an attempt, and the package of an existing cluster."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
import yaml

from curator_api.load import parse_manifest
from curator_operator.desired import DesiredError, driver_port, package, submission
from tests.unit.operator.desired.scenarios import (
    EXISTING,
    MINIMAL,
    TEMPLATES,
    UID,
    pipeline,
    spec_of,
)


def with_runtime_env(text: str, runtime_env: dict[str, Any]) -> Any:
    return spec_of(yaml.safe_dump(yaml.safe_load(text) | {"runtimeEnv": runtime_env}))


def test_entrypoint_is_fixed_text() -> None:
    for text in (MINIMAL, TEMPLATES):
        made = submission(pipeline(), spec_of(text), 1)
        assert made["entrypoint"] == (
            "python -m curator_executor run /etc/curator/pipeline.yaml --serve 0.0.0.0:8090"
        )


def test_submission_is_named_after_uid_and_attempt() -> None:
    made = submission(pipeline(), spec_of(MINIMAL), 2)
    assert made["submission_id"] == "4f1c9a20-2"


def test_metadata_says_whose_job_it_is_in_text() -> None:
    assert submission(pipeline(), spec_of(MINIMAL), 2)["metadata"] == {
        "curator.dev/namespace": "team-a",
        "curator.dev/pipeline": "clean-web",
        "curator.dev/attempt": "2",
    }


def test_driver_reserves_nothing_so_that_it_runs_on_the_head() -> None:
    assert submission(pipeline(), spec_of(MINIMAL), 1)["entrypoint_num_cpus"] == 0


def test_driver_has_the_runtime_environment_of_the_manifest() -> None:
    assert submission(pipeline(), spec_of(TEMPLATES), 1)["runtime_env"] == {
        "pip": ["langdetect==1.0.9"],
        "env_vars": {"MODE": "strict"},
    }


def test_without_one_the_driver_has_rays_own() -> None:
    assert submission(pipeline(), spec_of(MINIMAL), 1)["runtime_env"] == {}


def test_spec_is_not_changed_by_submitting() -> None:
    spec = spec_of(TEMPLATES)
    submission(pipeline(), spec, 1)
    assert spec == spec_of(TEMPLATES)


def test_existing_cluster_gets_the_manifest_as_a_package() -> None:
    spec = spec_of(EXISTING)
    made = submission(pipeline(), spec, 1)
    archive = package(pipeline(), spec)
    assert made["runtime_env"]["working_dir"] == f"gcs://{archive.name}"
    port = driver_port(UID, 1)
    assert made["entrypoint"] == (
        f"python -m curator_executor run pipeline.yaml --serve 0.0.0.0:{port}"
    )
    with zipfile.ZipFile(io.BytesIO(archive.data)) as inside:
        assert inside.namelist() == ["pipeline.yaml"]
        # No clock in it: the same manifest makes the same bytes.
        assert inside.getinfo("pipeline.yaml").date_time == (1980, 1, 1, 0, 0, 0)
        assert parse_manifest(inside.read("pipeline.yaml").decode()).spec == spec


def test_same_manifest_makes_the_same_package() -> None:
    spec = spec_of(EXISTING)
    assert package(pipeline(), spec) == package(pipeline(), spec)
    other = spec.model_copy(update={"image": "other:1"})
    assert package(pipeline(), spec).name != package(pipeline(), other).name


def test_package_is_named_as_ray_wants_it() -> None:
    name = package(pipeline(), spec_of(EXISTING)).name
    assert name.startswith("_ray_pkg_")
    assert name.endswith(".zip")


def test_each_attempt_tries_another_port_outside_of_rays_and_linux_own() -> None:
    ports = [driver_port(UID, attempt) for attempt in range(1, 50)]
    assert all(20000 <= port < 32768 for port in ports)
    assert len(set(ports)) > 40
    assert driver_port(UID, 1) == driver_port(UID, 1)


@pytest.mark.parametrize(
    ("text", "runtime_env", "path"),
    [
        (MINIMAL, {"working_dir": "."}, "spec.runtimeEnv.working_dir"),
        (MINIMAL, {"py_modules": ["/home/me/lib"]}, r"spec.runtimeEnv.py_modules\[0\]"),
        (MINIMAL, {"env_vars": ["A=b"]}, "spec.runtimeEnv.env_vars"),
        (EXISTING, {"working_dir": "s3://bucket/code.zip"}, "spec.runtimeEnv.working_dir"),
    ],
)
def test_runtime_environment_that_cannot_be_had_is_refused(
    text: str, runtime_env: dict[str, Any], path: str
) -> None:
    with pytest.raises(DesiredError, match=path):
        submission(pipeline(), with_runtime_env(text, runtime_env), 1)


def test_working_directory_beside_an_existing_cluster_is_one_problem() -> None:
    with pytest.raises(DesiredError, match="travels as the working directory") as caught:
        submission(pipeline(), with_runtime_env(EXISTING, {"working_dir": "."}), 1)
    assert len(caught.value.problems) == 1


def test_runtime_environment_by_address_is_taken() -> None:
    runtime_env = {"working_dir": "s3://bucket/code.zip", "py_modules": ["gs://bucket/lib.whl"]}
    made = submission(pipeline(), with_runtime_env(MINIMAL, runtime_env), 1)["runtime_env"]
    assert made == runtime_env
