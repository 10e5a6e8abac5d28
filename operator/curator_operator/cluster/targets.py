"""Where the Ray head and the driver of a pipeline answer, and with which token.

Called by `follow` and `apply`. A cluster of our own has its head service and a token worked out of
the operator's key; an existing one has its own token, in the Secret that the pipeline names.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from typing import Any

from curator_operator.cluster.client import SECRETS, ApiRefused, KubeApi
from curator_operator.cluster.http import Endpoint, Unauthorized
from curator_operator.desired.children import token
from curator_operator.desired.names import TOKEN_KEY
from curator_operator.reconcile.observed import PipelineSeen
from curator_operator.settings import OperatorSettings

# A token that was changed is asked for again at this pace, or at once after a 401.
_SECRET_FOR_S = 60.0


def existing_of(pipeline: PipelineSeen) -> Mapping[str, Any] | None:
    """`spec.cluster.existing`, or None; the spec may be anything."""
    cluster = pipeline.spec.get("cluster")
    existing = cluster.get("existing") if isinstance(cluster, Mapping) else None
    named = isinstance(existing, Mapping) and isinstance(existing.get("name"), str)
    return existing if named else None


class Targets:
    """Endpoints of pipelines."""

    def __init__(
        self,
        api: KubeApi,
        settings: OperatorSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}

    async def dashboard(self, pipeline: PipelineSeen, cluster: str) -> Endpoint:
        """The head of a cluster of the pipeline.

        Raises:
            Unauthorized: the token of an existing cluster cannot be had; says why.
            ApiUnreachable: the API server does not answer.
        """
        url = self._settings.dashboard_url.format(cluster=cluster, namespace=pipeline.namespace)
        return Endpoint(url, await self._token(pipeline))

    async def driver(self, pipeline: PipelineSeen, cluster: str, address: str) -> Endpoint | None:
        """The driver of a pipeline's attempt; None while it is not known where it runs.

        Args:
            pipeline: whose.
            cluster: where the attempt runs.
            address: `HOST:PORT`, of a driver on an existing cluster.

        Raises:
            Unauthorized: the token of an existing cluster cannot be had; says why.
            ApiUnreachable: the API server does not answer.
        """
        if existing_of(pipeline) is not None:
            return Endpoint(f"http://{address}", await self._token(pipeline)) if address else None
        url = self._settings.driver_url.format(cluster=cluster, namespace=pipeline.namespace)
        return Endpoint(url, await self._token(pipeline))

    def forget_token(self, pipeline: PipelineSeen) -> None:
        """The token of an existing cluster was not taken: read it anew next time."""
        existing = existing_of(pipeline)
        if existing is not None:
            self._tokens.pop((pipeline.namespace, _secret_name(existing)), None)

    async def _token(self, pipeline: PipelineSeen) -> str:
        existing = existing_of(pipeline)
        if existing is None:
            attempt = pipeline.status.attempt or 1
            return token(self._settings.token_key, pipeline.uid, attempt)
        name = _secret_name(existing)
        if not name:
            return ""
        place = (pipeline.namespace, name)
        known = self._tokens.get(place)
        if known is not None and self._clock() - known[0] < _SECRET_FOR_S:
            return known[1]
        value = await self._read(*place)
        self._tokens[place] = (self._clock(), value)
        return value

    async def _read(self, namespace: str, name: str) -> str:
        where = f"spec.cluster.existing.authSecretRef: Secret {namespace}/{name}"
        try:
            secret = await self._api.get(SECRETS, namespace, name)
        except ApiRefused as refused:
            raise Unauthorized(
                f"{where}: cannot be read: {refused}. The operator's service account needs `get` "
                f"on it, by a Role in that namespace",
                refused.code,
            ) from refused
        encoded = (secret.get("data") or {}).get(TOKEN_KEY)
        if not encoded:
            raise Unauthorized(f"{where}: wanted key {TOKEN_KEY!r}, it is not there")
        try:
            return base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthorized(f"{where}: key {TOKEN_KEY!r} holds no text") from error


def _secret_name(existing: Mapping[str, Any]) -> str:
    reference = existing.get("authSecretRef")
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return name if isinstance(name, str) else ""
