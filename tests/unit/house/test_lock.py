"""`requirements/dev.txt` belongs to `pyproject.toml`: after a change there, run `make lock`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements" / "dev.txt"
LOCKED_EXTRAS = ["executor", "text", "dev", "bench"]


def locked() -> list[Requirement]:
    """What the lock file pins and this Python installs."""
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    pinned = [Requirement(line) for line in lines]
    return [pin for pin in pinned if pin.marker is None or pin.marker.evaluate()]


def test_lock_holds_everything_that_is_asked_for_in_a_version_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(line for name in LOCKED_EXTRAS for line in extras[name])]
    pin_by_name = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in locked()}
    unmet = [
        str(wanted)
        for wanted in map(Requirement, asked)
        if not wanted.specifier.contains(pin_by_name.get(canonicalize_name(wanted.name), "0"))
    ]
    assert unmet == []


def test_lock_pins_exact_versions_and_names_no_host() -> None:
    assert [str(pin) for pin in locked() if not str(pin.specifier).startswith("==")] == []
    assert re.findall(r"\w+://|--\w+", LOCK.read_text()) == []
