"""From a manifest to stages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curator_executor.api import Resources
from curator_executor.runtime.compile import check_stages
from curator_executor.runtime.compile_options import StageLimits
from curator_executor.runtime.settings import RunSettings
from curator_executor.runtime.specs import stage_specs
from tests.unit.runtime.compile_stages import Keep, Read
from tests.unit.runtime.compiling import HERE, SEVERAL, compiled, one, refused


@pytest.fixture(autouse=True)
def own_import_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling extends sys.path; each test starts from the same one."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_stage_is_built_with_its_arguments_under_its_name() -> None:
    stage = one("class: HERE.Read, args: {paths: [a, b], files_per_task: 3}").stages[0]

    assert isinstance(stage, Read)
    assert (stage.name, stage.paths, stage.files_per_task) == ("it", ["a", "b"], 3)


def test_what_the_manifest_leaves_out_stays_as_the_class_says() -> None:
    stage = one("class: HERE.Keep").stages[0]

    assert (stage.batch_size, stage.resources) == (4, Resources(cpus=2.0, gpus=1.0))
    assert stage.num_workers() is None
    assert stage.xenna_stage_spec() == {}


def test_options_reach_what_the_core_is_told() -> None:
    pipeline = one(
        "class: HERE.Keep, batchSize: 32, retries: 2, timeoutSeconds: 600, workerGroups: [h100], "
        "workers: {min: 1, max: 16}, resources: {cpus: 0.5, memory: 4Gi}, "
        "runtimeEnv: {pip: [ftfy]}"
    )
    (told,) = stage_specs(pipeline.stages, pipeline.settings)

    assert (told.batch_size, told.attempts, told.timeout_s) == (32, 3, 600)
    assert (told.min_workers, told.max_workers, told.fixed_workers) == (1, 16, None)
    assert told.worker_groups == ("h100",)
    assert (told.need.cpus, told.need.gpus, told.need.memory) == (0.5, 1.0, 4 * 2**30)
    assert pipeline.stages[0].runtime_env == {"pip": ["ftfy"]}
    assert pipeline.limits == {"it": StageLimits(1, 16, 2, 600, ("h100",))}


def test_fixed_number_of_workers_reaches_the_core() -> None:
    pipeline = one("class: HERE.Keep, workers: {count: 3}")

    assert stage_specs(pipeline.stages, pipeline.settings)[0].fixed_workers == 3


def test_a_range_of_workers_lifts_the_number_that_the_class_fixes() -> None:
    pipeline = one("class: HERE.Read, args: {paths: []}, workers: {max: 4}")
    (told,) = stage_specs(pipeline.stages, pipeline.settings)

    assert (told.fixed_workers, told.max_workers) == (None, 4)


def test_gpu_memory_takes_the_place_of_the_gpus_of_the_class() -> None:
    pipeline = one("class: HERE.Keep, resources: {gpuMemory: 12Gi}")
    need = pipeline.stages[0].resources

    assert (need.gpu_memory_gb, need.gpus) == (12.0, 0.5)
    (told,) = stage_specs(pipeline.stages, pipeline.settings)
    assert (told.need.gpu_memory, told.need.gpus) == (12 * 2**30, 0.5)


def test_the_class_itself_is_left_as_it_was() -> None:
    one("class: HERE.Keep, batchSize: 9, resources: {cpus: 7}")

    assert (Keep.batch_size, Keep.resources.cpus, Keep.name) == (4, 2.0, "keep")


def test_first_stage_is_the_source_and_last_the_sink() -> None:
    stages = compiled(
        "stages: [{name: a, class: HERE.Keep}, {name: b, class: HERE.Keep}, "
        "{name: c, class: HERE.Keep}]"
    ).stages

    assert [(s.is_source_stage, s.is_sink_stage) for s in stages] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_settings_come_from_execution() -> None:
    pipeline = compiled(
        "stages: [{name: a, class: HERE.Keep}], execution: {mode: batch, ignoreFailures: true, "
        "maxWorkersPerStage: 3, cpuAllocationPercent: 50, autoscaleIntervalSeconds: 7, "
        "loggingIntervalSeconds: 5, maxFailures: 9, drainSeconds: 4, fusion: false}"
    )

    assert pipeline.settings == RunSettings(
        execution_mode="batch",
        ignore_failures=True,
        max_workers_per_stage=3,
        cpu_allocation_percentage=0.5,
        autoscale_interval_s=7,
        logging_interval=5,
        max_failures=9,
        drain_s=4,
        fusion=False,
    )


def test_a_function_made_a_stage_may_stand_as_class() -> None:
    pipeline = one("class: HERE.shout, batchSize: 5")

    assert (pipeline.stages[0].name, pipeline.stages[0].batch_size) == ("it", 5)


def test_environment_is_read_anywhere_in_the_arguments() -> None:
    stage = one(
        "class: HERE.Read, args: {paths: [{fromEnv: IN}, b], token: {deep: [{fromEnv: KEY}]}}",
        env={"IN": "/data", "KEY": "s3cr3t"},
    ).stages[0]

    assert isinstance(stage, Read)
    assert (stage.paths, stage.token) == (["/data", "b"], {"deep": ["s3cr3t"]})


def test_what_only_kubernetes_uses_is_noted_once_each() -> None:
    pipeline = compiled(
        "stages: [{name: a, class: HERE.Keep, workerGroups: [g]}], image: a, suspend: false, "
        "checkpoint: {uri: 's3://b/c'}, cluster: {existing: {name: x}}"
    )

    assert pipeline.notes == [
        "spec.image: ignored by a local run",
        "spec.cluster: ignored by a local run",
        "spec.checkpoint: ignored by a local run",
        "spec.suspend: ignored by a local run",
        "spec.stages[0].workerGroups: ignored where nodes have no worker group",
    ]


def test_a_module_beside_the_manifest_is_imported(tmp_path: Path) -> None:
    (tmp_path / "beside_the_manifest.py").write_text(f"from {HERE} import Keep as Mine\n")

    pipeline = one("class: beside_the_manifest.Mine", directory=tmp_path)

    assert isinstance(pipeline.stages[0], Keep)
    assert pipeline.python_paths == [str(tmp_path.resolve()), str(Path.cwd())]


# Stages made of several.


def test_parts_of_a_stage_are_named_after_it() -> None:
    pipeline = one(SEVERAL)

    assert [stage.name for stage in pipeline.stages] == ["it.files", "it.rows"]
    assert pipeline.parts == {"it": ["it.files", "it.rows"]}
    assert pipeline.paths == {"it.files": "spec.stages[0]", "it.rows": "spec.stages[0]"}


def test_a_single_part_has_the_name_and_the_options_of_the_stage() -> None:
    pipeline = one("class: HERE.Several, args: {parts: [files]}, batchSize: 7")

    assert [(stage.name, stage.batch_size) for stage in pipeline.stages] == [("it", 7)]


def test_options_of_a_part_go_to_that_part() -> None:
    pipeline = one(f"{SEVERAL}, parts: {{rows: {{batchSize: 8, workers: {{max: 2}}}}}}")

    assert [stage.batch_size for stage in pipeline.stages] == [4, 8]
    assert pipeline.stages[1].xenna_stage_spec() == {"max_workers": 2}


def test_retries_of_the_whole_hold_for_each_part_unless_it_says_otherwise() -> None:
    pipeline = one(f"{SEVERAL}, retries: 2, timeoutSeconds: 5, parts: {{rows: {{retries: 0}}}}")

    assert pipeline.limits == {
        "it.files": StageLimits(retries=2, timeout_s=5),
        "it.rows": StageLimits(retries=0, timeout_s=5),
    }


def test_parts_of_one_name_get_numbers() -> None:
    pipeline = one("class: HERE.Several, args: {parts: [a, a]}")

    assert [stage.name for stage in pipeline.stages] == ["it.a", "it.a-2"]


# A builder.
def test_a_builder_gives_a_pipeline() -> None:
    pipeline = compiled("builder: {callable: 'HERE:build', args: {copies: 2}}")

    assert [stage.name for stage in pipeline.stages] == ["keep0", "keep1"]
    assert pipeline.paths == {"keep0": "spec.builder", "keep1": "spec.builder"}


def test_a_builder_gives_a_list_with_a_stage_of_several() -> None:
    pipeline = compiled("builder: {callable: HERE.build_composite}")

    assert [stage.name for stage in pipeline.stages] == ["files", "rows", "keep"]
    assert pipeline.parts["several"] == ["files", "rows"]


def test_a_builder_may_hand_out_the_same_stages_again() -> None:
    builder = "builder: {callable: HERE.build_list}"

    assert [stage.name for stage in compiled(builder, until="one").stages] == ["one"]
    assert [(stage.name, stage.is_sink_stage) for stage in compiled(builder).stages] == [
        ("one", False),
        ("two", True),
    ]


# Up to a stage.
THREE = (
    "stages: [{name: a, class: HERE.Keep}, {name: b, class: HERE.Several, "
    'args: {parts: [x, "y"]}}, {name: c, class: nowhere.AtAll}]'
)


@pytest.mark.parametrize(("until", "kept"), [("a", ["a"]), ("b", ["a", "b.x", "b.y"])])
def test_until_keeps_what_comes_before_and_imports_nothing_after(
    until: str, kept: list[str]
) -> None:
    pipeline = compiled(THREE, until=until)

    assert [stage.name for stage in pipeline.stages] == kept
    assert pipeline.stages[-1].is_sink_stage
    assert set(pipeline.limits) == set(pipeline.paths) == set(kept)


def test_until_may_name_a_part() -> None:
    pipeline = one(SEVERAL, until="it.files")

    assert [stage.name for stage in pipeline.stages] == ["it.files"]


def test_until_an_unknown_stage_is_refused_with_the_nearest() -> None:
    assert refused("stages: [{name: tidy, class: HERE.Keep}]", until="tody") == [
        "until: there is no stage tody; the stages are tidy. Did you mean tidy?"
    ]


# What stages say of themselves.
def test_every_stage_is_asked_whether_it_could_run() -> None:
    pipeline = compiled(
        "stages: [{name: a, class: HERE.Picky, args: {faults: [one, two]}}, "
        "{name: b, class: HERE.Picky}, {name: c, class: HERE.Keep}, "
        "{name: d, class: HERE.Picky, args: {faults: three.}}, "
        "{name: e, class: HERE.Picky, args: {faults: {}}}]"
    )

    assert [str(problem) for problem in check_stages(pipeline.stages, pipeline.paths)] == [
        'spec.stages[0] "a": one',
        'spec.stages[0] "a": two',
        'spec.stages[3] "d": three',
        'spec.stages[4] "e": no model at /models/en.bin',
    ]
