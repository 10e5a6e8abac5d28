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
# Longer than any benchmark: a watch that ends is an error here, not an interruption.
WATCH_S = 7200
ANSWER_WITHIN_S = 30.0
CONNECTIONS = 64


class ApiFailed(Exception):
    """The API server refused a request, or a watch ended.

    Attributes:
        code: HTTP status; 0 for a watch that ended.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """A pool of connections with the rights of a kubeconfig; an async context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._url = cluster["server"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._session: aiohttp.ClientSession | None = None

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
        assert self._session, "outside of `async with`"
        async with self._session.request(
            method,
            f"{self._url}/{path}",
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
        ) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise ApiFailed(f"{method} {path}: {answer.status} {text[:500]!r}", answer.status)
        found: Json = json.loads(text)
        return found

    async def watch(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Json]]:
        """Everything that is there, then each change, as (type, object).

        Raises:
            ApiFailed: the watch was refused or ended.
        """
        assert self._session, "outside of `async with`"
        asked = {"watch": "1", "timeoutSeconds": str(WATCH_S), **(query or {})}
        async with self._session.get(
            f"{self._url}/{path}", params=asked, timeout=aiohttp.ClientTimeout(total=None)
        ) as stream:
            rest = b""
            async for chunk in stream.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
                        raise ApiFailed(f"watch of {path}: {line[:500]!r}")
                    yield event["type"], event["object"]
        raise ApiFailed(f"the watch of {path} ended")


async def until_cancelled(*work: Any) -> None:
    """Run coroutines together; the first that fails ends all."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
