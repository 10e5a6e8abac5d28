"""What the API server gives: `parse_resource(obj)` and `parse_status(obj)`.

Called by the operator and by whatever watches resources. The spec is judged as strictly as a
file's, so that a resource that came in while validation was off, or under another version of the
CRD, is refused with every problem by its path. The status is the operator's own word, perhaps that
of an older or a newer one: what can be read of it is taken, and the rest left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from curator_api.document import Document, Loc
from curator_api.errors import ManifestError, Problem, shown
from curator_api.v1alpha1 import API_VERSION, KIND, CuratorPipeline, Metadata, PipelineStatus
from curator_api.violations import problems_of, wire_fields


def parse_resource(obj: Mapping[str, Any]) -> CuratorPipeline:
    """The resource in an object of the API server; its status as `parse_status` gives it.

    Args:
        obj: as JSON has it. `apiVersion` and `kind` may be missing, as in items of a list, and
            metadata that is not known here is left out.

    Raises:
        ManifestError: anything in it that is wrong, each with its path; lines there are none.
    """
    plain = _plain(obj)
    if not isinstance(plain, dict):
        raise ManifestError([Problem("", f"wanted a resource, got {shown(obj)}")])
    known = wire_fields(Metadata)
    given = {"apiVersion": API_VERSION, "kind": KIND, **plain}
    status = given.pop("status", None)
    if isinstance(given.get("metadata"), dict):
        given["metadata"] = {
            name: value for name, value in given["metadata"].items() if name in known
        }
    try:
        resource = CuratorPipeline.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ManifestError(problems_of(error, CuratorPipeline, Document())) from error
    if status is None:
        return resource
    return resource.model_copy(update={"status": parse_status(status)})


def parse_status(obj: object) -> PipelineStatus:
    """What can be read of a status; never raises.

    Args:
        obj: the resource's `status`, or None where it has none yet. Unknown fields, values of the
            wrong type, entries that lack something and those of a name that was there before are
            left out; texts and lists that are too long are cut.
    """
    plain = _plain(obj)
    while isinstance(plain, dict):
        try:
            return PipelineStatus.model_validate(plain, by_alias=True, by_name=False)
        except ValidationError as error:
            mended = _mended_by_loc(error)
            # The last entries of a list first, so that the places of the others stay right.
            changed = [
                _mend(plain, loc, mended[loc]) for loc in sorted(mended, key=_place, reverse=True)
            ]
            if not any(changed):
                break
    return PipelineStatus()


def _mended_by_loc(error: ValidationError) -> dict[Loc, int | None]:
    """What is to be cut, to which length, and what is to be taken out (None)."""
    mended: dict[Loc, int | None] = {}
    for one in error.errors():
        context = one.get("ctx", {})
        if one["type"] == "repeated":
            mended |= dict.fromkeys([(*one["loc"], place) for place in context["places"]])
            continue
        # An entry without what it needs is no entry.
        loc = one["loc"][:-1] if one["type"] == "missing" else one["loc"]
        mended[loc] = context.get("max_length")
    return mended


def _place(loc: Loc) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (0, part) for part in loc]


def _mend(plain: dict[str, Any], loc: Loc, most: int | None) -> bool:
    """Cut or take out what is at a place; whether there was anything to do."""
    parent: Any = plain
    for part in loc[:-1]:
        if not _has(parent, part):
            return False
        parent = parent[part]
    if not loc or not _has(parent, loc[-1]):
        return False
    value = parent[loc[-1]]
    if most is not None and isinstance(value, (str, list)):
        parent[loc[-1]] = value[:most]
    else:
        del parent[loc[-1]]
    return True


def _has(parent: Any, part: str | int) -> bool:
    if isinstance(parent, dict):
        return part in parent
    return isinstance(parent, list) and isinstance(part, int) and part < len(parent)


def _plain(value: Any) -> Any:
    """A copy in dicts and lists; frameworks give views of their own."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items() if isinstance(key, str)}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(entry) for entry in value]
    return value
