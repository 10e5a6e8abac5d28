"""`TokenCount`: how many tokens a text has, by a vocabulary that is installed with its library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch
from curator_executor.stages import arguments
from curator_executor.stages.documents import DocumentStage, like, table_of, with_column

# Vocabularies in mistral-common's wheel, 131,072 entries each; the second is the newer one.
TOKENIZERS = {"tekken-240718": "tekken_240718.json", "tekken-240911": "tekken_240911.json"}
Count = Callable[[str], int]


@dataclass(eq=False, repr=False)
class TokenCount(DocumentStage):
    """Add the column `token_count`, and record the metric `tokens`.

    Attributes:
        tokenizer: `tekken-240911`, `tekken-240718`, or the path of a Tekken vocabulary (`.json`).
        column: name of the new column.
        text_field: column of the text.
    """

    tokenizer: str = "tekken-240911"
    column: str = "token_count"
    text_field: str = "text"
    name: str = "token_count"

    def __post_init__(self) -> None:
        if not str(self.tokenizer).endswith(".json"):
            arguments.one_of("TokenCount", "tokenizer", self.tokenizer, TOKENIZERS)
        else:
            self.tokenizer = str(Path(self.tokenizer).absolute())
        arguments.column_name("TokenCount", "column", self.column)
        arguments.column_name("TokenCount", "text_field", self.text_field)

    def outputs(self) -> tuple[list[str], list[str]]:
        """The count."""
        return ["data"], [self.column]

    def check(self) -> None:
        """Look whether the vocabulary is there, before any worker starts.

        Raises:
            FileNotFoundError: it is not.
            ValueError: its library is not installed.
        """
        path = vocabulary_path(self.tokenizer)
        if not path.is_file():
            raise FileNotFoundError(f"TokenCount: tokenizer {self.tokenizer}: no file {path}")

    def setup(self, worker_metadata: Any = None) -> None:
        """Load the vocabulary (about 2 s)."""
        self._counter()

    def teardown(self) -> None:
        """Let the vocabulary go."""
        self.__dict__.pop("_count", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_count"}

    def _counter(self) -> Count:
        if "_count" not in self.__dict__:
            self.__dict__["_count"] = load_counter(self.tokenizer)
        count: Count = self.__dict__["_count"]
        return count

    def process(self, task: DocumentBatch) -> DocumentBatch:
        """The documents with their counts."""
        table = table_of(task)
        counts = self.map_texts(table, self.texts(table), self._counter())
        self.add_to_metric("tokens", sum(counts))
        return like(task, with_column(table, self.column, pa.array(counts, pa.int64())))


def vocabulary_path(tokenizer: str) -> Path:
    """Where the vocabulary of a tokenizer is.

    Raises:
        ValueError: mistral-common is not installed.
    """
    if tokenizer not in TOKENIZERS:
        return Path(tokenizer)
    spec = find_spec("mistral_common")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            "TokenCount: mistral-common is not installed; install curator-operator[text]"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / TOKENIZERS[tokenizer]


def load_counter(tokenizer: str) -> Count:
    """A function that counts the tokens of a text, without marks for its begin and end."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    encode = Tekkenizer.from_file(vocabulary_path(tokenizer)).encode

    def count(text: str) -> int:
        return len(encode(text, bos=False, eos=False))

    return count
