"""What a manifest may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_api.load import dump_manifest, load_manifest, parse_manifest
from curator_api.v1alpha1 import ExecutionSpec
from tests.unit.curator_api.good_rows import GOOD
from tests.unit.curator_api.manifests import STAGE, spec, stage


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_good_manifest_is_taken_and_survives_a_round_trip(text: str) -> None:
    manifest = parse_manifest(text)

    assert parse_manifest(dump_manifest(manifest)) == manifest


def test_a_status_in_a_file_says_nothing() -> None:
    manifest = parse_manifest(spec(STAGE) + "status: {phase: Running, invented: 1}\n")

    assert manifest == parse_manifest(spec(STAGE))


def test_a_field_without_a_value_is_left_out_and_free_form_keeps_it() -> None:
    manifest = parse_manifest(stage("retries: ~, args: {a: ~}, workers: "))

    assert manifest.spec.stages is not None
    (only,) = manifest.spec.stages
    assert only.model_fields_set == {"name", "class_", "args"}
    assert only.args == {"a": None}


def test_args_are_passed_on_verbatim() -> None:
    manifest = parse_manifest(
        stage("args: {files_per_task: 1, minLength: 2, when: 2024-01-01, at: 12:30:00, zip: 08}")
    )

    assert manifest.spec.stages is not None
    assert manifest.spec.stages[0].args == {
        "files_per_task": 1,
        "minLength": 2,
        "when": "2024-01-01",
        "at": "12:30:00",
        "zip": "08",
    }


def test_numbers_are_read_as_kubernetes_reads_them() -> None:
    manifest = parse_manifest(
        stage("args: {a: 1e3, b: 0x10, c: 010, d: -1.5, e: .5, f: 1., g: 0o12}")
    )

    assert manifest.spec.stages is not None
    assert manifest.spec.stages[0].args == {
        "a": 1000.0,
        "b": 16,
        "c": 8,
        "d": -1.5,
        "e": 0.5,
        "f": 1.0,
        "g": 10,
    }


def test_what_is_not_said_has_the_documented_default() -> None:
    assert parse_manifest(spec(STAGE)).spec.execution == ExecutionSpec(
        mode="streaming",
        ignore_failures=False,
        max_workers_per_stage=None,
        cpu_allocation_percent=95,
        autoscale_interval_seconds=180,
        logging_interval_seconds=60,
        max_failures=None,
        drain_seconds=60,
        fusion=True,
    )


def test_quantities_of_a_stage_are_available_in_bytes() -> None:
    manifest = parse_manifest(stage("resources: {memory: 4Gi, gpuMemory: 1.5Gi}"))

    assert manifest.spec.stages is not None
    resources = manifest.spec.stages[0].resources
    assert resources is not None
    assert resources.memory == "4Gi"
    assert resources.memory_bytes == 4 * 2**30
    assert resources.gpu_memory_bytes == 3 * 2**29


def test_file_is_read_by_path_and_by_name(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("\ufeff" + spec(STAGE), encoding="utf-8")

    assert load_manifest(file) == load_manifest(str(file)) == load_manifest(spec(STAGE))
