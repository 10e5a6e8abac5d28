"""Write `docs/reference/manifest.md` from the models; `--check` fails if the file is stale.

Called by people who change the models, and with `--check` by CI:
`python -m curator_api.reference [--check] [FILE]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curator_api.v1alpha1 import CuratorPipeline
from curator_api.violations import model_in

_PREAMBLE = Path(__file__).with_name("reference_text.md")
DEFAULT_FILE = Path(__file__).parents[2] / "docs" / "reference" / "manifest.md"
_SIMPLE = {str: "text", int: "integer", float: "number", bool: "boolean", Any: "anything"}


def reference() -> str:
    """The whole page."""
    tables = "\n".join(
        line for path, model in _models(CuratorPipeline, "") for line in _table(path, model)
    )
    return f"{_PREAMBLE.read_text(encoding='utf-8').rstrip()}\n\n{tables}"


def _models(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """(path, model) of a model and of those inside it, in the order of the file."""
    yield path, model
    for name, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is not None:
            yield from _models(inner, _path_of(path, info.alias or name, info.annotation))


def _path_of(path: str, name: str, kind: Any) -> str:
    own = f"{path}.{name}" if path else name
    origin = get_origin(_without_none(kind))
    if origin is list:
        return f"{own}[]"
    return f"{own}.NAME" if origin is dict else own


def _table(path: str, model: type[BaseModel]) -> list[str]:
    summary = " ".join((model.__doc__ or "").split())
    lines = [f"### {f'`{path}`' if path else 'The top'}", "", summary, ""]
    lines += ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, info in model.model_fields.items():
        cells = (
            f"`{info.alias or name}`",
            _type(info),
            _default(info),
            (info.description or "").replace("|", "\\|"),
        )
        lines.append(f"| {' | '.join(cells)} |")
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
        elif isinstance(entry, annotated_types.Le):
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
    """Write the page, or compare it; 1 if it is stale."""
    parser = argparse.ArgumentParser(description="Write the reference of the manifest.")
    parser.add_argument("--check", action="store_true", help="fail if the file is stale")
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_FILE)
    options = parser.parse_args(arguments)
    wanted = reference()
    if options.check:
        if options.file.exists() and options.file.read_text(encoding="utf-8") == wanted:
            return 0
        sys.stderr.write(
            f"{options.file} is stale; write it with python -m curator_api.reference\n"
        )
        return 1
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
