"""Drop documents: `QualityFilter` by published rules, `Filter` by a function of the user's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curator_executor.api import DocumentBatch
from curator_executor.stages import arguments
from curator_executor.stages.documents import DocumentStage, table_of
from curator_executor.stages.rules import Rule, compile_rules
from curator_executor.stages.text_view import TextView


class _FilterStage(DocumentStage):
    """Keeps the documents that no reason speaks against."""

    @abstractmethod
    def why_dropped(self, text: str) -> str | None:
        """Why a text is dropped, or None."""

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """The documents that stay; None if none do."""
        table = table_of(task)
        texts = self.texts(table)
        reasons = self.map_texts(table, texts, self.why_dropped)
        kept = [reason is None for reason in reasons]
        for text, reason in zip(texts, reasons, strict=True):
            if reason is not None:
                self._log_dropped(reason, sample=text)
        if any(kept):
            self._log_kept(sum(kept), sample=texts[kept.index(True)])
        return self.kept_rows(task, table, kept)


@dataclass(eq=False, repr=False)
class QualityFilter(_FilterStage):
    """Drop documents by published heuristics; the first rule that fails is the reason.

    Attributes:
        rules: a set (`gopher`, `gopher_quality`, `gopher_repetition`, `c4`, `fineweb`), a rule's
            name, a dict with a rule's name under `rule` and thresholds, or a list of these.
        text_field: column of the text.
    """

    rules: Any = "gopher"
    text_field: str = "text"
    name: str = "quality_filter"

    def __post_init__(self) -> None:
        self._compiled: list[Rule] = compile_rules("QualityFilter", self.rules)
        arguments.column_name("QualityFilter", "text_field", self.text_field)

    def why_dropped(self, text: str) -> str | None:
        """The first rule that speaks against the text."""
        view = TextView(text)
        for rule in self._compiled:
            found = rule(view)
            if found is not None:
                return found
        return None


@dataclass(eq=False, repr=False)
class Filter(_FilterStage):
    """Keep the documents of which a function of the user's is true.

    Attributes:
        keep: a function of the text, or `package.module:function`.
        reason: what dropped documents are counted under; by default the function's name.
        text_field: column that the function gets.
    """

    keep: str | Callable[[str], Any] = ""
    reason: str = ""
    text_field: str = "text"
    name: str = "filter"

    def __post_init__(self) -> None:
        function = arguments.function("Filter", "keep", self.keep)
        arguments.column_name("Filter", "text_field", self.text_field)
        name = self.keep if isinstance(self.keep, str) else getattr(function, "__name__", "keep")
        self._reason = self.reason or f"not {name}"
        self._keep = function

    def why_dropped(self, text: str) -> str | None:
        """The reason, where the function is not true of the text."""
        return None if self._keep(text) else self._reason
