"""Requests to heads: bounded, and with errors by kind. Over a Unix socket, as unit tests must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from curator_operator.cluster.driver import Driver, read_snapshot
from curator_operator.cluster.http import (
    BadReply,
    Endpoint,
    HeadError,
    Heads,
    NotFound,
    Refused,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from curator_operator.cluster.jobs import JobRecord, Jobs
from tests.unit.operator.cluster.fakes import ScriptedHeads

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AT = Endpoint("http://head", "secret")
HEAD = Endpoint("http://head")


def answered(tmp_path: Path, handler: Handler, *, timeout_s: float = 5.0, **given: Any) -> bytes:
    """What `Heads.ask` gives when a server answers by `handler`."""
    path = str(tmp_path / "socket")

    async def whole() -> bytes:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, path).start()
        try:
            async with Heads(timeout_s, lambda: aiohttp.UnixConnector(path)) as heads:
                return await heads.ask("GET", AT, "/x", **given)
        finally:
            await runner.cleanup()

    return asyncio.run(whole())


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=request.headers.get("x-ray-authorization", "none"))


def status(code: int) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=code, text="said so", headers={"Location": "http://else"})

    return answer


def test_the_token_travels_in_rays_own_header(tmp_path: Path) -> None:
    assert answered(tmp_path, hello) == b"Bearer secret"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (400, Refused),
        (500, Refused),
        (302, Refused),
    ],
)
def test_errors_have_a_kind_and_say_where(tmp_path: Path, code: int, kind: type[HeadError]) -> None:
    with pytest.raises(kind, match=f"GET http://head/x: {code} said so") as raised:
        answered(tmp_path, status(code))
    assert type(raised.value) is kind
    assert raised.value.code == code


def test_an_answer_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        while written < 64 * 1024 * 1024:
            await answer.write(b"x" * 65536)
            written += 65536
        return answer

    with pytest.raises(TooLarge, match="longer than 1000000 bytes"):
        answered(tmp_path, endless, most_bytes=1_000_000)
    assert written < 32 * 1024 * 1024


def test_a_head_that_does_not_answer_in_time_is_unreachable(tmp_path: Path) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Unreachable, match="GET http://head/x"):
        answered(tmp_path, silent, timeout_s=0.05)


def test_a_head_that_hangs_up_is_unreachable(tmp_path: Path) -> None:
    async def rude(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(Unreachable):
        answered(tmp_path, rude)


def test_where_nobody_listens_is_unreachable(tmp_path: Path) -> None:
    async def whole() -> None:
        nowhere = str(tmp_path / "nobody")
        async with Heads(1.0, lambda: aiohttp.UnixConnector(nowhere)) as heads:
            await heads.ask("GET", AT, "/x")

    with pytest.raises(Unreachable):
        asyncio.run(whole())


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(AT)


# Ray's jobs


JOB: dict[str, Any] = {
    "type": "SUBMISSION",
    "status": "RUNNING",
    "submission_id": "s-1",
    "entrypoint": "python -m curator_executor run pipeline.yaml --serve 0.0.0.0:21007",
    "message": "Job is currently running.",
    "driver_agent_http_address": "http://10.0.0.9:52365",
    "driver_exit_code": None,
    "metadata": {},
}


def looked(answer: Any) -> JobRecord | None:
    heads = ScriptedHeads({("GET", "/api/jobs/s-1"): answer})
    return asyncio.run(Jobs(heads).look(HEAD, "s-1"))


def test_a_running_job() -> None:
    assert looked(json.dumps(JOB).encode()) == JobRecord(
        "RUNNING", "Job is currently running.", None, "10.0.0.9:21007"
    )


def test_the_drivers_own_node_counts_more_than_its_agents() -> None:
    job = JOB | {"driver_info": {"id": "1", "node_ip_address": "10.0.0.7", "pid": "5"}}
    record = looked(json.dumps(job).encode())
    assert record is not None
    assert record.driver_address == "10.0.0.7:21007"


def test_a_driver_with_an_ipv6_address() -> None:
    job = JOB | {"driver_info": {"node_ip_address": "fd00::7"}}
    record = looked(json.dumps(job).encode())
    assert record is not None
    assert record.driver_address == "[fd00::7]:21007"


def test_a_job_that_ended_has_an_exit_code() -> None:
    record = looked(json.dumps(JOB | {"status": "FAILED", "driver_exit_code": 2}).encode())
    assert record is not None
    assert (record.state, record.exit_code) == ("FAILED", 2)


def test_a_job_that_the_head_does_not_know() -> None:
    assert looked(NotFound("GET x: 404 Job s-1 does not exist", 404)) is None


def test_a_404_of_somebody_in_between_is_no_missing_job() -> None:
    """An ingress that has lost its backend must not make a running job look lost."""
    with pytest.raises(NotFound):
        looked(NotFound("GET x: 404 default backend", 404))


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"status": "SLEEPING"}', b"{}"])
def test_what_is_no_job_record_is_a_bad_reply(answer: bytes) -> None:
    with pytest.raises(BadReply):
        looked(answer)


# The driver


SNAPSHOT = {"runId": "r", "pipeline": "p", "state": "Running", "time": 5.0, "elapsedS": 1.0}


def progress(answer: Any) -> Any:
    return asyncio.run(Driver(ScriptedHeads({("GET", "/progress"): answer})).progress(HEAD))


def test_progress() -> None:
    snapshot = progress(json.dumps(SNAPSHOT | {"inputsDone": 7}).encode())
    assert (snapshot.state, snapshot.inputs_done) == ("Running", 7)


def test_a_newer_drivers_fields_are_left_out() -> None:
    given = SNAPSHOT | {"weather": "fine", "stages": [{"name": "read", "mood": "good"}]}
    assert read_snapshot(json.dumps(given).encode()).stages[0].name == "read"


def test_a_driver_that_has_nothing_to_tell_yet() -> None:
    assert progress(Refused("503", 503)) is None


def test_a_driver_that_fails_is_an_error() -> None:
    with pytest.raises(Refused):
        progress(Refused("500", 500))


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"runId": 5}'])
def test_what_is_no_snapshot_is_a_bad_reply(answer: bytes) -> None:
    with pytest.raises(BadReply, match="/progress"):
        progress(answer)
