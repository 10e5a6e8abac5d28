"""`Transcript`: a copy of what a command prints and logs. Kept for `driver.log` of the artifacts.

Standard output and error still get everything. What libraries write to the file descriptors
themselves, past Python, is not seen here.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

# A run of weeks may print without end: its beginning is kept, and one to two parts of its end.
PART_BYTES = 32 * 1024 * 1024
# Colours and cursor movements.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Transcript:
    """A text file of bounded size.

    Args:
        directory: an existing one, for the parts.
        part_bytes: greatest size of a part.
    """

    def __init__(self, directory: Path, part_bytes: int = PART_BYTES) -> None:
        self._head = directory / "log.head"
        self._before = directory / "log.before"
        self._tail = directory / "log.tail"
        self._part_bytes = part_bytes
        self._file = self._head.open("wb")
        self._in_head = True
        self._left_out = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Add text; called from any thread. After `save`, and on a full disk, it is left out."""
        data = _ANSI.sub("", text).encode("utf-8", "replace")
        with self._lock:
            if self._file.closed:
                return
            try:
                if self._file.tell() + len(data) > self._part_bytes:
                    self._next_part()
                self._file.write(data)
            except OSError:
                self._left_out += len(data)

    def _next_part(self) -> None:
        self._file.close()
        if not self._in_head:
            if self._before.exists():
                self._left_out += self._before.stat().st_size
            self._tail.replace(self._before)
        self._in_head = False
        self._file = self._tail.open("wb")

    def save(self, path: Path) -> None:
        """Write the whole to a file and take no more."""
        with self._lock:
            self._file.close()
            with path.open("wb") as whole:
                self._append(self._head, whole)
                if self._left_out:
                    whole.write(f"\n… {self._left_out} bytes left out here …\n".encode())
                self._append(self._before, whole)
                self._append(self._tail, whole)

    def _append(self, part: Path, whole: Any) -> None:
        if part.exists():
            with part.open("rb") as source:
                shutil.copyfileobj(source, whole)

    def over(self, stream: TextIO) -> TextIO:
        """The stream, with a copy of what is written to it here."""
        return cast("TextIO", _Tee(stream, self))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Copy standard output and error meanwhile."""
        out, err = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.over(out), self.over(err)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


class _Tee:
    """A stream that writes to another one and to a transcript; all else is the other one's."""

    def __init__(self, stream: TextIO, transcript: Transcript) -> None:
        self._stream = stream
        self._transcript = transcript

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        self._transcript.write(text)
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
