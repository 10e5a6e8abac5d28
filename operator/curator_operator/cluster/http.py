"""Requests to Ray heads and drivers: bounded in time and size, with errors by kind.

Used by `jobs` and `driver`. What answers there is software in the user's image, so nothing of an
answer is trusted: not its size, not its form, not its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

MiB = 1024 * 1024
# Connecting is quick or does not happen: a head that is gone must not hold a poll for long.
_CONNECT_S = 3.0
_CONNECTIONS = 128
_TOLD = 600


class HeadError(Exception):
    """A Ray head or driver did not do as it was asked; the message says which and what.

    ├─ Unreachable    no connection, or no whole answer in time
    ├─ Unauthorized   401 or 403
    ├─ NotFound       404
    ├─ Refused        any other status that says no
    ├─ TooLarge       the answer is longer than it may be
    └─ BadReply       the answer is not what was agreed

    Attributes:
        code: HTTP status; 0 where there was none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(HeadError):
    """No connection, or no whole answer in time."""


class Unauthorized(HeadError):
    """The token is not the one that is wanted there."""


class NotFound(HeadError):
    """What was asked for is not there."""


class Refused(HeadError):
    """The request was understood and refused, or failed there."""


class TooLarge(HeadError):
    """The answer is longer than it may be."""


class BadReply(HeadError):
    """The answer is not what was agreed."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and the token that opens it ("": none)."""

    url: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


class Heads:
    """One pool of connections to all Ray heads and drivers."""

    def __init__(
        self, timeout_s: float, connector: Callable[[], aiohttp.BaseConnector] | None = None
    ) -> None:
        """Requests of at most `timeout_s` seconds each, connecting included."""
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        self._connector = connector if connector is not None else _tcp
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=self._connector(),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self,
        method: str,
        at: Endpoint,
        path: str,
        *,
        body: Any = None,
        most_bytes: int = MiB,
        patience: float = 1.0,
    ) -> bytes:
        """The body of a good answer.

        Args:
            method: such as `GET`.
            at: whom to ask.
            path: appended to the URL of `at`.
            body: bytes are sent as they are, anything else but None as JSON.
            most_bytes: longest answer that is taken.
            patience: how many times the usual limit the answer may take.

        Raises:
            HeadError: one of its kinds.
        """
        if self._session is None:
            raise RuntimeError("Heads.ask outside of `async with`")
        url = at.url.rstrip("/") + path
        headers = {"x-ray-authorization": f"Bearer {at.token}"} if at.token else {}
        try:
            async with self._session.request(
                method,
                url,
                **_sent(body),
                headers=headers,
                allow_redirects=False,
                timeout=_patient(self._timeout, patience),
            ) as answer:
                text = await _bounded(answer, most_bytes, f"{method} {url}")
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise Unreachable(f"{method} {url}: {what}") from error
        if 200 <= status < 300:
            return text
        raise _error(f"{method} {url}", status, text)


def _tcp() -> aiohttp.BaseConnector:
    # A pod's address is used for minutes, then never again: few idle connections are kept.
    return aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=20)


def _sent(body: Any) -> dict[str, Any]:
    return {"data": body} if isinstance(body, bytes) else {"json": body}


def _patient(timeout: aiohttp.ClientTimeout, patience: float) -> aiohttp.ClientTimeout:
    total = None if timeout.total is None else timeout.total * patience
    return aiohttp.ClientTimeout(total=total, sock_connect=timeout.sock_connect)


async def _bounded(answer: aiohttp.ClientResponse, most_bytes: int, what: str) -> bytes:
    parts = []
    size = 0
    async for part in answer.content.iter_chunked(64 * 1024):
        size += len(part)
        if size > most_bytes:
            # Leaving the block closes the connection, so that the rest is never read.
            answer.close()
            raise TooLarge(f"{what}: answer is longer than {most_bytes} bytes", answer.status)
        parts.append(part)
    return b"".join(parts)


def _error(what: str, status: int, text: bytes) -> HeadError:
    told = f"{what}: {status} {text[-_TOLD:].decode(errors='replace').strip()}"
    if status in {401, 403}:
        return Unauthorized(told, status)
    if status == 404:
        return NotFound(told, status)
    return Refused(told, status)


def as_object(text: bytes, what: str) -> dict[str, Any]:
    """The JSON object that an answer holds.

    Raises:
        BadReply: it holds none.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadReply(f"{what}: wanted JSON, got {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise BadReply(f"{what}: wanted a JSON object, got {text[:200]!r}")
    return value
