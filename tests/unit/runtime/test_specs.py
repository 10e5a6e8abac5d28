"""From stages as written to what is scheduled; what is wrong is said before work starts."""

from __future__ import annotations

from typing import Any

import pytest

from curator_executor.api import CompositeStage, ProcessingStage, Resources
from curator_executor.core.errors import InvalidPipeline
from curator_executor.core.types import Need, StageSpec
from curator_executor.runtime.settings import RunSettings
from curator_executor.runtime.specs import prepare_stages, stage_specs, unique_names
from tests.unit.runtime.hosting import Doc, Upper, Words


def spec_of(stage: Any, **settings: Any) -> StageSpec:
    (found,) = stage_specs([stage], RunSettings(**settings))
    return found


def stage(spec: dict[str, Any] | None = None, **attributes: Any) -> Any:
    made: Any = Upper()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made if spec is None else made.with_(xenna_stage_spec=spec)


def test_plain_stage_has_the_defaults() -> None:
    assert spec_of(Upper()) == StageSpec(0, "upper", prepares_nodes=False)


def test_workers_wait_for_the_node_only_where_a_stage_has_a_set_up_for_it() -> None:
    class Prepares(Upper):
        def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
            pass

    assert spec_of(Prepares()).prepares_nodes
    patched = Upper()
    patched.setup_on_node = lambda *_: None  # type: ignore[method-assign]
    assert spec_of(patched).prepares_nodes


def test_everything_a_stage_says_is_read() -> None:
    made = stage(
        {
            "num_run_attempts_python": 3,
            "num_setup_attempts_python": 2,
            "ignore_failures": True,
            "min_workers": 1,
            "max_workers": 4,
            "timeout_s": 5.0,
            "worker_groups": ["cpu"],
        },
        batch_size=7,
        resources=Resources(cpus=0.5, gpus=0.25, memory=1000),
        is_pure=True,
    )
    assert spec_of(made) == StageSpec(
        index=0,
        name="upper",
        batch_size=7,
        need=Need(0.5, 0.25, 1000),
        min_workers=1,
        max_workers=4,
        attempts=3,
        setup_attempts=2,
        ignore_failures=True,
        is_pure=True,
        timeout_s=5.0,
        worker_groups=("cpu",),
        prepares_nodes=False,
    )


def test_stage_says_more_than_the_run_about_failures() -> None:
    assert spec_of(Upper(), ignore_failures=True).ignore_failures
    assert not spec_of(stage({"ignore_failures": False}), ignore_failures=True).ignore_failures


def test_number_of_workers_is_read_from_either_place() -> None:
    assert spec_of(Upper().with_(num_workers=3)).fixed_workers == 3
    assert spec_of(Upper().with_(num_workers_per_node=0.5)).workers_per_node == 0.5
    assert spec_of(stage({"num_workers_per_node": 2})).workers_per_node == 2


def test_stage_without_a_batch_size_takes_tasks_one_by_one() -> None:
    assert spec_of(stage(batch_size=None)).batch_size == 1


def test_equal_runtime_environments_have_equal_keys() -> None:
    one = spec_of(stage(runtime_env={"pip": ["a"], "env_vars": {"X": "1"}}))
    same = spec_of(stage(runtime_env={"env_vars": {"X": "1"}, "pip": ["a"]}))
    other = spec_of(stage(runtime_env={"pip": ["b"]}))
    assert one.env_key == same.env_key != other.env_key
    assert (spec_of(stage(runtime_env={})).env_key, spec_of(Upper()).env_key) == ("", "")


def test_options_of_nemo_curator_that_mean_nothing_here_are_let_pass() -> None:
    found = spec_of(stage({"slots_per_actor": 2, "max_setup_failure_percentage": 5}))
    assert found == spec_of(Upper())


def test_repeated_names_get_a_number() -> None:
    assert unique_names([Upper(), Words(), Upper(), Upper()]) == (
        "upper",
        "words",
        "upper#2",
        "upper#3",
    )


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (stage(batch_size=0), "batch_size must be a whole number >= 1, got 0"),
        (stage(batch_size=2.0), "batch_size must be a whole number >= 1, got 2.0"),
        (stage(batch_size=True), "batch_size must be a whole number >= 1, got True"),
        (Upper().with_(num_workers=0), r"num_workers\(\) must be a whole number >= 1, got 0"),
        (stage({"max_workers": 0}), "max_workers.* must be a whole number >= 1, got 0"),
        (stage({"min_workers": -1}), "min_workers.* must be a whole number >= 0, got -1"),
        (
            stage({"num_run_attempts_python": 0}),
            "num_run_attempts_python.* must be a whole number >= 1, got 0",
        ),
        (
            stage({"ignore_failure": True}),
            "unknown key 'ignore_failure'; did you mean 'ignore_failures'",
        ),
        (
            stage(is_global_stage=True).with_(num_workers=2),
            r"a global stage has one worker, num_workers\(\) says 2",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_named(made: Any, text: str) -> None:
    with pytest.raises(InvalidPipeline, match=f'stage "upper".*{text}'):
        spec_of(made)


def test_two_ways_of_fixing_the_count_are_refused() -> None:
    class Both(Upper):
        def num_workers(self) -> int:
            return 2

        def num_workers_per_node(self) -> float:
            return 1

    with pytest.raises(InvalidPipeline, match="both set; keep one"):
        spec_of(Both())


def test_no_stages_is_an_error() -> None:
    with pytest.raises(InvalidPipeline, match="no stages"):
        prepare_stages([])


def test_what_is_no_stage_is_an_error() -> None:
    with pytest.raises(InvalidPipeline, match=r"stages\[1\] is str, wanted a ProcessingStage"):
        prepare_stages([Upper(), "upper"])  # type: ignore[list-item]


def test_composite_stages_are_expanded_and_roles_given() -> None:
    class Both(CompositeStage[Doc, Doc]):
        name = "both"

        def decompose(self) -> list[ProcessingStage[Any, Any]]:
            return [Words(), Upper()]

    prepared = prepare_stages([Both(), Upper()])
    assert [s.name for s in prepared] == ["words", "upper", "upper"]
    assert [s.is_source_stage for s in prepared] == [True, False, False]
    assert [s.is_sink_stage for s in prepared] == [False, False, True]
