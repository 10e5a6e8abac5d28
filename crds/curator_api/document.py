"""YAML with line numbers: `read_document` gives plain values and where each of them stands.

Called by `load`. Two things that YAML lets pass are refused here, because neither can be meant:
a key that is given twice, and a plain `no`, `yes`, `n`, `y`, `on` or `off`, which YAML 1.1 (and so
Kubernetes) turns into a boolean. Dates and clock times stay text, as they do in Kubernetes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from curator_api.errors import Problem, join_path

Loc = tuple[str | int, ...]

# A manifest has some hundred values; far more means aliases that multiply.
MOST_VALUES = 100_000
MOST_DEPTH = 64
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "map", "seq")}


class DocumentError(ValueError):
    """A text that is no single YAML document.

    Attributes:
        problem: what is wrong with it.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass
class Document:
    """A YAML document.

    Attributes:
        value: its content as dicts, lists, strings, numbers, booleans and None.
        lines: line of each value, from 1; a mapping's entry is where its key is.
        problems: what YAML lets pass and a manifest does not.
    """

    value: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, loc: Loc) -> int | None:
        """Line of a value, or of the nearest one around it."""
        for end in range(len(loc), -1, -1):
            if loc[:end] in self.lines:
                return self.lines[loc[:end]]
        return None


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as Kubernetes reads it: no dates, no base-60 numbers, `1e3` a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute
    bool_values: ClassVar = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_FLOAT = (
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
# What kubectl's YAML reads as boolean and as number, and PyYAML does not.
_LETTERS = r"y|Y|n|N"
_OCTAL = r"0o[0-7_]+"
for _kind, _pattern in (
    (
        "bool",
        rf"{_LETTERS}|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
    ),
    ("int", rf"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*|{_OCTAL})"),
    ("float", _FLOAT),
    ("merge", r"<<"),
    ("null", r"~|null|Null|NULL|"),
):
    # Without first characters a resolver is tried for every plain scalar.
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), None)


# Next line, line separator, paragraph separator.
_LINE_BREAKS = ("\x85", "\u2028", "\u2029")


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` or any other reader of YAML 1.1 would take for something else."""


for _kind, _pattern in (("float", _FLOAT), ("bool", _LETTERS), ("int", rf"[-+]?{_OCTAL}")):
    _Dumper.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), None)


def write_document(value: Any) -> str:
    """Plain values as YAML, in their order; `read_document` gives them back."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if any(mark in text for mark in _LINE_BREAKS):
        # PyYAML writes these as they are and reads them as line breaks.
        text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=False)
    return text


def read_document(text: str) -> Document:
    """The one document in a text.

    Raises:
        DocumentError: not YAML, empty, several documents, or nested without end.
    """
    loader = _Loader(text) if text.strip() else None
    if loader is None:
        raise DocumentError(Problem("", "wanted a manifest, got an empty file"))
    try:
        roots = list(_roots(loader))
        if len(roots) != 1:
            raise DocumentError(_wrong_number(roots))
        document = Document()
        _Walk(document).visit(roots[0], (), roots[0].start_mark.line + 1)
        document.value = loader.construct_document(roots[0])
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_not_yaml(error)) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(Problem("", f"is not YAML: {error}")) from error
    except RecursionError as error:
        raise DocumentError(Problem("", "is nested too deeply to be a manifest")) from error
    finally:
        loader.dispose()
    return document


def _roots(loader: _Loader) -> Iterator[yaml.Node]:
    while loader.check_node():
        root = loader.get_node()
        if root is not None and not _is_null(root):
            yield root


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"


def _wrong_number(roots: list[yaml.Node]) -> Problem:
    if not roots:
        return Problem("", "wanted a manifest, got an empty file")
    line = roots[1].start_mark.line + 1
    return Problem(
        "",
        f"wanted one document, got {len(roots)}",
        "Put each pipeline into a file of its own",
        line=line,
    )


def _not_yaml(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f" at column {mark.column + 1}" if mark else ""
    what = error.problem or error.context or "cannot be parsed"
    hint = "Indent with spaces, never with tabs" if "\\t" in what else ""
    return Problem("", f"is not YAML: {what}{where}", hint, line=mark.line + 1 if mark else None)


class _Walk:
    """Notes lines and problems of a tree of YAML nodes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.open: set[int] = set()

    def visit(self, node: yaml.Node, loc: Loc, line: int) -> None:
        """Note a node and what is inside it.

        Raises:
            DocumentError: too many values, or too deep, or inside itself.
        """
        lines = self.document.lines
        lines[loc] = line
        if len(lines) > MOST_VALUES:
            raise DocumentError(Problem("", f"has more than {MOST_VALUES:,} values"))
        if id(node) in self.open:
            raise DocumentError(Problem(join_path(loc), "contains itself", line=line))
        if len(loc) > MOST_DEPTH:
            said = f"has values inside each other more than {MOST_DEPTH} deep"
            raise DocumentError(Problem(join_path(loc[:1]), said, line=line))
        self.open.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            self._say(loc, line, f"the YAML tag {node.tag} has no place in a manifest")
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, loc)
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self.visit(item, (*loc, position), item.start_mark.line + 1)
        elif isinstance(node, yaml.ScalarNode):
            self._scalar(node, loc, line)
        self.open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> None:
        """Note the entries; those that are refused are taken out, so that they are said once."""
        first: dict[str, int] = {}
        kept: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                self._merge(value, loc, line)
            elif not isinstance(key, yaml.ScalarNode):
                self._say(loc, line, "wanted text as a key, got a list or a mapping")
                continue
            elif key.tag != f"{_TAG}str":
                name = key.value
                said = f"wanted text as a key, got {name or 'nothing'}"
                self._say((*loc, name), line, said, f'Write "{name}" in quotes')
                continue
            elif key.value in first:
                self._say(
                    (*loc, key.value),
                    line,
                    f"is given twice, first in line {first[key.value]}",
                    "YAML would keep the last one alone",
                )
                continue
            else:
                first[key.value] = line
                self.visit(value, (*loc, key.value), line)
            kept.append((key, value))
        node.value = kept

    def _merge(self, value: yaml.Node, loc: Loc, line: int) -> None:
        """`<<: *other`: what the other has may be overridden, so it is no duplicate."""
        merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for node in merged:
            if isinstance(node, yaml.MappingNode):
                self.visit(node, loc, self.document.lines.get(loc, line))

    def _scalar(self, node: yaml.ScalarNode, loc: Loc, line: int) -> None:
        text = node.value
        if node.tag == f"{_TAG}bool" and text.lower() not in ("true", "false"):
            means = "true" if text.lower() in ("y", "yes", "on") else "false"
            self._say(
                loc, line, f"YAML reads {text} as {means}", f'Write "{text}" in quotes, or {means}'
            )
        elif node.tag == f"{_TAG}float" and not math.isfinite(_number(text)):
            self._say(loc, line, f"wanted a finite number, got {text}")

    def _say(self, loc: Loc, line: int, message: str, hint: str = "") -> None:
        self.document.problems.append(Problem(join_path(loc), message, hint, line))


def _number(text: str) -> float:
    plain = text.replace("_", "").lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
