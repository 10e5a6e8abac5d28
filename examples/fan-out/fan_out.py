"""Stages of the fan-out example: files, their paragraphs, the longest sentence of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_executor import EmptyTask, FileGroupTask, Pipeline, ProcessingStage, Task


@dataclass
class Text(Task[str]):
    """A piece of text."""

    @property
    def num_items(self) -> int:
        """One piece."""
        return 1

    def validate(self) -> bool:
        """Whether there is any text."""
        return bool(self.data)


class Files(ProcessingStage[EmptyTask, FileGroupTask]):
    """One task for each text file of a folder."""

    name = "files"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).absolute()

    def check(self) -> str | None:
        """What is wrong with the folder, said before anything starts."""
        return None if list(self.folder.glob("*.txt")) else f"no *.txt in {self.folder}"

    def process(self, task: EmptyTask) -> list[FileGroupTask]:
        """List the folder."""
        return [
            FileGroupTask(dataset_name=file.stem, data=[str(file)])
            for file in sorted(self.folder.glob("*.txt"))
        ]


class Paragraphs(ProcessingStage[FileGroupTask, Text]):
    """One task for each paragraph of a file. It yields, so a long file is never held whole."""

    name = "paragraphs"

    def process(self, task: FileGroupTask) -> Iterator[Text]:
        """Read the files of the task."""
        for path in task.data:
            for paragraph in Path(path).read_text(encoding="utf-8").split("\n\n"):
                if paragraph.strip():
                    yield Text(dataset_name=task.dataset_name, data=" ".join(paragraph.split()))


class LongestSentence(ProcessingStage[Text, Text]):
    """The longest sentence of a paragraph, slowly: the sleep stands for a call to a model."""

    name = "longest-sentence"

    def __init__(self, seconds_per_paragraph: float) -> None:
        self.seconds_per_paragraph = seconds_per_paragraph

    def process(self, task: Text) -> Text:
        """Pick the sentence."""
        time.sleep(self.seconds_per_paragraph)
        sentences = [part.strip() for part in task.data.split(".") if part.strip()]
        return Text(dataset_name=task.dataset_name, data=max(sentences, key=len))


class Collect(ProcessingStage[Text, Text]):
    """Write every sentence into one file: it sees all of them before it writes."""

    name = "collect"
    is_global_stage = True

    def __init__(self, output: str) -> None:
        self.output = Path(output).absolute()
        self.lines: list[str] = []

    def process(self, task: Text) -> None:
        """Keep a sentence."""
        self.lines.append(f"{task.dataset_name}: {task.data}.")

    def finish(self) -> Iterator[Text]:
        """Write them, sorted, so that the order of arrival does not show."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.write_text("\n".join(sorted(self.lines)) + "\n", encoding="utf-8")
        yield Text(dataset_name="fan-out", data=str(self.output))


def build(folder: str, output: str, seconds_per_paragraph: float = 0.2) -> Pipeline:
    """The pipeline: `curator run` calls this with the manifest's `builder.args`."""
    stages: list[ProcessingStage[Any, Any]] = [
        Files(folder),
        Paragraphs(),
        LongestSentence(seconds_per_paragraph),
        Collect(output),
    ]
    return Pipeline("fan-out", stages=stages)
