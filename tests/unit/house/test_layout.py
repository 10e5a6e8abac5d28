"""Rules about the files of the repository that no linter knows."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# What is made, not written; `shared` is no part of the repository.
NOT_OURS = {"__pycache__", "build", "dist", "out", "shared", "node_modules"}
# The only folders with a leading dot that are written by hand.
OURS_HIDDEN = {".ci", ".github"}
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 60
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
PUBLIC_PACKAGES = ["curator_executor", "curator_executor.api"]
# A clock, threads and the world outside: the core gets time as an argument and returns actions.
NOT_IN_THE_CORE = {"asyncio", "concurrent", "datetime", "multiprocessing", "os", "pathlib"}
NOT_IN_THE_CORE |= {"random", "socket", "subprocess", "threading", "time"}


@cache
def files() -> list[Path]:
    """Every file of the repository that was written by hand."""
    found: list[Path] = []
    for folder, names, file_names in os.walk(ROOT):
        names[:] = [
            name
            for name in names
            if name not in NOT_OURS
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name in OURS_HIDDEN)
        ]
        found += [Path(folder) / name for name in file_names]
    return sorted(found)


def python_files() -> list[Path]:
    """Every Python file."""
    return [path for path in files() if path.suffix == ".py"]


def shown(path: Path) -> str:
    """The path as a reader of the repository knows it."""
    return str(path.relative_to(ROOT))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Absolute names of the modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def test_the_repository_is_found() -> None:
    assert ROOT / "pyproject.toml" in files()
    assert Path(__file__).resolve() in python_files()


def test_operator_folder_does_not_shadow_the_standard_library() -> None:
    """With an __init__.py there, `import operator` from the root is ours: pytest cannot start."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    found = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.itemgetter(0)('ok'))"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == "o"


@pytest.mark.parametrize("module", ["curator_executor", "curator_executor.api", "curator_api"])
def test_importing_the_library_loads_nothing_heavy(module: str) -> None:
    heavy = ["ray", "nemo_curator", "pandas", "pyarrow", "numpy", "kopf"]
    program = (
        f"import json, sys, {module}; "
        f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == []


def test_no_python_file_is_too_long() -> None:
    lines = {shown(path): len(path.read_text().splitlines()) for path in python_files()}
    assert {path: count for path, count in lines.items() if count > LINES_PER_FILE} == {}


def test_no_function_is_too_long() -> None:
    too_long = {}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LINES_PER_FUNCTION:
                    too_long[f"{shown(path)}:{node.lineno} {node.name}"] = lines
    assert too_long == {}


def test_no_module_has_an_empty_name() -> None:
    assert [shown(path) for path in python_files() if path.stem in EMPTY_WORDS] == []


def test_the_core_imports_the_standard_library_alone() -> None:
    foreign = {}
    for path in (ROOT / "executor" / "curator_executor" / "core").rglob("*.py"):
        for name in imported_names(ast.parse(path.read_text())):
            first = name.split(".")[0]
            inside = name == "curator_executor.core" or name.startswith("curator_executor.core.")
            pure = first in sys.stdlib_module_names and first not in NOT_IN_THE_CORE
            if not inside and not pure:
                foreign[shown(path)] = name
    assert foreign == {}


@pytest.mark.parametrize("name", PUBLIC_PACKAGES)
def test_every_public_name_exists(name: str) -> None:
    package = importlib.import_module(name)
    assert [entry for entry in package.__all__ if not hasattr(package, entry)] == []
    assert package.__all__ == sorted(set(package.__all__))


@pytest.mark.parametrize("name", PUBLIC_PACKAGES)
def test_every_imported_name_is_public(name: str) -> None:
    """What a package's __init__ imports is there for users, so `__all__` lists it."""
    package = importlib.import_module(name)
    tree = ast.parse(Path(str(package.__file__)).read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert imported - set(package.__all__) == set()


def test_no_path_of_one_machine_is_written_down() -> None:
    machine_path = "/" + "work" + "/"
    holding = []
    for path in files():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        if machine_path in text:
            holding.append(shown(path))
    assert holding == []
