"""Any manifest that can be built survives being written and read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from curator_api.load import dump_manifest, parse_manifest
from curator_api.v1alpha1 import (
    BuilderSpec,
    CuratorPipeline,
    ExecutionSpec,
    Metadata,
    PipelineSpec,
    StageOptions,
    StageResources,
    StageSpec,
    WorkerRange,
)

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
STAGE_NAMES = st.from_regex(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,20}[A-Za-z0-9])?", fullmatch=True)
LABELS = st.from_regex(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?", fullmatch=True)
CLASSES = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}[.:][A-Za-z_]{1,8}", fullmatch=True)
# What a YAML or JSON file can hold; surrogates alone are no text.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def mappings(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    keys = TEXTS.filter(lambda key: key != "fromEnv")
    return st.dictionaries(keys, inner, max_size=3)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(
        ["no", "on", "~", "12:30", "2024-01-01", "1e3", "0x1f", "08", "<<", "=", "y", "N", "0o12"]
    ),
    lambda inner: st.lists(inner, max_size=3) | mappings(inner),
    max_leaves=4,
)


def built(kind: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A model with any of the fields given."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


MEMORY = st.integers(2**20, 2**40) | st.sampled_from(["8Gi", "1.5Gi", "500M", "1e9"])
RANGES = st.tuples(st.integers(0, 5), st.integers(5, 9)).map(
    lambda pair: WorkerRange(min=pair[0], max=pair[1])
) | st.integers(1, 9).map(lambda count: WorkerRange(count=count))
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "resources": built(
        StageResources,
        cpus=st.floats(0, 64),
        gpus=st.sampled_from([0.25, 1, 2]),
        memory=MEMORY,
    ),
    "worker_groups": st.lists(NAMES, max_size=2, unique=True),
    "batch_size": st.integers(1, 10**6),
    "workers": RANGES,
    "retries": st.integers(0, 100),
    "timeout_seconds": st.integers(1, 10**6),
    "runtime_env": mappings(VALUES),
}
STAGES = st.fixed_dictionaries(
    {"name": STAGE_NAMES, "class_": CLASSES},
    optional={
        **OPTIONS,
        "args": mappings(VALUES),
        "parts": st.dictionaries(STAGE_NAMES, built(StageOptions, **OPTIONS), max_size=2),
    },
).map(StageSpec.model_validate)
EXECUTIONS = built(
    ExecutionSpec,
    mode=st.sampled_from(["streaming", "batch"]),
    ignore_failures=st.booleans(),
    cpu_allocation_percent=st.integers(1, 100),
    max_failures=st.none() | st.integers(0, 10**6),
    drain_seconds=st.integers(0, 600),
)
SPECS = st.fixed_dictionaries(
    {"stages": st.lists(STAGES, min_size=1, max_size=3, unique_by=lambda stage: stage.name)},
    optional={"execution": EXECUTIONS, "runtime_env": mappings(VALUES)},
) | st.fixed_dictionaries(
    {"builder": st.builds(BuilderSpec, callable=CLASSES, args=mappings(VALUES))}
)
MANIFESTS = st.builds(
    lambda name, labels, spec: CuratorPipeline(
        api_version="curator.dev/v1alpha1",
        kind="CuratorPipeline",
        metadata=Metadata(name=name, labels=labels),
        spec=PipelineSpec(**spec),
    ),
    NAMES,
    st.dictionaries(LABELS, LABELS, max_size=3),
    SPECS,
)


@given(MANIFESTS)
def test_a_written_manifest_reads_back_the_same(manifest: CuratorPipeline) -> None:
    assert parse_manifest(dump_manifest(manifest)) == manifest
