"""The driver's HTTP endpoint: progress, metrics, drain. Made by `curator run --serve`.

`GET /progress` is the newest snapshot as JSON, `GET /metrics` the same as Prometheus text,
`POST /drain` ends the run gracefully, `GET /healthz` says that somebody answers. The server has a
thread of its own, so a busy run does not keep it from answering, nor a slow client the run.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from aiohttp import web

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.sinks.prometheus import CONTENT_TYPE, metrics_text
from curator_executor.sinks.wire import snapshot_json

log = logging.getLogger("curator_executor.http")
# Ray's own header, for ways in between that drop `Authorization` (the Kubernetes API's proxy).
TOKEN_HEADERS = ("Authorization", "x-ray-authorization")
# How long answers that are under way at the end may take.
LAST_ANSWERS_S = 2.0
_ENDS = ("Succeeded", "Failed", "Cancelled")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ProgressServer:
    """Serves the newest snapshot; a sink that also takes `drain` requests.

    Args:
        listener: a bound socket that listens; closed by `stop`.
        token: what requests must carry, except for /healthz; None for no check.
        on_drain: called for `POST /drain`, on the server's thread; may be called again.
    """

    def __init__(
        self, listener: socket.socket, token: str | None, on_drain: Callable[[str], None]
    ) -> None:
        self._listener = listener
        self._token = token
        self._on_drain = on_drain
        self._snapshot: ProgressSnapshot | None = None
        self._encoded: tuple[ProgressSnapshot, bytes] | None = None
        self._final: ProgressSnapshot | None = None
        self._fetched = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, name="curator-http", daemon=True)

    def start(self) -> None:
        """Answer from now on.

        Raises:
            Exception: the server could not be set up.
        """
        ready: Future[None] = Future()
        self._ready = ready
        self._thread.start()
        ready.result()

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Serve this snapshot; called from any thread.

        A final state is served by `finish` alone: who reads it may take the machine away, and the
        driver still has its report and artifacts to write.
        """
        if snapshot.state in _ENDS:
            snapshot = snapshot.model_copy(update={"state": "Draining"})
        if self._final is None:
            self._snapshot = snapshot

    def close(self, report: RunReport) -> None:
        """Serve the report's snapshot; the final one comes with `finish`."""
        self.publish(report.snapshot)

    def finish(self, snapshot: ProgressSnapshot, linger_s: float) -> bool:
        """Serve the final snapshot until it has been fetched once, or for `linger_s` seconds.

        Args:
            snapshot: with the state that the run ended in.
            linger_s: the most seconds to wait.

        Returns:
            Whether it was fetched.
        """
        self._final = self._snapshot = snapshot
        return self._fetched.wait(linger_s)

    def stop(self) -> None:
        """Finish answers that are under way, then close; may be called again."""
        loop, ended = self._loop, self._ended
        if loop is not None and ended is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(ended.set)
            self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        try:
            asyncio.run(self._answer())
        except Exception as error:
            if self._ready.done():
                log.exception("the HTTP endpoint ended")
            else:
                self._ready.set_exception(error)

    async def _answer(self) -> None:
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=LAST_ANSWERS_S
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self._listener).start()
            self._ready.set_result(None)
            await self._ended.wait()
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._authorised])
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/progress", self._progress, allow_head=False)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_post("/drain", self._drain)
        return application

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token is None or request.path == "/healthz" or self._has_token(request):
            return await handler(request)
        return web.json_response(
            {"message": "wanted the header Authorization: Bearer TOKEN with the cluster's token"},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _has_token(self, request: web.Request) -> bool:
        wanted = (self._token or "").encode()
        found = False
        for name in TOKEN_HEADERS:
            scheme, _, given = request.headers.get(name, "").partition(" ")
            same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), wanted)
            found = found or (same and scheme.lower() == "bearer")
        return found

    async def _healthz(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        body = metrics_text(self._snapshot)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _drain(self, _request: web.Request) -> web.StreamResponse:
        self._on_drain("drained over HTTP")
        message = "the run has ended" if self._final is not None else "the run is being cancelled"
        return web.json_response({"message": message}, status=202)

    async def _progress(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot
        if snapshot is None:
            return web.json_response({"message": "the run has not begun yet"}, status=503)
        if self._encoded is None or self._encoded[0] is not snapshot:
            self._encoded = (snapshot, snapshot_json(snapshot))
        response = web.Response(body=self._encoded[1], content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        await response.prepare(request)
        await response.write_eof()
        if snapshot is self._final:
            self._fetched.set()  # only now: until here the reader may have gone away
        return response
