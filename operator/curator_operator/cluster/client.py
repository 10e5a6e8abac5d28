"""`KubeApi`: requests to the API server, with a time limit, counted, and with errors by kind.

Used by everything in `cluster` that talks to Kubernetes. Connection, TLS and credentials are the
`kubernetes` library's; objects travel as plain mappings, because what is made here has no model
there (CuratorPipeline, RayCluster), and a model of each pod would cost memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    load_incluster_config,
    load_kube_config,
)

from curator_operator.metrics import Metrics

PIPELINES = ("curator.dev/v1alpha1", "curatorpipelines")
RAYCLUSTERS = ("ray.io/v1", "rayclusters")
PODS = ("v1", "pods")
CONFIG_MAPS = ("v1", "configmaps")
SECRETS = ("v1", "secrets")
EVENTS = ("v1", "events")
Resource = tuple[str, str]
Body = Mapping[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRICT = {"fieldValidation": "Strict"}
JSON_PATCH = "application/json-patch+json"
# Objects in one answer to a list request. What reading an answer takes stays with the process: with
# 200 RayClusters listing them again raised its memory by 0.9 and 3.2 MiB at 100 in an answer, and
# by nothing at 25.
PAGE = 25
_CONNECTIONS = 32


class ApiError(Exception):
    """A request to the API server failed.

    └─ ApiUnreachable   no answer
    └─ ApiRefused       an answer that says no
    """


class ApiUnreachable(ApiError):
    """The API server gave no answer in time."""


class ApiRefused(ApiError):
    """The API server answered with an error.

    Attributes:
        code: HTTP status.
        reason: its own word, such as `AlreadyExists`.
        message: its own sentence.
        retry_after_s: when it asks to be asked again, or None.
    """

    def __init__(
        self, code: int, reason: str, message: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def not_found(self) -> bool:
        """The object, or its whole kind, is not there."""
        return self.code == 404

    @property
    def already_exists(self) -> bool:
        """Something of that name is there."""
        return self.code == 409 and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """What was read has changed since."""
        return self.code == 409 and self.reason != "AlreadyExists"


def path_of(
    resource: Resource, namespace: str | None, name: str | None = None, sub: str | None = None
) -> str:
    """Path of a collection or an object; no namespace: the collection over all of them."""
    version, plural = resource
    parts = ["api" if "/" not in version else "apis", version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name is not None:
        parts.append(quote(name, safe=""))
    if sub is not None:
        parts.append(sub)
    return "/" + "/".join(parts)


class KubeApi:
    """One connection pool to the API server."""

    def __init__(self, client: ApiClient, metrics: Metrics, timeout_s: float) -> None:
        """Requests through `client`, each at most `timeout_s` seconds long."""
        self._client = client
        self._metrics = metrics
        self._timeout_s = timeout_s

    @classmethod
    async def connect(cls, metrics: Metrics, timeout_s: float) -> KubeApi:
        """The API server of `KUBECONFIG` or `~/.kube/config`, else of the pod that this runs in.

        Raises:
            ConfigException: there is neither.
        """
        configuration = Configuration()
        location = _kubeconfig()
        if location is not None:
            await load_kube_config(location, client_configuration=configuration)
        else:
            load_incluster_config(client_configuration=configuration)
        configuration.connection_pool_maxsize = _CONNECTIONS
        # aiohttp would look for a proxy and a .netrc before each request, in threads: 7 % of the
        # operator's processor time. The host stays the same, so its proxy is looked for once.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or proxy_of(configuration.host)
        return cls(ApiClient(configuration), metrics, timeout_s)

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """An object."""
        return await self.request("GET", path_of(resource, namespace, name))

    async def create(self, resource: Resource, namespace: str, body: Body) -> dict[str, Any]:
        """Make an object; the reply is the object.

        A field that the API server does not know is refused: it would drop a misspelt field of a
        pod template, or one that an older KubeRay lacks, without a word.
        """
        return await self.request("POST", path_of(resource, namespace), body, query=STRICT)

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, body: Body
    ) -> dict[str, Any]:
        """Change parts of an object; with `metadata.resourceVersion` only if it is still that."""
        path = path_of(resource, namespace, name)
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def json_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Sequence[Body],
        sub: str | None = None,
    ) -> dict[str, Any]:
        """Change an object, or its subresource `sub`, step by step."""
        path = path_of(resource, namespace, name, sub)
        return await self.request("PATCH", path, list(patch), content_type=JSON_PATCH)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str | None = None
    ) -> dict[str, Any]:
        """Delete an object; with `uid` only if it is still that one."""
        body: dict[str, Any] = {"kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        return await self.request("DELETE", path_of(resource, namespace, name), body)

    async def list_pages(
        self, resource: Resource, namespace: str | None, labels: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Lists of objects, page by page; each has the same `metadata.resourceVersion`."""
        query: dict[str, str] = {"limit": str(PAGE)}
        if labels is not None:
            query["labelSelector"] = labels
        while True:
            page = await self.request("GET", path_of(resource, namespace), query=query)
            yield page
            go_on = page["metadata"].get("continue")
            if not go_on:
                return
            query["continue"] = go_on

    async def knows(self, resource: Resource) -> bool:
        """Whether the API server serves a kind of object."""
        version, plural = resource
        try:
            found = await self.request("GET", f"/apis/{version}")
        except ApiRefused as refused:
            if refused.not_found:
                return False
            raise
        return any(one["name"] == plural for one in found["resources"])

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Ask the API server.

        Returns:
            The reply, an object.

        Raises:
            ApiRefused: it answered with an error.
            ApiUnreachable: it did not answer in time.
        """
        headers: dict[str, str] = {"Accept": "application/json", "Content-Type": content_type}
        headers.update(self._client.default_headers)
        url = f"{self._client.configuration.host}{path}"
        if query:
            url += "?" + urlencode(query)
        began = time.monotonic()
        code = 0
        try:
            await self._client.update_params_for_auth(
                headers, [], ["BearerToken"], path, method, body
            )
            reply = await self._client.call_api(
                method, url, headers, body, _request_timeout=self._timeout_s
            )
            text = await reply.read()
            code = reply.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiUnreachable(
                f"{method} {path}: {type(error).__name__} {error}, no answer from "
                f"{self._client.configuration.host} within {self._timeout_s:g} s"
            ) from error
        finally:
            self._metrics.api_requests.labels(method, str(code)).inc()
            self._metrics.api_seconds.observe(time.monotonic() - began)
        if not 200 <= code < 300:
            raise _refusal(code, reply.headers, text)
        return _object(method, path, text)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment (`HTTPS_PROXY`, `NO_PROXY` …) gives for an address."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _kubeconfig() -> str | None:
    named = os.environ.get("KUBECONFIG")
    usual = Path(KUBE_CONFIG_DEFAULT_LOCATION).expanduser()
    return named or (str(usual) if usual.exists() else None)


def _object(method: str, path: str, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ApiUnreachable(f"{method} {path}: answer is no JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise ApiUnreachable(f"{method} {path}: answer is no object: {text[:200]!r}")
    return value


def _refusal(code: int, headers: Mapping[str, str], text: bytes) -> ApiRefused:
    """The error that a `Status` object tells, or whatever stood between us and the API server."""
    status: Any = None
    with contextlib.suppress(ValueError):
        status = json.loads(text)
    if not isinstance(status, dict):
        status = {"message": text[:500].decode(errors="replace")}
    after = headers.get("Retry-After", "")
    return ApiRefused(
        code,
        str(status.get("reason") or "Unknown"),
        str(status.get("message") or ""),
        float(after) if after.isdigit() else None,
    )
