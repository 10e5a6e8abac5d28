"""Many simulated Ray heads behind one HTTP server on the loopback.

For tests of scale and of faults, where a real Ray each would need a machine each. It answers under
`/{namespace}/{cluster}`: Ray's Jobs API as the dashboard does, and the driver's `/progress` and
`/drain`. The operator is pointed there by its settings. Tests script how jobs go (`ray_jobs`), make
requests fail, and count what was asked.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

from tests.cluster.ray_jobs import Job, Script

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RAY_VERSION = {"version": "4", "ray_version": "2.60.0", "ray_commit": "none", "session_name": "s"}
READY_WITHIN_S = 10.0
# Longer than any client waits.
NO_ANSWER_S = 3600.0


class Fault(Enum):
    """What becomes of a request."""

    ERROR = "answered with status 500, nothing done"
    NO_ANSWER = "never answered, nothing done"
    REFUSED = "connection closed, nothing done"
    REPLY_LOST = "done, and the connection closed instead of an answer"
    LATE = "done, and never answered"


class Asked(Enum):
    """What is asked of a head or its driver."""

    SUBMIT = "submit"
    STATUS = "status"
    STOP = "stop"
    LOG = "log"
    PROGRESS = "progress"
    DRAIN = "drain"
    VERSION = "version"


class Container(NamedTuple):
    """The running container of a head.

    Attributes:
        id: another one is a head that knows no jobs.
        token: what requests must carry; "" where none is wanted.
    """

    id: str
    token: str


@dataclass
class Head:
    """One simulated head.

    Attributes:
        script: how its next jobs go.
        container_id: of the container that it is.
        jobs: by submission id, those that it knows.
        is_up: whether it answers at all.
        asked: how often what was asked, faults included.
        accepted: how many submissions of an id it accepted; more than one only where it lost one.
        refused: how many it refused because it knew the id.
    """

    script: Script
    container_id: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    is_up: bool = True
    asked: Counter[Asked] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Asked | None, Fault]] = field(default_factory=list)

    def fail_next(self, fault: Fault, asked: Asked | None = None, times: int = 1) -> None:
        """The next requests of a kind, or of any, go wrong."""
        self.faults += [(asked, fault)] * times

    def become(self, container_id: str) -> None:
        """It runs in this container; in another one than before it knows no jobs."""
        if self.container_id != container_id:
            self.jobs.clear()
            self.container_id = container_id

    def driver(self) -> Job | None:
        """The job whose driver has the port: the last one."""
        return next(reversed(self.jobs.values()), None)

    def next_fault(self, asked: Asked) -> Fault | None:
        """The fault that this request is to have; it is used up."""
        for index, (kind, fault) in enumerate(self.faults):
            if kind in {None, asked}:
                del self.faults[index]
                return fault
        return None


class RayHeads:
    """The server; a context manager. Its methods may be called from any thread.

    Args:
        container_of: the head's running container by namespace and cluster; None: there is none,
            and the connection is closed as if nobody listened. Called for every request, from
            threads.
        script: how jobs go.

    Attributes:
        url: what stands before `/{namespace}/{cluster}`.
        script: how jobs go on heads that nobody asked for yet.
    """

    def __init__(
        self, container_of: Callable[[str, str], Container | None], script: Script | None = None
    ) -> None:
        self.url = ""
        self._container_of = container_of
        self.script = script or Script()
        self._heads: dict[tuple[str, str], Head] = {}
        self._lock = threading.Lock()
        self._ahead_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="heads", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(READY_WITHIN_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner:
            ended = asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop)
            ended.result(READY_WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url_template(self) -> str:
        """For the operator's settings, of dashboards and of drivers."""
        return self.url + "/{namespace}/{cluster}"

    def head(self, namespace: str, cluster: str) -> Head:
        """The head of a cluster; it comes to be when it is first asked for, here or by HTTP."""
        with self._lock:
            return self._heads.setdefault((namespace, cluster), Head(self.script))

    def heads(self) -> dict[tuple[str, str], Head]:
        """All that were asked for so far, by namespace and cluster."""
        with self._lock:
            return dict(self._heads)

    def submissions(self, submission_id: str) -> int:
        """How often a job was accepted, over all heads."""
        return sum(head.accepted[submission_id] for head in self.heads().values())

    def now(self) -> float:
        """The heads' clock, in seconds since 1970."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Put the heads' clock forward: jobs get on by that much at once."""
        self._ahead_s += seconds

    async def _listen(self) -> None:
        at = "/{namespace}/{cluster}"
        app = web.Application()
        app.add_routes(
            [
                web.get(f"{at}/api/version", self._answering(Asked.VERSION, self._version)),
                web.post(f"{at}/api/jobs/", self._answering(Asked.SUBMIT, self._submit)),
                web.get(f"{at}/api/jobs/{{id}}", self._answering(Asked.STATUS, self._status)),
                web.post(f"{at}/api/jobs/{{id}}/stop", self._answering(Asked.STOP, self._stop)),
                web.get(f"{at}/api/v0/logs/file", self._answering(Asked.LOG, self._log)),
                web.get(f"{at}/progress", self._answering(Asked.PROGRESS, self._progress)),
                web.post(f"{at}/drain", self._answering(Asked.DRAIN, self._drain)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    def _answering(
        self, asked: Asked, answer: Callable[[Head, web.Request, Any], web.Response]
    ) -> Handler:
        """The whole way of a request: is the head there, is the token right, faults, the answer."""

        async def handle(request: web.Request) -> web.StreamResponse:
            namespace, cluster = (request.match_info[name] for name in ("namespace", "cluster"))
            container = await asyncio.to_thread(self._container_of, namespace, cluster)
            head = self.head(namespace, cluster)
            if container is None or not head.is_up:
                return _closed(request)
            head.become(container.id)
            refusal = _refusal(request, container.token)
            if refusal:
                return refusal
            head.asked[asked] += 1
            fault = head.next_fault(asked)
            if fault is Fault.ERROR:
                return web.Response(status=500, text="Traceback (most recent call last): ordered")
            if fault is Fault.REFUSED:
                return _closed(request)
            if fault is Fault.NO_ANSWER:
                await asyncio.sleep(NO_ANSWER_S)
            body = await request.json() if request.can_read_body else None
            response = answer(head, request, body)
            if fault is Fault.LATE:
                await asyncio.sleep(NO_ANSWER_S)
            return _closed(request) if fault is Fault.REPLY_LOST else response

        return handle

    def _version(self, head: Head, request: web.Request, body: Any) -> web.Response:
        return web.json_response(RAY_VERSION)

    def _submit(self, head: Head, request: web.Request, body: Any) -> web.Response:
        if not isinstance(body, dict) or not isinstance(body.get("entrypoint"), str):
            return web.Response(status=400, text="TypeError: entrypoint must be a string")
        submission_id = body.get("submission_id") or f"raysubmit_{len(head.jobs)}"
        if submission_id in head.jobs:
            head.refused[submission_id] += 1
            # Ray's dashboard passes its agent's 400 on as a 500 with both tracebacks.
            text = (
                "RuntimeError: Request failed with status code 400: ValueError: Job with "
                f"submission_id {submission_id} already exists. Please use a different "
                "submission_id.\n"
            )
            return web.Response(status=500, text=text)
        head.accepted[submission_id] += 1
        head.jobs[submission_id] = Job(submission_id, body, head.script, self.now())
        return web.json_response({"job_id": submission_id, "submission_id": submission_id})

    def _status(self, head: Head, request: web.Request, body: Any) -> web.Response:
        job = head.jobs.get(request.match_info["id"])
        return web.json_response(job.details(self.now())) if job else _no_such_job(request)

    def _stop(self, head: Head, request: web.Request, body: Any) -> web.Response:
        job = head.jobs.get(request.match_info["id"])
        return (
            web.json_response({"stopped": job.stop(self.now())}) if job else _no_such_job(request)
        )

    def _log(self, head: Head, request: web.Request, body: Any) -> web.Response:
        for name, job in head.jobs.items():
            if request.query.get("filename") == f"job-driver-{name}.log":
                return web.Response(text=job.log(self.now()))
        return web.Response(status=500, text="500 Internal Server Error")

    def _progress(self, head: Head, request: web.Request, body: Any) -> web.Response:
        job = head.driver()
        snapshot = job.fetch(self.now()) if job else None
        if snapshot is None:
            return _closed(request)
        text = snapshot.model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    def _drain(self, head: Head, request: web.Request, body: Any) -> web.Response:
        job = head.driver()
        if job is None or job.status(self.now()) != "RUNNING":
            return _closed(request)
        job.drain(self.now())
        return web.Response(status=202)


def _refusal(request: web.Request, token: str) -> web.Response | None:
    """The answer to a request without the right token, as Ray gives it; None with it."""
    if not token:
        return None
    given = request.headers.get("Authorization") or request.headers.get("x-ray-authorization")
    if not given:
        return web.Response(status=401, text="Unauthorized: Missing authentication token")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return web.Response(status=403, text="Forbidden: Invalid authentication token")
    return None


def _closed(request: web.Request) -> web.Response:
    """No answer: the connection is closed, as where nobody listens."""
    if request.transport:
        request.transport.abort()
    return web.Response()


def _no_such_job(request: web.Request) -> web.Response:
    return web.Response(status=404, text=f"Job {request.match_info['id']} does not exist")
