"""`Api`: plain JSON requests and watches on the benchmark's own API server.

Used by the load, the stand-in and the observer. It shares nothing with the operator's client, so
that what it sees is seen from outside.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

Json = dict[str, Any]
PIPELINES = "apis/curator.dev/v1alpha1"
RAYCLUSTERS = "apis/ray.io/v1"
CORE = "api/v1"
MERGE_PATCH = "application/merge-patch+json"
# Longer than any benchmark.
WATCH_S = 7200
ANSWER_WITHIN_S = 30.0
REOPEN_AFTER_S = 0.2
# The API server asks for patience, as while it fills a cache anew.
BUSY = 429
BUSY_FOR_S = 0.5
PATIENCE = 20
CONNECTIONS = 64


class ApiFailed(Exception):
    """The API server refused a request or a watch.

    Attributes:
        code: HTTP status; 0 where a watch told of an error.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """A pool of connections with the rights of a kubeconfig; an async context manager.

    Attributes:
        reopened: how often a watch ended and was taken up again.
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._url = cluster["server"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._session: aiohttp.ClientSession | None = None
        self.reopened = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._trust),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Json:
        """The object in the answer.

        Raises:
            ApiFailed: it is an error.
        """
        code, text = await self._once(method, path, body, content_type)
        for _ in range(PATIENCE):
            if code != BUSY:
                break
            await asyncio.sleep(BUSY_FOR_S)
            code, text = await self._once(method, path, body, content_type)
        if code >= 300:
            raise ApiFailed(f"{method} {path}: {code} {text[:500]!r}", code)
        found: Json = json.loads(text)
        return found

    async def _once(
        self, method: str, path: str, body: Any, content_type: str
    ) -> tuple[int, bytes]:
        assert self._session, "outside of `async with`"
        async with self._session.request(
            method,
            f"{self._url}/{path}",
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
        ) as answer:
            return answer.status, await answer.read()

    async def watch(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Json]]:
        """Everything that is there, then each change, as (type, object).

        The API server ends the watch of a reader that is slow for a moment, as on a busy machine:
        it is then taken up where it ended, and nothing is missed.

        Raises:
            ApiFailed: the watch was refused, or what happened meanwhile is not known any more.
        """
        asked = {"watch": "1", "timeoutSeconds": str(WATCH_S), **(query or {})}
        while True:
            async for kind, obj in self._stream(path, asked):
                asked["resourceVersion"] = obj["metadata"]["resourceVersion"]
                yield kind, obj
            self.reopened += 1
            await asyncio.sleep(REOPEN_AFTER_S)

    async def _stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        assert self._session, "outside of `async with`"
        async with self._session.get(
            f"{self._url}/{path}", params=query, timeout=aiohttp.ClientTimeout(total=None)
        ) as stream:
            if stream.status == BUSY:
                return
            if stream.status >= 300:
                raise ApiFailed(f"watch of {path}: {await stream.text()}", stream.status)
            rest = b""
            async for chunk in stream.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
                        if _is_busy(event):
                            return
                        raise ApiFailed(f"watch of {path}: {line[:500]!r}")
                    yield event["type"], event["object"]


def _is_busy(said: Json) -> bool:
    """Whether an error in a watch's stream asks for patience."""
    status = said.get("object", said)
    return bool(status.get("code") == BUSY)


async def until_cancelled(*work: Any) -> None:
    """Run coroutines together; the first that fails ends all."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
