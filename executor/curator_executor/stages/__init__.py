"""Stages for text. Importing this package loads none of their libraries; naming a stage loads its.

Used by people's pipelines (`from curator_executor.stages import JsonlReader`) and by manifests
(`class: curator_executor.stages.JsonlReader`).
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULE_BY_NAME = {
    "C4Lines": "cleanup",
    "ExactDedup": "dedup",
    "FileList": "files",
    "Filter": "filters",
    "FixUnicode": "cleanup",
    "FuzzyDedup": "dedup",
    "JsonlReadStage": "read_jsonl",
    "JsonlReader": "readers",
    "JsonlWriter": "writers",
    "LanguageId": "language",
    "Modify": "cleanup",
    "NormalizeWhitespace": "cleanup",
    "ParquetReadStage": "read_parquet",
    "ParquetReader": "readers",
    "ParquetWriter": "writers",
    "QualityFilter": "filters",
    "TokenCount": "tokens",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("curator_executor"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs {error.name}, which is not installed; "
            "install the built-in stages' libraries with pip install 'curator-operator[text]'",
            name=error.name,
        ) from error


def __dir__() -> list[str]:
    return sorted(_MODULE_BY_NAME)
