"""The operator's page tells of every setting, metric and log line there is, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from curator_operator.metrics import Metrics, Now
from curator_operator.settings import PREFIX, OperatorSettings

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "reference" / "operator.md").read_text()
SOURCES = sorted((ROOT / "operator" / "curator_operator").glob("*.py"))
SOURCES += sorted((ROOT / "operator" / "curator_operator" / "cluster").glob("*.py"))


def section(title: str) -> str:
    """The part of the page under a heading."""
    return re.split(r"^## ", PAGE.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def test_every_setting_is_told_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section("Settings"), re.MULTILINE))
    told = {name: default.strip("`") for name, default in rows.items()}
    expected = {}
    for name, field in OperatorSettings.model_fields.items():
        default = "required" if field.is_required() else field.default
        if default == ():
            default = "all" if name == "namespaces" else "none"
        if isinstance(default, float):
            default = f"{default:g}"
        expected[PREFIX + name.upper()] = str(default)
    assert told == expected


def test_every_metric_is_told_with_its_type() -> None:
    metrics = Metrics()
    metrics.observe(lambda: Now(0, 0.0, 0, {}, []))
    there = {
        (line.split()[2], line.split()[3])
        for line in metrics.text().decode().splitlines()
        if line.startswith("# TYPE curator_operator_")
    }
    told = re.findall(r"^\| `(curator_operator_\w+)` \| (\w+) \|", section("Metrics"), re.MULTILINE)
    assert set(told) == there


def test_every_log_line_is_told() -> None:
    logged = set()
    for path in SOURCES:
        found = re.findall(
            r"\b(?:logger\.(?:info|warning|error|exception)|log|_shrug)\(\s*\"([^\"]+)\"",
            path.read_text(),
        )
        logged.update(found)
    assert len(logged) > 15
    # The rest is about one part of what the page tells of, or follows from it.
    untold = {"looks cut short", "cannot look for KubeRay"}
    assert {line for line in logged if f"`{line}`" not in section("Logs")} == untold
