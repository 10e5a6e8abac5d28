"""Which API server is asked, how its answers are read, and what its refusals become."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from curator_executor.cli.kube import api as kube
from curator_executor.cli.kube.api import (
    PIPELINES,
    PODS,
    Api,
    ApiError,
    ApiRefused,
    ApiUnreachable,
    Place,
    connect,
    path_of,
    refusal,
)
from curator_executor.cli.kube.naming import missing
from curator_executor.cli.kube.refusals import explained
from curator_executor.cli.outcome import CommandError
from tests.unit.cli.kube.resources import PLACE


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with two contexts, `team` the current one; there is no other file."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    users = [{"name": "me", "user": {"token": "t"}}]
    clusters = [
        {"name": name, "cluster": {"server": f"https://{name}.example"}} for name in ("one", "two")
    ]
    contexts = [
        {"name": "team", "context": {"cluster": "one", "user": "me", "namespace": "team-a"}},
        {"name": "other", "context": {"cluster": "two", "user": "me"}},
    ]
    path = tmp_path / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "users": users,
                "clusters": clusters,
                "contexts": contexts,
                "current-context": "team",
            }
        )
    )
    return path


def test_the_current_context_gives_server_and_namespace(kubeconfig: Path) -> None:
    found = connect(str(kubeconfig), None)
    assert found.place == Place("https://one.example", "team", "team-a")


def test_another_context_is_taken_by_name(kubeconfig: Path) -> None:
    place = connect(str(kubeconfig), "other").place
    assert place == Place("https://two.example", "other", "default")


def test_a_context_that_is_not_there_is_told_with_those_that_are(kubeconfig: Path) -> None:
    with pytest.raises(CommandError, match=r"no context taem\. Did you mean team\? It has: team, "):
        connect(str(kubeconfig), "taem")


def test_without_a_kubeconfig_it_says_where_it_looked(kubeconfig: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no file .*none\. Give --kubeconfig") as e:
        connect(None, None)
    assert e.value.code == 2


@pytest.mark.parametrize("text", ["", "a: [", "kind: Config\n", "contexts: []\n"])
def test_a_file_that_is_no_kubeconfig_is_told(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text)
    with pytest.raises(CommandError, match="cannot be used"):
        connect(str(kubeconfig), None)


def test_paths_are_those_of_the_api() -> None:
    assert path_of(PIPELINES, "a") == "/apis/curator.dev/v1alpha1/namespaces/a/curatorpipelines"
    assert path_of(PIPELINES, None) == "/apis/curator.dev/v1alpha1/curatorpipelines"
    assert path_of(PODS, "a", "p", "log") == "/api/v1/namespaces/a/pods/p/log"
    assert path_of(PODS, "a/../b", "p?x") == "/api/v1/namespaces/a%2F..%2Fb/pods/p%3Fx"


class Answers(Api):
    """Gives the parts of one answer, or raises."""

    def __init__(self, *parts: bytes | Exception) -> None:
        super().__init__(ApiClient(Configuration()), PLACE)
        self._parts = parts

    def _send(self, *_: Any) -> Any:
        parts = self._parts

        class Answer(io.BytesIO):
            def stream(self, **_: Any) -> Any:
                for part in parts:
                    if isinstance(part, Exception):
                        raise part
                    yield part

        return Answer()


def test_lines_are_whole_however_the_answer_is_cut() -> None:
    answers = Answers(b"on", b"e\ntwo\n", b"", b"\nth", b"ree")
    assert list(answers.lines("/", {}, 1.0)) == [b"one", b"two", b"", b"three"]


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    broken = urllib3.exceptions.ProtocolError("Connection broken: reset")
    lines = Answers(b"one\ntw", broken).lines("/", {}, 1.0)
    assert next(lines) == b"one"
    with pytest.raises(ApiUnreachable, match="reset"):
        next(lines)


def test_what_is_told_of_a_lost_connection_is_the_reason_alone() -> None:
    pool = urllib3.HTTPSConnectionPool("one.example", 6443)
    said = "Failed to establish a new connection: [Errno 111] Connection refused"
    error = urllib3.exceptions.NewConnectionError(pool, said)  # type: ignore[arg-type]
    with pytest.raises(ApiUnreachable) as caught:
        list(Answers(error).lines("/", {}, 1.0))
    assert str(caught.value) == said


def test_a_refusal_is_the_servers_own_or_that_of_what_stands_before_it() -> None:
    said = refusal(409, {}, b'{"reason": "AlreadyExists", "message": "exists"}')
    assert (said.code, said.reason, said.message) == (409, "AlreadyExists", "exists")
    proxy = refusal(502, {"Retry-After": "7"}, b"<html>bad gateway</html>")
    assert (proxy.reason, proxy.message) == ("", "<html>bad gateway</html>")
    assert proxy.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ApiUnreachable("refused"), 1, "https://cluster.example (context team) gives no answer"),
        (ApiRefused(401, "Unauthorized", "Unauthorized"), 2, "may have expired. Log in"),
        (
            ApiRefused(403, "Forbidden", 'User "a" cannot create resource "curatorpipelines"'),
            2,
            'not allowed to create the pipeline: User "a" cannot create resource',
        ),
        (ApiRefused(404, "", "404 page not found"), 2, "knows no CuratorPipelines"),
        (ApiRefused(404, "", "404 page not found"), 2, "helm install curator charts/curator"),
        (ApiRefused(404, "NotFound", 'namespaces "b" not found'), 2, "see --namespace"),
        (ApiRefused(422, "Invalid", "spec: wrong"), 2, "refuses to create the pipeline: spec"),
        (ApiRefused(400, "BadRequest", 'unknown field "x"'), 2, 'unknown field "x"'),
        (ApiRefused(409, "Conflict", "changed"), 2, "changed (409)"),
        (ApiRefused(503, "ServiceUnavailable", "busy"), 1, "busy (503); try again"),
    ],
)
def test_each_refusal_is_one_message_and_a_code(error: ApiError, code: int, says: str) -> None:
    told = explained(error, "create the pipeline", PLACE)
    assert says in str(told)
    assert told.code == code


@pytest.mark.parametrize(
    ("names", "elsewhere", "says"),
    [
        (["clean-web", "other"], [], "Did you mean clean-web?"),
        (["other"], ["team-b"], "but in namespace team-b: --namespace team-b"),
        ([], [], "and no other one; --namespace names another namespace"),
        (["a", "b"], [], "It has: a, b"),
        (list("abcdefghij"), [], "It has: a, b, c, d, e, f, g, h, …"),
    ],
)
def test_a_name_that_is_not_there_leads_to_what_was_meant(
    names: list[str], elsewhere: list[str], says: str
) -> None:
    said = missing("team-a", "clean-wep", names, elsewhere)
    assert said.startswith("there is no pipeline clean-wep in namespace team-a")
    assert said.endswith(says)
