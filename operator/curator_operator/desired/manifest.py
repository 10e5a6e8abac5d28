"""The manifest as it travels to the driver, and the hash of the work in it.

`manifest_of` gives what the ConfigMap or the package holds; `work_hash` tells whether an edit
changes what an attempt does, or only how long and on how many pods it may.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from curator_api.document import write_document
from curator_api.errors import Problem
from curator_api.v1alpha1 import API_VERSION, KIND, PipelineSpec
from curator_api.v1alpha1.edits import LIVE_FIELDS, LIVE_GROUP_FIELDS
from curator_operator.desired.attempt import PipelineIdentity
from curator_operator.desired.errors import DesiredError

# The API server's limit on the data of one ConfigMap; it also holds for a package, so that the same
# pipeline is not refused on one kind of cluster and taken on another.
MOST_MANIFEST_BYTES = 1024 * 1024


def manifest_of(pipeline: PipelineIdentity, spec: PipelineSpec) -> str:
    """The pipeline as a manifest: what `curator run` gets, as YAML.

    Without what the operator alone heeds: an edit of it must not look like another manifest.

    Raises:
        DesiredError: it is larger than what the API server takes.
    """
    given = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for field in LIVE_FIELDS:
        given.pop(field, None)
    text = write_document(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": pipeline.name, "namespace": pipeline.namespace},
            "spec": given,
        }
    )
    size = len(text.encode())
    if size > MOST_MANIFEST_BYTES:
        raise DesiredError(
            [
                Problem(
                    "spec",
                    f"wanted a manifest of at most {MOST_MANIFEST_BYTES:,} bytes, got {size:,}",
                    "Put what makes it large into a file that a stage reads: a list of paths, a "
                    "table, a prompt",
                )
            ]
        )
    return text


def work_hash(spec: PipelineSpec) -> str:
    """Hash of all that changes the work: 16 hexadecimal digits.

    Values that are the default count as not given, so that neither the API server's defaulting nor
    an operator that knows more fields changes the hash of a running attempt.
    """
    work = _given(spec)
    for field in LIVE_FIELDS:
        work.pop(field, None)
    for group in work.get("cluster", {}).get("workerGroups", []):
        for field in LIVE_GROUP_FIELDS:
            group.pop(field, None)
    text = json.dumps(work, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _given(model: BaseModel) -> dict[str, Any]:
    """Fields that are not their default, in wire names."""
    found: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        is_default = value == field.get_default(call_default_factory=True)
        if field.is_required() or not is_default:
            found[field.alias or name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _given(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
