"""Write a file whole or not at all. Called by the writers.

On a disk: a temporary name in the same directory, flushed, then renamed. On an object store: one
PUT of the complete object. The temporary name is made from the final one and locked while it is
written, so that a retry takes it over and a clean-up leaves files of live writers alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curator_executor.stages.files import is_local

TEMPORARY_PREFIX = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Some network file systems have no locks: then the names alone have to do.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def write_whole(filesystem: Any, path: str, content: bytes) -> None:
    """Put `content` at `path`, replacing what is there.

    Raises:
        OSError: the disk is full, or the directory cannot be written; `path` is as it was.
    """
    if not is_local(filesystem):
        filesystem.pipe_file(path, content)
        return
    final = Path(path)
    temporary = final.with_name(TEMPORARY_PREFIX + final.name)
    try:
        with _locked(temporary) as descriptor:
            try:
                os.truncate(descriptor, 0)
                _write_all(descriptor, content)
                os.fsync(descriptor)
                temporary.replace(final)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
        _sync_directory(final.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(error.errno, _full(final.parent, len(content)), path) from error


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """An open, locked file of that name; waits for another writer of it."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            with _ignoring(*_NO_LOCKS):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _ignoring(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the name still leads to the open file; another writer may have renamed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with _ignoring(errno.EINVAL, errno.EBADF):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(directory: Path, wanted: int) -> str:
    free = shutil.disk_usage(directory).free
    return (
        f"no space left on the disk for a file of {wanted:,} bytes ({free:,} free); free space or "
        "write elsewhere, then run again"
    )


def remove_leftovers(directory: str) -> int:
    """Remove temporary files that no live process holds; returns how many."""
    removed = 0
    for path in list(Path(directory).glob(f"{TEMPORARY_PREFIX}*")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    path.unlink()
                    removed += 1
            finally:
                os.close(descriptor)
    return removed


def require_writable(filesystem: Any, directory: str, shown: str) -> None:
    """Refuse a directory that cannot be made or written, without making it.

    Raises:
        ValueError: saying why.
    """
    if not is_local(filesystem):
        if filesystem.isfile(directory):
            raise ValueError(f"{shown}: is a file, wanted a directory")
        return
    place = Path(directory)
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"{shown}: {place} is a file, wanted a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{shown}: no permission to write into {place}")
    disk = os.statvfs(place)
    if disk.f_blocks and not disk.f_bavail:
        raise ValueError(f"{shown}: no space left on the disk of {place}")


def clock_of(filesystem: Any, directory: str) -> float:
    """Now, in seconds, by the clock that stamps this directory's files.

    A server's clock may differ from this machine's, so it is asked, with a file that goes at once.
    """
    probe = f"{directory}/{TEMPORARY_PREFIX}clock"
    filesystem.pipe_file(probe, b"")
    try:
        return float(filesystem.modified(probe).timestamp())
    finally:
        filesystem.rm_file(probe)
