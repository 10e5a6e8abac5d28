"""Short ways to compile a manifest, for `test_compile` and `test_compile_refusals`."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.errors import ManifestError
from curator_api.load import parse_manifest
from curator_executor.runtime.compile import CompiledPipeline, compile_manifest

HERE = "tests.unit.runtime.compile_stages"
HEAD = "apiVersion: curator.dev/v1alpha1\nkind: CuratorPipeline\nmetadata: {name: demo}\n"
SEVERAL = "class: HERE.Several, args: {parts: [files, rows]}"


def compiled(
    spec: str, env: dict[str, str] | None = None, until: str | None = None, **options: Any
) -> CompiledPipeline:
    manifest = parse_manifest(f"{HEAD}spec: {{{spec}}}\n".replace("HERE", HERE))
    return compile_manifest(manifest, env=env or {}, until=until, **options)


def one(fields: str, **options: Any) -> CompiledPipeline:
    """A manifest of one stage, called `it`."""
    return compiled(f"stages: [{{name: it, {fields}}}]", **options)


def refused(spec: str, **options: Any) -> list[str]:
    with pytest.raises(ManifestError) as raised:
        compiled(spec, **options)
    return [str(problem) for problem in raised.value.problems]


def one_refused(fields: str, **options: Any) -> str:
    (said,) = refused(f"stages: [{{name: it, {fields}}}]", **options)
    return said
