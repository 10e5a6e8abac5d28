"""`Api`: requests to the API server of a kubeconfig, and `connect`, which finds it.

Used by every command for a cluster. Connection, TLS and credentials are the `kubernetes` library's;
objects travel as plain mappings. Its generated classes are not used: importing those for pods and
custom resources takes seconds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from curator_api.errors import did_you_mean
from curator_executor.cli.outcome import CommandError

Object = dict[str, Any]
Resource = tuple[str, str]
PIPELINES = ("curator.dev/v1alpha1", "curatorpipelines")
CONFIG_MAPS = ("v1", "configmaps")
PODS = ("v1", "pods")
MERGE_PATCH = "application/merge-patch+json"

ANSWER_WITHIN_S = 30.0
_CONNECT_S = 10.0
# What the library says first: which of its objects had the trouble.
_OWN_OBJECT = re.compile(r"^(<[^>]*>|HTTPS?Connection(Pool)?\([^)]*\)): ")
_IN_POD = "KUBERNETES_SERVICE_HOST"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ApiError(Exception):
    """A request to the API server failed.

    ├─ ApiUnreachable   no answer
    └─ ApiRefused       an answer that says no
    """


class ApiUnreachable(ApiError):
    """No connection, or no whole answer in time; the message says which."""


class ApiRefused(ApiError):
    """The API server answered with an error.

    Attributes:
        code: HTTP status.
        reason: its own word, such as `AlreadyExists`; "" where something else than the API server
            answered, or it knows no such path.
        message: its own sentence.
        retry_after_s: when it asks to be asked again; 0 if it does not.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Place:
    """Where the kubeconfig leads, for messages and defaults.

    Attributes:
        server: address of the API server.
        context: name of the context; "" inside a pod.
        namespace: the context's own, or `default`.
    """

    server: str
    context: str
    namespace: str


def path_of(resource: Resource, namespace: str | None, name: str = "", sub: str = "") -> str:
    """Path of a collection, an object or its subresource; no namespace: over all of them."""
    version, plural = resource
    parts = ["api" if "/" not in version else "apis", version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts += [plural, *(quote(part, safe="") for part in (name, sub) if part)]
    return "/" + "/".join(parts)


class Api:
    """Requests to one API server."""

    def __init__(self, client: ApiClient, place: Place) -> None:
        self._client = client
        self.place = place

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """An object."""
        return self.request("GET", path_of(resource, namespace, name))

    def list_all(self, resource: Resource, namespace: str | None, **query: str) -> Object:
        """A list of objects; `query` holds selectors by their wire names."""
        return self.request("GET", path_of(resource, namespace), query=query)

    def create(
        self, resource: Resource, namespace: str, body: Object, dry_run: bool = False
    ) -> Object:
        """Make an object, and refuse a field that the API server does not know; the object."""
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self.request("POST", path_of(resource, namespace), body, query=query)

    def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> Object:
        """Delete an object if it is still the one with this uid."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        return self.request("DELETE", path_of(resource, namespace, name), body)

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Ask the API server; its answer, an object.

        Raises:
            ApiRefused: it answered with an error.
            ApiUnreachable: it gave no answer in time.
        """
        answer = self._send(method, path, body, query, ANSWER_WITHIN_S)
        return cast("Object", json.loads(_read(answer)))

    def lines(self, path: str, query: Mapping[str, str], silent_s: float) -> Iterator[bytes]:
        """The lines of an answer as they come, without their ends, until the server ends it.

        Args:
            path: what to ask for.
            query: its parameters.
            silent_s: longest time without a byte.

        Raises:
            ApiRefused: it answered with an error.
            ApiUnreachable: no answer, or it broke off.
        """
        answer = self._send("GET", path, None, query, silent_s)
        begun = bytearray()
        try:
            for part in answer.stream(amt=None, decode_content=True):
                begun += part
                *whole, rest = begun.split(b"\n")
                yield from map(bytes, whole)
                begun = bytearray(rest)
            if begun:
                yield bytes(begun)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachable(_reason(error)) from error
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: Mapping[str, str] | None,
        read_s: float,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        url = f"{self._client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = self._client.call_api(
                method, url, headers, body, _request_timeout=(_CONNECT_S, read_s)
            ).response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachable(_reason(error)) from error
        except ApiException as error:
            # The library's own for a certificate that is not trusted: no answer was read.
            raise ApiUnreachable(str(error.reason or error)) from error
        if not 200 <= answer.status < 300:
            raise refusal(answer.status, answer.headers, _read(answer))
        return cast("urllib3.BaseHTTPResponse", answer)


def refusal(code: int, headers: Mapping[str, str], text: bytes) -> ApiRefused:
    """The error that a `Status` object tells, or whatever stood between us and the API server."""
    status: Any = None
    with suppress(ValueError):
        status = json.loads(text)
    if not isinstance(status, dict):
        status = {"message": text[:500].decode(errors="replace").strip()}
    after = headers.get("Retry-After", "")
    return ApiRefused(
        code,
        str(status.get("reason") or ""),
        str(status.get("message") or ""),
        float(after) if after.isdigit() else 0.0,
    )


def connect(kubeconfig: str | None, context: str | None) -> Api:
    """The API server that a kubeconfig names, or that of the pod that this runs in.

    Args:
        kubeconfig: a file; None: `KUBECONFIG`, then `~/.kube/config`, then the pod's own account.
        context: of the kubeconfig; None: its current one.

    Raises:
        CommandError: there is none, or it cannot be used.
    """
    configuration = Configuration()
    # A second try would only double the time until an error is told.
    configuration.retries = False
    location = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    files = [Path(part).expanduser() for part in location.split(os.pathsep) if part]
    if not any(path.is_file() for path in files):
        if kubeconfig is None and os.environ.get(_IN_POD):
            return _of_pod(configuration)
        raise CommandError(
            f"no kubeconfig: there is no file {' or '.join(map(str, files))}. Give --kubeconfig "
            "FILE, or set KUBECONFIG; kubectl uses the same"
        )
    try:
        chosen = _chosen(location, context)
        load_kube_config(location, context=chosen["name"], client_configuration=configuration)
    except (ConfigException, OSError, yaml.YAMLError, ValueError) as error:
        raise CommandError(f"kubeconfig {location} cannot be used: {error}") from error
    namespace = str(chosen["context"].get("namespace") or "default")
    place = Place(configuration.host, chosen["name"], namespace)
    return Api(ApiClient(configuration), place)


def _chosen(location: str, wanted: str | None) -> Object:
    """The context to use.

    Raises:
        ConfigException: the file names none.
        CommandError: there is no such context.
    """
    contexts, active = list_kube_config_contexts(location)
    if wanted is None:
        return cast("Object", active)
    for one in contexts:
        if one["name"] == wanted:
            return cast("Object", one)
    names = [str(one["name"]) for one in contexts]
    raise CommandError(
        f"--context: kubeconfig {location} has no context {wanted}. "
        f"{did_you_mean(wanted, names)} It has: {', '.join(names)}"
    )


def _of_pod(configuration: Configuration) -> Api:
    try:
        load_incluster_config(client_configuration=configuration)
        namespace = _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise CommandError(
            f"no kubeconfig, and this pod has no account to use: {error}. Give --kubeconfig FILE"
        ) from error
    return Api(ApiClient(configuration), Place(configuration.host, "", namespace))


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return bytes(answer.data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ApiUnreachable(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Why there is no answer, without the library's own object in front."""
    said = str(error.args[-1]) if error.args else str(error)
    return _OWN_OBJECT.sub("", said) or type(error).__name__
