"""`/healthz`, `/readyz` and `/metrics`: whether the operator works, and what it counted.

Served by `__main__` on a port of its own. Healthy means more than that the process answers: the
poller came round, and the queue hands out what waits in it.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

# The poller comes round every second; a loop that is blocked for this long is stuck.
POLLER_STUCK_S = 30.0
# A look at a pipeline takes at most a few requests of some seconds each.
QUEUE_STUCK_S = 60.0


class QueueWatch:
    """Whether a queue hands out what waits in it."""

    def __init__(self) -> None:
        self._handed_out = -1
        self._moved_at = 0.0

    def still_s(self, handed_out: int, depth: int, now: float) -> float:
        """Seconds for which keys have waited and none was handed out, seen from the last call.

        Args:
            handed_out: keys that were ever handed out.
            depth: keys that wait now.
            now: seconds, of any clock.
        """
        if handed_out != self._handed_out or depth == 0:
            self._handed_out = handed_out
            self._moved_at = now
        return now - self._moved_at


def judge(poller_s: float, queue_s: float) -> str:
    """What is wrong, or "".

    Args:
        poller_s: seconds since the poller came round.
        queue_s: seconds for which the queue has been stuck.
    """
    if poller_s > POLLER_STUCK_S:
        return f"the poller has not turned for {poller_s:.0f} s"
    if queue_s > QUEUE_STUCK_S:
        return f"the queue has handed nothing out for {queue_s:.0f} s though pipelines wait"
    return ""


class HealthServer:
    """Serves the three paths."""

    def __init__(
        self, trouble: Callable[[], str], ready: Callable[[], bool], metrics: Callable[[], bytes]
    ) -> None:
        """What each path asks.

        Args:
            trouble: what is wrong, or "".
            ready: whether everything was listed once.
            metrics: Prometheus text.
        """
        self._trouble = trouble
        self._ready = ready
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on `port`; 0 is any free one, told in `port` afterwards.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._text)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, port=port, shutdown_timeout=0.5)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _: web.Request) -> web.Response:
        trouble = self._trouble()
        return web.Response(text=trouble or "ok", status=500 if trouble else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return web.Response(text="ok" if ready else "listing", status=200 if ready else 503)

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )
