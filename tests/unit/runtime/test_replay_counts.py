"""What a dead worker passed on is made again, and not counted again.

The race: 1. A worker reports some outputs of a batch, or of a global stage's `finish`, with what it
said of them. 2. It dies. 3. Another worker makes all of them again and passes on the rest. The
figures of the two together must be those of an undisturbed run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor import ProcessingStage
from tests.unit.runtime.hosting import Doc, ask, host_of, roots

COUNT = 12


class Gives(ProcessingStage[Doc, Doc]):
    """Says something of each of its outputs."""

    name = "gives"

    def give(self) -> Iterator[Doc]:
        for n in range(COUNT):
            self._log_dropped("twin", 2)
            self._log_kept()
            self._log_metric("seen", 1.0)
            yield Doc(data=n)

    def process(self, task: Doc) -> Iterator[Doc]:
        return self.give()


class GivesAtTheEnd(Gives):
    is_global_stage = True

    def process(self, task: Doc) -> None:  # type: ignore[override]
        return None

    def finish(self) -> Iterator[Doc]:
        return self.give()


@pytest.mark.parametrize("skip", [0, 5, COUNT])
@pytest.mark.parametrize("stage", [Gives, GivesAtTheEnd])
def test_figures_of_a_replay_are_those_of_what_it_adds(stage: type[Gives], skip: int) -> None:
    host = host_of(stage())
    answer: Any
    if stage is GivesAtTheEnd:
        ask(host, roots("x"))
        answer = ask(host, finish=True, skip=skip)
    else:
        answer = ask(host, roots("x"), skip=skip)
    added = COUNT - skip
    figures = [figures for report in answer.reports for figures in report.figures]
    assert sum(each.tasks_out for each in figures) == added
    assert sum(each.kept for each in figures) == added
    assert sum(each.dropped.get("twin", 0) for each in figures) == 2 * added
    assert sum(each.metrics.get("seen", 0.0) for each in figures) == added
