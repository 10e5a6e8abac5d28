"""Change texts: mend Unicode, tidy white space, keep the good lines, apply the user's functions."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch
from curator_executor.stages import arguments
from curator_executor.stages.documents import DocumentStage, like, table_of, with_column

# What ftfy could change: anything but printable ASCII, and the & of an HTML entity.
_MAY_NEED_MENDING = re.compile(r"[^\t\n\x20-\x25\x27-\x7e]")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
NORMAL_FORMS = ("NFC", "NFKC", "NFD", "NFKD", "none")

# C4: Raffel et al. 2020, section 2.2. Lines end in a terminal punctuation mark: a period,
# exclamation mark, question mark or end quotation mark.
C4_LINE_ENDS = (".", "!", "?", '"', "”")
# C4, section 2.2; the released code asks for 5 words a line (and then 3 sentences a page).
C4_MIN_WORDS_PER_LINE = 3
# C4, section 2.2: lines with the word Javascript, and boilerplate policy notices, are removed.
C4_LINE_PHRASES = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
# Released code of C4: a line that ends so was cut off, whatever its last character.
_C4_CUT_OFF = "..."


class _TextChange(DocumentStage):
    """Gives every document a new text; documents whose text becomes empty are dropped."""

    @abstractmethod
    def change(self, text: str) -> str:
        """The new text."""

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """The documents with their new texts; None if none is left."""
        table = table_of(task)
        before = self.texts(table)
        after = self.map_texts(table, before, self.change)
        changed = sum([old != new for old, new in zip(before, after, strict=True)])
        self.add_to_metric("documents_changed", changed)
        if not changed:
            self._log_kept(len(before))
            return like(task, table)
        kept = [bool(new) or not old for old, new in zip(before, after, strict=True)]
        for old, keep in zip(before, kept, strict=True):
            if not keep:
                self._log_dropped("nothing left of the text", sample=old)
        self._log_kept(sum(kept))
        table = with_column(table, self.text_field, pa.array(after, type=pa.string()))
        return self.kept_rows(task, table, kept)


@dataclass(eq=False, repr=False)
class FixUnicode(_TextChange):
    """Mend text that was decoded wrongly (`schÃ¶n` → `schön`), HTML entities, control characters.

    Attributes:
        normalization: Unicode normal form, or `none`.
        straight_quotes: replace curly quotes.
        text_field: column of the text.
    """

    normalization: str = "NFC"
    straight_quotes: bool = False
    text_field: str = "text"
    name: str = "fix_unicode"

    def __post_init__(self) -> None:
        arguments.one_of("FixUnicode", "normalization", self.normalization, NORMAL_FORMS)
        arguments.column_name("FixUnicode", "text_field", self.text_field)

    def setup(self, worker_metadata: Any = None) -> None:
        """Load ftfy."""
        self._fixer()

    def _fixer(self) -> Callable[[str], str]:
        fixer: Callable[[str], str] | None = self.__dict__.get("_fix")
        if fixer is None:
            import ftfy

            form: Any = None if self.normalization == "none" else self.normalization
            config = ftfy.TextFixerConfig(
                normalization=form, uncurl_quotes=self.straight_quotes, explain=False
            )

            def fixer(text: str) -> str:
                return str(ftfy.fix_text(text, config))

            self.__dict__["_fix"] = fixer
        return fixer

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_fix"}

    def change(self, text: str) -> str:
        """The mended text."""
        if not _MAY_NEED_MENDING.search(text):
            return text
        return self._fixer()(text)


@dataclass(eq=False, repr=False)
class NormalizeWhitespace(_TextChange):
    """One kind of line end, no runs of spaces, none at the ends of lines, few blank lines.

    Attributes:
        max_blank_lines: blank lines in a row that stay.
        keep_indent: leave white space at the start of lines, for code.
        text_field: column of the text.
    """

    max_blank_lines: int = 1
    keep_indent: bool = False
    text_field: str = "text"
    name: str = "normalize_whitespace"

    def __post_init__(self) -> None:
        arguments.whole("NormalizeWhitespace", "max_blank_lines", self.max_blank_lines, least=0)
        arguments.column_name("NormalizeWhitespace", "text_field", self.text_field)
        self._too_many = re.compile(f"\n{{{self.max_blank_lines + 2},}}")
        self._allowed = "\n" * (self.max_blank_lines + 1)

    def change(self, text: str) -> str:
        """The tidied text."""
        text = _LINE_ENDS.sub("\n", text)
        tidy = self._indented if self.keep_indent else _tidy
        text = "\n".join([tidy(line) for line in text.split("\n")])
        text = self._too_many.sub(self._allowed, text)
        return text.strip("\n") if self.keep_indent else text.strip()

    @staticmethod
    def _indented(line: str) -> str:
        body = line.lstrip()
        return line[: len(line) - len(body)] + _tidy(body) if body else ""


def _tidy(line: str) -> str:
    return _SPACES.sub(" ", line).strip()


@dataclass(eq=False, repr=False)
class C4Lines(_TextChange):
    """Keep the lines that C4 keeps: whole sentences, of several words, no notices.

    Attributes:
        min_words: words in a line.
        line_ends: what a line ends in.
        phrases: what no line contains, in any case.
        text_field: column of the text.
    """

    min_words: int = C4_MIN_WORDS_PER_LINE
    line_ends: Sequence[str] = C4_LINE_ENDS
    phrases: Sequence[str] = C4_LINE_PHRASES
    text_field: str = "text"
    name: str = "c4_lines"

    def __post_init__(self) -> None:
        arguments.whole("C4Lines", "min_words", self.min_words)
        arguments.column_name("C4Lines", "text_field", self.text_field)
        self._ends = tuple(arguments.texts("C4Lines", "line_ends", self.line_ends))
        self._phrases = [p.lower() for p in self.phrases]

    def change(self, text: str) -> str:
        """The lines that stay."""
        return "\n".join(filter(self._is_kept, map(str.strip, text.split("\n"))))

    def _is_kept(self, line: str) -> bool:
        if not line.endswith(self._ends) or line.endswith(_C4_CUT_OFF):
            return False
        if len(line.split()) < self.min_words:
            return False
        lowered = line.lower()
        return not any(phrase in lowered for phrase in self._phrases)


@dataclass(eq=False, repr=False)
class Modify(_TextChange):
    """Apply functions of the user's, one after another.

    Attributes:
        functions: a function from text to text, `package.module:function`, or a list of these.
        text_field: column of the text.
    """

    functions: Any = ()
    text_field: str = "text"
    name: str = "modify"

    def __post_init__(self) -> None:
        listed = self.functions if isinstance(self.functions, (list, tuple)) else [self.functions]
        if not listed:
            raise ValueError("Modify: functions must name at least one function")
        self._calls = [arguments.function("Modify", "functions", call) for call in listed]
        arguments.column_name("Modify", "text_field", self.text_field)

    def change(self, text: str) -> str:
        """What the functions make of the text.

        Raises:
            TypeError: a function returned something that is no text.
        """
        for call in self._calls:
            text = call(text)
            if not isinstance(text, str):
                name = getattr(call, "__name__", repr(call))
                raise TypeError(f"Modify: {name} returned {type(text).__name__}, wanted text")
        return text
