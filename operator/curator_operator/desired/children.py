"""ConfigMap and Secret of an attempt, and the token in the Secret."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired.attempt import Attempt, PipelineIdentity
from curator_operator.desired.manifest import manifest_of
from curator_operator.desired.names import MANIFEST_KEY, TOKEN_KEY


def config_map(pipeline: PipelineIdentity, spec: PipelineSpec, attempt: int) -> dict[str, Any]:
    """The ConfigMap that the head mounts, with the manifest of the attempt.

    Immutable: what an attempt runs does not change under it.

    Raises:
        DesiredError: the manifest does not fit into a ConfigMap.
    """
    this = Attempt(pipeline, attempt)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": this.metadata(this.config_map),
        "immutable": True,
        "data": {MANIFEST_KEY: manifest_of(pipeline, spec)},
    }


def token_secret(pipeline: PipelineIdentity, attempt: int) -> dict[str, Any]:
    """The Secret that opens the attempt's cluster, without the token.

    The token is put in where the Secret is made (`with_token`), so that no plan, log or test
    holds one.
    """
    this = Attempt(pipeline, attempt)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": this.metadata(this.token_secret),
        "immutable": True,
        "type": "Opaque",
    }


def with_token(secret: dict[str, Any], value: str) -> dict[str, Any]:
    """The Secret with the token in it."""
    return {**secret, "stringData": {TOKEN_KEY: value}}


def token(key: str, uid: str, attempt: int) -> str:
    """The token of an attempt's cluster: 64 hexadecimal digits, nothing to remember.

    HMAC-SHA256 of the attempt with the operator's own key: whoever knows one token knows no other.

    Args:
        key: `OperatorSettings.token_key`.
        uid: of the pipeline.
        attempt: its number.
    """
    return hmac.new(key.encode(), f"{uid}/{attempt}".encode(), hashlib.sha256).hexdigest()
