"""Metrics, health, logs, settings and handlers: the small parts of the process."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import kopf
import pytest

from curator_operator import logs
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import PODS, ApiRefused, _refusal, path_of
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.handlers import handlers, watch_settings
from curator_operator.health import POLLER_STUCK_S, QUEUE_STUCK_S, QueueWatch, judge
from curator_operator.metrics import Metrics, Now, quantile
from curator_operator.settings import OperatorSettings, SettingsError
from tests.unit.operator.cluster.fakes import KEY, head_pod, pipeline, ray_cluster

# Health


def test_healthy_while_the_poller_turns_and_the_queue_moves() -> None:
    assert judge(poller_s=1.0, queue_s=0.0) == ""


def test_a_poller_that_does_not_turn_is_unhealthy() -> None:
    assert judge(POLLER_STUCK_S + 1, 0.0) == "the poller has not turned for 31 s"


def test_a_queue_that_hands_nothing_out_is_unhealthy() -> None:
    assert "the queue has handed nothing out for 61 s" in judge(0.0, QUEUE_STUCK_S + 1)


def test_a_queue_is_still_only_while_somebody_waits_in_it() -> None:
    watch = QueueWatch()
    assert watch.still_s(handed_out=5, depth=0, now=0.0) == 0.0
    assert watch.still_s(5, 0, 1000.0) == 0.0
    assert watch.still_s(5, 2, 1010.0) == 10.0
    assert watch.still_s(5, 2, 1100.0) == 100.0
    assert watch.still_s(6, 2, 1200.0) == 0.0


# Metrics


def test_quantiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.95, 1.0)] == [50.0, 95.0, 100.0]
    assert quantile([], 0.95) == 0.0
    assert quantile([7.0], 0.5) == 7.0


def test_what_is_true_now_is_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    depth = [1]
    metrics.observe(lambda: Now(depth[0], 2.5, 3, {"Running": 4, "": 1}, [1.0, 9.0]))
    depth[0] = 7
    text = metrics.text().decode()
    for line in (
        "curator_operator_queue_depth 7.0",
        "curator_operator_queue_oldest_seconds 2.5",
        "curator_operator_polled_pipelines 3.0",
        'curator_operator_pipelines{phase="Running"} 4.0',
        'curator_operator_status_staleness_seconds{quantile="0.95"} 9.0',
    ):
        assert line in text
    assert "_created" not in text


def test_two_operators_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.polls.labels("RUNNING").inc()
    assert 'polls_total{result="RUNNING"}' not in other.text().decode()


# Logs


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield root
    root.handlers[:], level = before
    root.setLevel(level)


def test_a_log_line_is_an_object_with_a_constant_event(root_logger: logging.Logger) -> None:
    out = io.StringIO()
    logs.set_up("info", out)
    logging.getLogger("curator_operator.x").info("action done", extra={"pipeline": "a/b"})
    logging.getLogger("curator_operator.x").debug("not shown")
    line = json.loads(out.getvalue())
    assert line.pop("time").startswith("20")
    assert line == {
        "level": "INFO",
        "logger": "curator_operator.x",
        "event": "action done",
        "pipeline": "a/b",
    }


def test_an_error_is_still_one_line(root_logger: logging.Logger) -> None:
    out = io.StringIO()
    logs.set_up("INFO", out)
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        logging.getLogger("x").exception("look failed")
    (line,) = out.getvalue().splitlines()
    assert "RuntimeError: first\nsecond" in json.loads(line)["exc_info"]


# Settings


KEY_32 = "0123456789abcdef0123456789abcdef"


def test_settings_come_from_the_environment() -> None:
    given = {
        "CURATOR_TOKEN_KEY": KEY_32,
        "CURATOR_NAMESPACES": "a, b,",
        "CURATOR_POLL_INTERVAL_S": "3",
        "UNRELATED": "x",
    }
    settings = OperatorSettings.from_environment(given)
    assert (settings.namespaces, settings.poll_interval_s) == (("a", "b"), 3.0)


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError) as raised:
        OperatorSettings.from_environment(
            {"CURATOR_TOKEN_KEY": "secret", "CURATOR_WORKERS": "none", "CURATOR_LOG_LEVEL": "loud"}
        )
    text = str(raised.value)
    assert "CURATOR_TOKEN_KEY: " in text
    assert "CURATOR_WORKERS: " in text
    assert "CURATOR_LOG_LEVEL: " in text
    assert "secret" not in text


@pytest.mark.parametrize("url", ["http://{pod}:8265", "http://{cluster", "head:8265"])
def test_an_address_that_cannot_be_filled_in_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CURATOR_DASHBOARD_URL"):
        OperatorSettings.from_environment(
            {"CURATOR_TOKEN_KEY": KEY_32, "CURATOR_DASHBOARD_URL": url}
        )


def test_settings_do_not_show_the_key() -> None:
    settings = OperatorSettings.from_environment({"CURATOR_TOKEN_KEY": KEY_32})
    assert KEY_32 not in repr(settings)


# Requests


def test_paths() -> None:
    assert path_of(PODS, None) == "/api/v1/pods"
    assert path_of(PODS, "a", "b") == "/api/v1/namespaces/a/pods/b"
    crd = ("curator.dev/v1alpha1", "curatorpipelines")
    path = "/apis/curator.dev/v1alpha1/namespaces/a/curatorpipelines/b/status"
    assert path_of(crd, "a", "b", "status") == path
    assert path_of(PODS, "a", "../x") == "/api/v1/namespaces/a/pods/..%2Fx"


def test_a_refusal_is_read_from_the_status_object() -> None:
    status = {"kind": "Status", "reason": "AlreadyExists", "message": "x exists", "code": 409}
    refusal = _refusal(409, {}, json.dumps(status).encode())
    assert (refusal.reason, refusal.message) == ("AlreadyExists", "x exists")
    assert refusal.already_exists
    assert not refusal.conflict


@pytest.mark.parametrize("text", [b"<html>Bad gateway", b"[]", b""])
def test_a_refusal_of_something_in_between_is_one_too(text: bytes) -> None:
    refusal = _refusal(429, {"Retry-After": "3"}, text)
    assert (refusal.code, refusal.reason, refusal.retry_after_s) == (429, "Unknown", 3.0)


def test_a_conflict_is_not_an_existing_object() -> None:
    assert ApiRefused(409, "Conflict", "").conflict
    assert not ApiRefused(409, "Conflict", "").already_exists


# Handlers


class Watched:
    def __init__(self) -> None:
        self.cache = Cache()
        self.asked: list[PipelineKey] = []
        registry = handlers(self.cache, Metrics(), self.asked.append)
        self.by_name: dict[str, Any] = {
            str(one.id).rsplit(".", 1)[-1]: one.fn for one in registry._watching.get_all_handlers()
        }

    def saw(self, kind: str, type_: str | None, obj: dict[str, Any]) -> None:
        asyncio.run(self.by_name[kind](event={"type": type_, "object": obj}))


def test_what_the_watches_see_is_cached_and_looked_at() -> None:
    watched = Watched()
    watched.saw("pipeline", None, pipeline())
    watched.saw("cluster", "ADDED", ray_cluster())
    watched.saw("pod", "MODIFIED", head_pod())
    assert watched.asked == [KEY, KEY, KEY]
    entry = watched.cache.entry(KEY)
    assert (len(entry.clusters), len(entry.pods)) == (1, 1)


def test_what_the_watches_see_twice_is_looked_at_once() -> None:
    watched = Watched()
    watched.saw("pipeline", None, pipeline())
    watched.saw("pipeline", "MODIFIED", pipeline())
    assert watched.asked == [KEY]


def test_what_is_deleted_is_gone() -> None:
    watched = Watched()
    watched.saw("pipeline", None, pipeline())
    watched.saw("pod", None, head_pod())
    watched.saw("pod", "DELETED", head_pod(31))
    watched.saw("pipeline", "DELETED", pipeline(11))
    assert watched.cache.find(KEY) is None
    assert len(watched.asked) == 4


def test_kopf_only_watches() -> None:
    """No handler that would make kopf put its own finalizer or annotations on objects."""
    asked: list[PipelineKey] = []
    registry = handlers(Cache(), Metrics(), asked.append)
    assert len(registry._watching.get_all_handlers()) == 3
    for kind in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(kind.get_all_handlers()) == []


@pytest.mark.parametrize("scan", [True, False])
def test_kopf_watches_children_by_our_label_and_gives_up_on_silent_streams(scan: bool) -> None:
    settings = watch_settings(scan=scan)
    selectors = settings.watching.label_selectors
    assert set(selectors.values()) == {"app.kubernetes.io/managed-by=curator-operator"}
    assert len(selectors) == 2
    assert settings.scanning.disabled is not scan
    assert not settings.posting.enabled
    # Else kopf kills the process a while after its watches failed, though they are back.
    assert settings.process.ultimate_exiting_timeout is None
    assert 60 < settings.watching.inactivity_timeout < 90
    assert settings.watching.server_timeout is not None
    assert settings.watching.client_timeout is not None
    assert settings.watching.server_timeout < settings.watching.client_timeout
    assert isinstance(settings, kopf.OperatorSettings)
