"""docs/concepts/lifecycle.md says what the code says: all phases, all reasons, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from curator_api.v1alpha1.status import ENDED, ConditionType, Phase
from curator_operator.reconcile.phases import ACTIVE, NEXT
from curator_operator.reconcile.reasons import Reason

PAGE = Path(__file__).parents[4] / "docs" / "concepts" / "lifecycle.md"


def section(title: str) -> str:
    """What stands under a heading of any level, up to the next of that level."""
    text = PAGE.read_text(encoding="utf-8")
    level, rest = re.split(rf"^(#+) {title}$", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_every_reason_in_the_code_is_explained_and_no_other() -> None:
    assert set(first_column(section("Conditions"))) == {reason.value for reason in Reason}


def test_every_reason_is_used_in_the_code() -> None:
    import curator_operator.reconcile as package

    sources = [
        path.read_text(encoding="utf-8")
        for path in Path(package.__path__[0]).glob("*.py")
        if path.name != "reasons.py"
    ]
    unused = [one for one in Reason if not any(f"Reason.{one.name}" in text for text in sources)]
    assert unused == []


def test_every_condition_has_its_section() -> None:
    titles = re.findall(r"^### (.*)$", section("Conditions"), flags=re.MULTILINE)
    assert set(re.findall(r"[A-Z]\w+", " ".join(titles))) == set(get_args(ConditionType))


def test_the_phases_and_what_may_follow_are_those_of_the_table_in_the_code() -> None:
    written: dict[str, set[str]] = {}
    for row in re.findall(r"^\| (`.*) \|$", section("Phases"), flags=re.MULTILINE):
        phase, _, after = (cell.strip() for cell in (row + " ").split(" | ", 2))
        for name in re.findall(r"`(\w+)`", phase):
            written[name] = set(re.findall(r"`([A-Z]\w+)`", after))
    assert written == {name: set(after) for name, after in NEXT.items() if name}


def test_the_table_of_phases_is_about_every_phase() -> None:
    assert {name for name in NEXT if name} == set(get_args(Phase))
    assert all(not NEXT[phase] for phase in ENDED)
    assert not ACTIVE & ENDED
