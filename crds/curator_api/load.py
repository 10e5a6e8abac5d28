"""Read a manifest: `load_manifest(path)`, `parse_manifest(text)`, and `dump_manifest` back.

Called by the command line and by whatever takes a pipeline from a file. Everything that is wrong
comes back at once in a `ManifestError`, by path and line; nothing is converted on the way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from curator_api.document import Document, DocumentError, read_document, write_document
from curator_api.errors import ManifestError, Problem, did_you_mean, join_path, nearest, shown
from curator_api.v1alpha1 import API_VERSION, KIND, CuratorPipeline
from curator_api.violations import problems_of

# What the API server takes in one object; a larger file is some other file.
LARGEST_MANIFEST_BYTES = 1024 * 1024

_TOP = (
    f"A manifest begins with apiVersion: {API_VERSION}, kind: {KIND}, metadata: {{name: …}} and "
    "spec: {stages: […]}"
)


def load_manifest(source: str | Path) -> CuratorPipeline:
    """The manifest in a file, or in a text.

    Args:
        source: path of a YAML or JSON file; or the text itself, recognised by a line break or a
            leading `{`.

    Raises:
        ManifestError: no such file, not YAML, or anything in it that is wrong.
    """
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return parse_manifest(source)
    return parse_manifest(_read(Path(source)), str(source))


def parse_manifest(text: str, source: str = "") -> CuratorPipeline:
    """The manifest in a text.

    Args:
        text: YAML or JSON.
        source: what to call it in errors.

    Raises:
        ManifestError: not YAML, or anything in it that is wrong.
    """
    try:
        document = read_document(text)
    except DocumentError as error:
        raise ManifestError([error.problem], source) from error
    _check_top(document, source)
    # `kubectl get -o yaml` prints what the operator said too; a file says nothing by it.
    given = {name: value for name, value in document.value.items() if name != "status"}
    try:
        manifest = CuratorPipeline.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        found = problems_of(error, CuratorPipeline, document)
        raise ManifestError(_in_order([*document.problems, *found]), source) from error
    if document.problems:
        raise ManifestError(_in_order(document.problems), source)
    return manifest


def dump_manifest(manifest: CuratorPipeline) -> str:
    """The manifest as YAML: the fields that were given, in the order of the models."""
    data = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return write_document(data)


def with_lines(error: ManifestError, path: Path) -> ManifestError:
    """The same problems with the file and the lines that their paths have in it.

    For what was found after loading, where the lines are no longer known.
    """
    try:
        document = read_document(_read(path))
    except (DocumentError, ManifestError):
        return ManifestError(error.problems, str(path))
    line_by_path = {join_path(loc): line for loc, line in document.lines.items()}

    def line_of(where: str) -> int | None:
        while where and where not in line_by_path:
            where = where[: max(where.rfind("."), where.rfind("["), 0)]
        return line_by_path[where] if where else None

    located = [
        replace(problem, line=problem.line or line_of(problem.path)) for problem in error.problems
    ]
    return ManifestError(located, str(path))


def _read(path: Path) -> str:
    def refuse(message: str, hint: str = "") -> ManifestError:
        return ManifestError([Problem("", message, hint)], str(path))

    try:
        if path.is_dir():
            inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
            hint = f"Did you mean {inside[0]}?" if len(inside) == 1 else ""
            raise refuse("wanted a manifest file, got a directory", hint)
        size = path.stat().st_size
        if size > LARGEST_MANIFEST_BYTES:
            raise refuse(f"wanted a manifest of at most 1 MiB, got {size:,} bytes")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise refuse("no such file", _similar_file(path)) from error
    except UnicodeDecodeError as error:
        raise refuse(f"wanted text in UTF-8, got other bytes at offset {error.start}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ManifestError):
            raise
        raise refuse(f"cannot be read: {error}") from error


def _similar_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no directory {folder} either"
    name = nearest(path.name, [entry.name for entry in folder.iterdir() if entry.is_file()])
    return f"Did you mean {folder / name}?" if name else ""


def _check_top(document: Document, source: str) -> None:
    """One clear error for what is no manifest at all, instead of one for each missing field."""
    top = document.value
    if not isinstance(top, dict):
        raise ManifestError(
            [Problem("", f"wanted a manifest, got {shown(top)}", _TOP, line=1)], source
        )
    if "spec" not in top and ("stages" in top or "builder" in top):
        raise ManifestError(
            [Problem("", "wanted a whole manifest, got what belongs under spec", _TOP, line=1)],
            source,
        )
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if field in top and top[field] != wanted:
            if field == "apiVersion" and str(top[field]).startswith("curator.dev/"):
                hint = "This release knows no other version"
            else:
                hint = did_you_mean(top[field], [wanted])
            message = f"wanted {wanted}, got {shown(top[field])}"
            raise ManifestError([Problem(field, message, hint, document.line_of((field,)))], source)


def _in_order(problems: list[Problem]) -> list[Problem]:
    """By line; of several for one value the first, which is the document's if it has one."""
    by_path: dict[str, Problem] = {}
    several: list[Problem] = []
    for problem in problems:
        if problem.path not in by_path:
            by_path[problem.path] = problem
            several.append(problem)
        elif not by_path[problem.path].message.startswith("YAML reads"):
            several.append(problem)
    return sorted(several, key=lambda problem: problem.line or 0)
