"""Open a file for reading, decompressed by its suffix, so that damage is noticed. For readers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa

from curator_executor.stages.files import open_filesystem

_BUFFER_BYTES = 1 << 20


@contextmanager
def open_stream(path: str, options: Mapping[str, Any] | None = None) -> Iterator[BinaryIO]:
    """A file's bytes: `.gz`, `.bz2`, `.xz` and `.zst` are decompressed, several members too.

    Raises:
        OSError: the file cannot be opened.
    """
    filesystem, inner = open_filesystem(path, options)
    with filesystem.open(inner, "rb") as raw, _decompressed(raw, path) as stream:
        yield stream


def _decompressed(raw: Any, path: str) -> BinaryIO:
    if path.endswith(".gz"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))
    if path.endswith(".bz2"):
        return cast("BinaryIO", bz2.BZ2File(raw))
    if path.endswith(".xz"):
        return cast("BinaryIO", lzma.LZMAFile(raw))
    if path.endswith(".zst"):
        # PyArrow's: the readers of `zstandard` end without an error where a file is cut off.
        return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"), _BUFFER_BYTES)
    return cast("BinaryIO", raw)


def is_damage(error: BaseException) -> bool:
    """Whether an error of reading is about the content, not about the disk or the network."""
    if isinstance(error, (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)):
        return True
    if isinstance(error, pa.ArrowException):
        return True
    # Decompressors raise OSError without a number; the operating system always gives one.
    return type(error) is OSError and error.errno is None
