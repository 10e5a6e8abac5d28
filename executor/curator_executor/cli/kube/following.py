"""`follow`: an object as it changes, from the API server's own watch.

Used by `watch` and by `logs --follow`. One list, then one stream of changes from the version that
was listed; nothing is asked twice unless the stream breaks. What is done about a broken stream is
decided here, with waiting handed in, so that tests need no clock.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from curator_executor.cli.kube.api import (
    Api,
    ApiError,
    ApiRefused,
    Object,
    Resource,
    path_of,
)

_EXPIRED = 410
# What waiting cannot mend: no longer logged in, no longer allowed, the kind is gone, a request
# that is wrong.
_HOPELESS = frozenset({400, 401, 403, 404})
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
# The server ends a stream after this long, as it would by itself; a bookmark comes every minute.
_STREAM_S = 300
_SILENT_S = 150.0


@dataclass(frozen=True)
class Seen:
    """The object as it is now."""

    obj: Object


@dataclass(frozen=True)
class Gone:
    """The object was deleted, or another one of its name took its place."""


@dataclass(frozen=True)
class Broken:
    """The stream broke; it is taken up again after a pause.

    Attributes:
        message: why.
        pause_s: how long the pause is.
    """

    message: str
    pause_s: float


class Source(Protocol):
    """One object on the API server."""

    def read(self) -> tuple[Object | None, str]:
        """The object, or None if there is none, and the version of the list that said so."""
        ...

    def changes(self, version: str) -> Iterator[Object]:
        """Watch events after a version, until the server ends the stream."""
        ...


class OneObject:
    """A `Source` of the API server, for one name."""

    def __init__(self, api: Api, resource: Resource, namespace: str, name: str) -> None:
        self._api = api
        self._path = path_of(resource, namespace)
        self._only = {"fieldSelector": f"metadata.name={name}"}

    def read(self) -> tuple[Object | None, str]:
        """The object, or None if there is none, and the version of the list that said so."""
        found = self._api.request("GET", self._path, query=self._only)
        items = found["items"]
        return (items[0] if items else None), str(found["metadata"]["resourceVersion"])

    def changes(self, version: str) -> Iterator[Object]:
        """Watch events after a version, until the server ends the stream."""
        query = {
            **self._only,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_STREAM_S),
        }
        for line in self._api.lines(self._path, query, _SILENT_S):
            if line.strip():
                yield json.loads(line)


def follow(
    source: Source,
    pause: Callable[[float], None],
    chance: Callable[[], float] = random.random,
) -> Iterator[Seen | Gone | Broken]:
    """The object whenever it has changed, `Gone` as the last word if it is deleted.

    Nothing is said where there is no object to begin with.

    Args:
        source: where it is.
        pause: waits so many seconds.
        chance: 0 to 1; spreads those who come back at the same time.

    Raises:
        ApiError: the first request failed, or a later one so that waiting does not help.
    """
    at = _Place(source)
    while not at.ended:
        wait_s = 0.0
        try:
            yield from at.listed()
            yield from at.streamed()
            # A server that ends streams at once must not be asked in a tight loop.
            if at.failures > 1:
                wait_s = pause_s(at.failures, chance())
        except ApiError as error:
            if at.is_hopeless(error):
                raise
            if not at.starts_anew(error):
                wait_s = pause_s(at.failures, chance())
                if isinstance(error, ApiRefused):
                    wait_s = max(wait_s, error.retry_after_s)
                yield Broken(str(error), wait_s)
        if wait_s:
            pause(wait_s)


class _Place:
    """How far an object has been followed.

    Attributes:
        failures: streams in a row that broke, or ended without a word.
        ended: there is nothing more to follow.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        # "" until there is a list to go on from.
        self._version = ""
        self._uid = ""
        self.failures = 0
        self.ended = False

    def listed(self) -> Iterator[Seen | Gone]:
        """The object from a list, unless there is one to go on from."""
        if self._version:
            return
        obj, self._version = self._source.read()
        if obj is None or (self._uid and _uid(obj) != self._uid):
            self.ended = True
            if self._uid:
                yield Gone()
            return
        self._uid = _uid(obj)
        yield Seen(obj)

    def streamed(self) -> Iterator[Seen | Gone]:
        """What changes from here on, until the server ends the stream."""
        if self.ended:
            return
        heard = False
        for event in self._source.changes(self._version):
            kind, obj = str(event["type"]), event["object"]
            if kind == "ERROR":
                raise _refused(obj)
            heard, self.failures = True, 0
            self._version = str(obj["metadata"]["resourceVersion"])
            if kind == "DELETED":
                self.ended = True
                yield Gone()
                return
            if kind != "BOOKMARK":
                yield Seen(obj)
        self.failures = 0 if heard else self.failures + 1

    def is_hopeless(self, error: ApiError) -> bool:
        """Whether waiting does not help: at the beginning an error is told at once."""
        return not self._uid or (isinstance(error, ApiRefused) and error.code in _HOPELESS)

    def starts_anew(self, error: ApiError) -> bool:
        """Count the failure; whether a new list is asked for at once."""
        self.failures += 1
        if not isinstance(error, ApiRefused) or error.code != _EXPIRED:
            return False
        self._version = ""
        return self.failures == 1


def pause_s(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, half of it by chance."""
    most = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
    return most * (0.5 + chance / 2)


def _uid(obj: Any) -> str:
    return str(obj["metadata"]["uid"])


def _refused(status: Object) -> ApiRefused:
    return ApiRefused(
        int(status.get("code") or 500),
        str(status.get("reason") or ""),
        str(status.get("message") or ""),
    )
