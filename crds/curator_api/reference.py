"""Write `manifest.md` and `status.md` of `docs/reference` from the models.

Called by people who change the models, and with `--check`, which fails if a page is stale, by CI:
`python -m curator_api.reference [--check] [FOLDER]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curator_api.v1alpha1 import CuratorPipeline, PipelineStatus
from curator_api.v1alpha1.names import MOST_COUNTED
from curator_api.violations import model_in

DEFAULT_FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_WHOLE = "The top"
_SIMPLE = {str: "text", int: "integer", float: "number", bool: "boolean", Any: "anything"}


def manifest_page() -> str:
    """What a person writes; the status has a page of its own."""
    return _page("reference_text.md", _models(CuratorPipeline, "", PipelineStatus))


def status_page() -> str:
    """What the operator says."""
    return _page("reference_status.md", _models(PipelineStatus, "status"))


PAGES: dict[str, Callable[[], str]] = {"manifest.md": manifest_page, "status.md": status_page}


def _page(preamble: str, models: Iterator[tuple[str, type[BaseModel]]]) -> str:
    text = Path(__file__).with_name(preamble).read_text(encoding="utf-8").rstrip()
    tables = "\n".join(line for path, model in models for line in _table(path, model))
    return f"{text}\n\n{tables}"


def _models(
    model: type[BaseModel], path: str, elsewhere: type[BaseModel] | None = None
) -> Iterator[tuple[str, type[BaseModel]]]:
    """(path, model) of a model and of those inside it but `elsewhere`, in the file's order."""
    yield path, model
    for name, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is not None and inner is not elsewhere:
            yield from _models(inner, _path_of(path, info.alias or name, info.annotation))


def _path_of(path: str, name: str, kind: Any) -> str:
    own = f"{path}.{name}" if path else name
    origin = get_origin(_without_none(kind))
    if origin is list:
        return f"{own}[]"
    return f"{own}.NAME" if origin is dict else own


def _table(path: str, model: type[BaseModel]) -> list[str]:
    summary = " ".join((model.__doc__ or "").split())
    lines = [f"### {f'`{path}`' if path else _WHOLE}", "", summary, ""]
    lines += ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, info in model.model_fields.items():
        cells = (
            f"`{info.alias or name}`",
            _type(info),
            _default(info),
            (info.description or "").replace("|", "\\|"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    for name, computed in model.model_computed_fields.items():
        lines.append(f"| `{computed.alias or name}` | text | – | {computed.description} |")
    return [*lines, ""]


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        rest = [part for part in get_args(kind) if part is not NoneType]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - made at run time
    return kind


def _type(info: FieldInfo) -> str:
    """The type in words, with its limits."""
    limits = _limits(info)
    return _words(info.annotation) + (f", {', '.join(limits)}" if limits else "")


def _words(kind: Any) -> str:
    bare = _without_none(kind)
    origin = get_origin(bare)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(bare))
    if origin is list:
        return f"list of {_words(get_args(bare)[0])}"
    if origin is dict:
        values = _words(get_args(bare)[1])
        return "mapping" if values == "anything" else f"mapping of names to {values}"
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return "mapping"
    if hasattr(bare, "__metadata__"):
        return _words(get_args(bare)[0])
    # The one union of the format: a quantity.
    return _SIMPLE.get(bare, "quantity")


def _limits(info: FieldInfo) -> list[str]:
    limits = []
    for entry in info.metadata:
        if isinstance(entry, annotated_types.Ge):
            limits.append(f"≥ {entry.ge}")
        elif isinstance(entry, annotated_types.Gt):
            limits.append(f"> {entry.gt}")
        elif isinstance(entry, annotated_types.Le) and entry.le != MOST_COUNTED:
            limits.append(f"≤ {entry.le}")
        elif isinstance(entry, annotated_types.MaxLen):
            limits.append(f"at most {entry.max_length}")
        elif isinstance(entry, annotated_types.MinLen):
            limits.append("not empty")
    return limits


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None or isinstance(value, BaseModel) or value in ([], {}):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them; 1 if one is stale."""
    parser = argparse.ArgumentParser(description="Write the reference of manifest and status.")
    parser.add_argument("--check", action="store_true", help="fail if a page is stale")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    options = parser.parse_args(arguments)
    stale = False
    for name, page in PAGES.items():
        file = options.folder / name
        wanted = page()
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(wanted, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != wanted:
            sys.stderr.write(f"{file} is stale; write it with make generate\n")
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
