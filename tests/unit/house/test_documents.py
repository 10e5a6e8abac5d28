"""What the documents show is true: code runs, manifests are valid, links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from curator_api.load import parse_manifest
from curator_executor.runtime.compile import compile_manifest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, text) of every fenced block in a language."""
    found = []
    for path in DOCUMENTS:
        pieces = re.findall(
            rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE
        )
        name = path.relative_to(ROOT)
        found += [(f"{name} block {number}", piece) for number, piece in enumerate(pieces, start=1)]
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    inner = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in inner if not (path.parent / link).exists()] == []


def test_there_is_something_to_try() -> None:
    assert len(blocks("python")) >= 2
    assert len(blocks("yaml")) >= 2


@pytest.mark.parametrize(("where", "text"), blocks("python"))
def test_python_of_a_document_can_be_imported(
    where: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "shown_in_a_document", ModuleType("shown_in_a_document"))
    exec(compile(text, where, "exec"), {"__name__": "shown_in_a_document"})


@pytest.mark.parametrize(("where", "text"), blocks("yaml"))
def test_manifest_of_a_document_has_the_right_fields(where: str, text: str) -> None:
    parse_manifest(text, where)


def test_stages_of_every_manifest_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `my_stages` as the how-to shows it; `my_team` stands for code that is not shown."""
    how_to = "docs/how-to/run-a-manifest.md"
    (shown,) = [text for where, text in blocks("python") if where.startswith(how_to)]
    (tmp_path / "my_stages.py").write_text(shown)
    monkeypatch.setattr(sys, "path", [*sys.path])
    built = 0
    for where, text in blocks("yaml"):
        if "my_team" not in text:
            built += bool(
                compile_manifest(parse_manifest(text, where), env={}, directory=tmp_path).stages
            )
    monkeypatch.delitem(sys.modules, "my_stages")
    assert built >= 3
