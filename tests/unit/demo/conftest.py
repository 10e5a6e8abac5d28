"""The demo is made of scripts that find each other in their own folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[3] / "examples" / "demo"
sys.path.append(str(DEMO))


@pytest.fixture
def demo_folder() -> Path:
    return DEMO
