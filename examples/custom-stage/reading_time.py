"""The user's own stage: how long a document takes to read."""

from __future__ import annotations

from curator_executor import DocumentBatch, ProcessingStage


class ReadingTime(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds a column `minutes` and drops documents that take too long.

    Args:
        words_per_minute: reading speed; text is taken too, as an environment variable gives it.
        longest_minutes: documents above this are dropped.
    """

    name = "reading-time"

    def __init__(self, words_per_minute: float | str = 200, longest_minutes: float = 5) -> None:
        self.words_per_minute = float(words_per_minute)
        self.longest_minutes = longest_minutes
        if self.words_per_minute <= 0:
            raise ValueError(f"words_per_minute must be above 0, got {words_per_minute}")

    def inputs(self) -> tuple[list[str], list[str]]:
        """Needs a column `text`."""
        return ["data"], ["text"]

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """Measure and filter one batch; nothing is passed on if nothing is left."""
        frame = task.to_pandas()
        minutes = frame["text"].str.count(r"\S+") / self.words_per_minute
        short = minutes <= self.longest_minutes
        for text in frame["text"][~short]:
            self._log_dropped("takes too long to read", sample=text)
        self._log_kept(int(short.sum()))
        kept = frame.assign(minutes=minutes.round(2))[short]
        if kept.empty:
            return None
        return DocumentBatch(
            dataset_name=task.dataset_name, data=kept, _metadata=dict(task._metadata)
        )
