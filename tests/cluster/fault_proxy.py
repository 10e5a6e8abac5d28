"""A proxy in front of the API server that spoils answers, by a seed.

Used by the storm: the operator's kubeconfig points here. Before or after a request took effect the
connection is cut, an error is answered, or the answer is late or never comes. What becomes of a
request depends on the seed, on which life it is about, and on how often that life has asked for the
same; so a life meets the same faults again when its storm is repeated.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import yaml
from aiohttp import web

LIFE = re.compile(rb"life-\d+")
# Longer than the operator waits.
SILENT_S = 60.0
SLOWEST_S = 1.5
WATCH_LASTS_S = (0.5, 8.0)
# Of a hundred writes, and of a hundred reads.
SPOILED_WRITES = 9.0
SPOILED_READS = 3.0
# Belong to one connection, or are made anew.
NOT_PASSED_ON = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding"}


class Spoiled(Enum):
    """What becomes of a request."""

    CONFLICT = "409, nothing done"
    ERROR = "500, nothing done"
    CUT = "connection cut, nothing done"
    DONE_ERROR = "done, answered 500"
    DONE_CUT = "done, connection cut"
    DONE_LATE = "done, answered late"
    DONE_SILENT = "done, never answered"
    WATCH_CUT = "watch cut"


OF_WRITES = [one for one in Spoiled if one is not Spoiled.WATCH_CUT]
OF_READS = [Spoiled.ERROR, Spoiled.CUT, Spoiled.DONE_LATE]
BEFORE = {Spoiled.CONFLICT: 409, Spoiled.ERROR: 500}


class Asked(NamedTuple):
    """One request: which life it is about ("" for lists), what it is, and its body."""

    life: str
    what: str
    body: bytes


class Note(NamedTuple):
    """A request that was spoiled, for the story of its life; `at` is seconds since 1970."""

    at: float
    life: str
    what: str
    spoiled: Spoiled


class FaultProxy:
    """The proxy; an async context manager.

    Args:
        kubeconfig: of the API server behind it.
        seed: of the faults.
        look: called with every request before it goes on.

    Attributes:
        notes: what was spoiled.
        is_on: whether it spoils anything; else it only passes on.
    """

    def __init__(self, kubeconfig: Path, seed: str, look: Callable[[Asked], None]) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._upstream = cluster["server"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._config = config
        self._seed = seed
        self._look = look
        self._asked: Counter[tuple[str, str]] = Counter()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.notes: list[Note] = []
        self.is_on = True
        self.url = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig with the same rights that leads here."""
        named = {**self._config["clusters"][0], "cluster": {"server": self.url}}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({**self._config, "clusters": [named]}))
        return path

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = asked_of(request.method, request.path, body)
        self._look(asked)
        if "watch" in request.query:
            return await self._watch(request)
        spoiled, chance = self._spoiled(request.method, asked)
        if spoiled is None:
            return await self._passed_on(request, body)
        self.notes.append(Note(time.time(), asked.life, asked.what, spoiled))
        if spoiled in BEFORE:
            return _status(BEFORE[spoiled])
        if spoiled is Spoiled.CUT:
            return _cut(request)
        answer = await self._passed_on(request, body)
        if spoiled is Spoiled.DONE_CUT:
            return _cut(request)
        if spoiled is Spoiled.DONE_ERROR:
            return _status(500)
        await asyncio.sleep(SILENT_S if spoiled is Spoiled.DONE_SILENT else chance * SLOWEST_S)
        return answer

    def _spoiled(self, method: str, asked: Asked) -> tuple[Spoiled | None, float]:
        """What becomes of this request, and a number from 0 to 1."""
        self._asked[asked.life, asked.what] += 1
        if not self.is_on:
            return None, 0.0
        count = self._asked[asked.life, asked.what]
        chance = random.Random(f"{self._seed} {asked.life} {asked.what} {count}")
        reads = method == "GET"
        if chance.uniform(0, 100) >= (SPOILED_READS if reads else SPOILED_WRITES):
            return None, 0.0
        return chance.choice(OF_READS if reads else OF_WRITES), chance.random()

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        async with self._ask(request, body) as answer:
            text = await answer.read()
            return web.Response(status=answer.status, body=text, headers=_kept(answer.headers))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Pass a watch on until its time is over: then it is cut within an event or between two."""
        chance = random.Random(f"{self._seed} {request.path} {len(self.notes)}")
        lasts_s = chance.uniform(*WATCH_LASTS_S)
        async with self._ask(request, b"") as answer:
            given = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await given.prepare(request)
            try:
                async with asyncio.timeout(lasts_s if self.is_on else None):
                    async for part in answer.content.iter_any():
                        await given.write(part)
            except TimeoutError:
                self.notes.append(Note(time.time(), "", request.path, Spoiled.WATCH_CUT))
                return _cut(request)
            except (ConnectionError, aiohttp.ClientError):
                # The operator died, or the API server ended it.
                return _cut(request)
            return given

    def _ask(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        assert self._session, "outside of `async with`"
        url = f"{self._upstream}{request.raw_path}"
        # Else the answer comes compressed, is unpacked here, and still says that it is not.
        headers = {**_kept(request.headers), "Accept-Encoding": "identity"}
        return self._session.request(request.method, url, data=body or None, headers=headers)


def asked_of(method: str, path: str, body: bytes) -> Asked:
    """What a request is about: `PATCH curatorpipelines/status` of `life-7`."""
    parts = path.split("/")
    life = LIFE.search(path.encode()) or LIFE.search(body)
    kind = parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else parts[-1]
    sub = "/status" if parts[-1] == "status" else ""
    return Asked(life[0].decode() if life else "", f"{method} {kind}{sub}", body)


def _kept(headers: aiohttp.typedefs.LooseHeaders) -> dict[str, str]:
    return {
        str(name): str(text)
        for name, text in dict(headers).items()
        if str(name).lower() not in NOT_PASSED_ON
    }


def _status(code: int) -> web.Response:
    reason = "Conflict" if code == 409 else "InternalError"
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    said |= {"reason": reason, "message": "ordered by the storm"}
    return web.Response(status=code, text=json.dumps(said), content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
