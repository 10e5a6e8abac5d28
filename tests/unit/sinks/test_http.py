"""The endpoint over a Unix socket: what each path answers, who may ask, when it may go."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from curator_executor.sinks.http import ProgressServer
from tests.unit.sinks.runs import report, snapshot

TOKEN = "s3cret"
# Of a test that would else hang; nothing here takes that long.
AT_MOST_S = 30.0


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=AT_MOST_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Served:
    """A server and a client for it."""

    def __init__(self, path: str, token: str | None) -> None:
        self.path = path
        self.drains: list[str] = []
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        self.server = ProgressServer(listener, token, self.drains.append)
        self.server.start()

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, str, HTTPResponse]:
        connection = UnixConnection(self.path)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=names)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body, response


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start a server; it is stopped at the end of the test."""
    started: list[Served] = []
    # A Unix socket's path may have 107 characters.
    directory = Path(tmp_path_factory.mktemp("http"))

    def start(token: str | None = None) -> Served:
        started.append(Served(str(directory / f"{len(started)}"), token))
        return started[-1]

    yield start
    for served in started:
        served.server.stop()


def test_progress_is_503_with_a_message_before_the_first_snapshot(serve: Serve) -> None:
    status, body, _ = serve().ask("GET", "/progress")
    assert (status, json.loads(body)) == (503, {"message": "the run has not begun yet"})


def test_progress_is_the_newest_snapshot(serve: Serve) -> None:
    served = serve()
    served.server.publish(snapshot(0.1))
    assert json.loads(served.ask("GET", "/progress")[1])["inputsDone"] == 200
    served.server.publish(snapshot(0.2))
    status, body, response = served.ask("GET", "/progress")
    assert (status, json.loads(body)) == (
        200,
        json.loads(snapshot(0.2).model_dump_json(by_alias=True)),
    )
    assert response.getheader("Content-Type") == "application/json"


def test_metrics_are_prometheus_text(serve: Serve) -> None:
    served = serve()
    assert served.ask("GET", "/metrics")[:2] == (200, "")
    served.server.publish(snapshot(0.1))
    status, body, response = served.ask("GET", "/metrics")
    assert status == 200
    assert str(response.getheader("Content-Type")).startswith("text/plain; version=")
    assert 'curator_run_inputs_done_total{pipeline="text-pipeline"} 200.0' in body


def test_drain_asks_for_the_end_and_is_answered_at_once(serve: Serve) -> None:
    served = serve()
    assert served.ask("POST", "/drain")[0] == 202
    assert served.ask("POST", "/drain")[0] == 202
    assert set(served.drains) == {"drained over HTTP"}


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_drain_wants_post(serve: Serve, method: str) -> None:
    served = serve()
    assert served.ask(method, "/drain")[0] == 405
    assert served.drains == []


def test_unknown_path_is_404(serve: Serve) -> None:
    assert serve().ask("GET", "/")[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/progress"), ("GET", "/metrics"), ("POST", "/drain"), ("GET", "/none")],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"x_ray_authorization": TOKEN},
    ],
    ids=str,
)
def test_without_the_token_everything_is_401(
    serve: Serve, method: str, path: str, headers: dict[str, str]
) -> None:
    served = serve(TOKEN)
    served.server.publish(snapshot(0.1))
    status, body, _ = served.ask(method, path, **headers)
    assert status == 401
    assert "Bearer TOKEN" in json.loads(body)["message"]
    assert served.drains == []


@pytest.mark.parametrize("header", ["Authorization", "x_ray_authorization"])
def test_token_opens_in_either_header(serve: Serve, header: str) -> None:
    served = serve(TOKEN)
    served.server.publish(snapshot(0.1))
    given: dict[str, Any] = {header: f"Bearer {TOKEN}"}
    assert served.ask("GET", "/progress", **given)[0] == 200
    assert served.ask("GET", "/metrics", **given)[0] == 200
    assert served.ask("POST", "/drain", **given)[0] == 202


def test_wrong_authorization_does_not_hide_the_right_header(serve: Serve) -> None:
    """What is in between may put its own into `Authorization`."""
    headers = {"Authorization": "Bearer theirs", "x_ray_authorization": f"Bearer {TOKEN}"}
    assert serve(TOKEN).ask("GET", "/metrics", **headers)[0] == 200


def test_healthz_wants_no_token(serve: Serve) -> None:
    assert serve(TOKEN).ask("GET", "/healthz")[:2] == (200, "ok")


def test_end_of_the_run_is_served_as_draining_until_the_driver_is_done(serve: Serve) -> None:
    """Who reads `Succeeded` may take the machine away; the report is not written yet then."""
    served = serve()
    served.server.publish(snapshot(1.0, state="Succeeded"))
    assert json.loads(served.ask("GET", "/progress")[1])["state"] == "Draining"
    served.server.close(report())
    assert json.loads(served.ask("GET", "/progress")[1])["state"] == "Draining"


def test_finish_waits_until_the_final_snapshot_was_fetched(serve: Serve) -> None:
    served = serve()
    served.server.publish(snapshot(1.0))
    assert served.ask("GET", "/progress")[0] == 200
    said: list[bool] = []
    final = snapshot(1.0, state="Failed", message="no")
    waiting = threading.Thread(
        target=lambda: said.append(served.server.finish(final, AT_MOST_S)), daemon=True
    )
    waiting.start()
    body: dict[str, Any] = {}
    while body.get("state") != "Failed":
        assert said == []
        body = json.loads(served.ask("GET", "/progress")[1])
    waiting.join(AT_MOST_S)
    assert said == [True]
    assert body["message"] == "no"


def test_finish_gives_up_after_its_time(serve: Serve) -> None:
    assert serve().server.finish(snapshot(1.0, state="Succeeded"), 0.01) is False


def test_metrics_and_refused_requests_do_not_count_as_fetched(serve: Serve) -> None:
    served = serve(TOKEN)
    final = snapshot(1.0, state="Succeeded")
    served.server.finish(final, 0.0)
    served.ask("GET", "/progress")
    served.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}")
    assert served.ask("HEAD", "/progress", Authorization=f"Bearer {TOKEN}")[0] == 405
    assert served.server.finish(final, 0.01) is False


def test_later_snapshots_do_not_replace_the_final_one(serve: Serve) -> None:
    served = serve()
    served.server.finish(snapshot(1.0, state="Cancelled"), 0.0)
    served.server.publish(snapshot(0.5))
    assert json.loads(served.ask("GET", "/progress")[1])["state"] == "Cancelled"


def test_stop_leaves_no_thread_and_no_listener(serve: Serve) -> None:
    served = serve()
    served.server.stop()
    served.server.stop()
    assert not [t for t in threading.enumerate() if t.name == "curator-http"]
    with pytest.raises(ConnectionRefusedError):
        served.ask("GET", "/healthz")
