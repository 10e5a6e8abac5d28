"""`OperatorSettings`: how the operator is set up, from environment variables `CURATOR_*`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

PREFIX = "CURATOR_"


class SettingsError(ValueError):
    """An environment variable is wrong; names it, what was wanted and what it holds."""


class OperatorSettings(BaseModel):
    """Settings; each is the variable `CURATOR_` and its name in capitals.

    Attributes:
        namespaces: those that are watched, comma-separated in the variable; empty: all.
        own_namespace: where the operator itself lives; its key is kept there.
        default_image: image of pipelines that name none.
        ray_version: of that image.
        service_accounts: that pipelines may name.
        token_key: from which the tokens of clusters are made; at least 32 characters.
        dashboard_url: of the Ray head; `{cluster}` and `{namespace}` are filled in.
        driver_url: of the driver, the same.
        poll_interval_s: seconds between two polls of a running pipeline.
        poll_jitter_s: each poll comes earlier or later by up to this.
        poll_concurrency: polls under way at once.
        request_timeout_s: longest wait for an answer of a Ray head or driver.
        workers: pipelines that are reconciled at once.
        api_timeout_s: longest wait for an answer of the API server.
        resync_s: seconds after which each pipeline is looked at though nothing happened.
        stalled_after_s: seconds without a finished input after which a pipeline is `Stalled`.
        lost_after_s: seconds that a head may be silent until its job counts as lost.
        http_port: of `/healthz`, `/readyz` and `/metrics`.
        log_level: least severe level that is logged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespaces: tuple[str, ...] = ()
    own_namespace: str = "curator-system"
    default_image: str = "curator/executor:0.1.0"
    ray_version: str = "2.60.0"
    service_accounts: tuple[str, ...] = ()
    token_key: str = Field(min_length=32, repr=False)
    dashboard_url: str = "http://{cluster}-head-svc.{namespace}.svc:8265"
    driver_url: str = "http://{cluster}-head-svc.{namespace}.svc:8090"
    poll_interval_s: float = Field(6.5, gt=0)
    poll_jitter_s: float = Field(0.5, ge=0)
    poll_concurrency: int = Field(32, ge=1)
    request_timeout_s: float = Field(5.0, gt=0)
    workers: int = Field(16, ge=1)
    api_timeout_s: float = Field(15.0, gt=0)
    resync_s: float = Field(300.0, gt=0)
    stalled_after_s: float = Field(600.0, gt=0)
    lost_after_s: float = Field(120.0, gt=0)
    http_port: int = Field(8080, ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("dashboard_url", "driver_url")
    @classmethod
    def _can_be_filled_in(cls, url: str) -> str:
        try:
            filled = url.format(cluster="c", namespace="n")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"wanted an address in which {{cluster}} and {{namespace}} are filled in: {error}"
            ) from error
        if urlsplit(filled).scheme not in {"http", "https"} or not urlsplit(filled).hostname:
            raise ValueError("wanted an address that begins with http:// or https://")
        return url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> OperatorSettings:
        """The settings that environment variables give.

        Raises:
            SettingsError: a variable has a wrong value, or a required one is missing.
        """
        source = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            text = source.get(PREFIX + name.upper())
            if text is not None:
                values[name] = _listed(text) if name in _LISTS else text
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(
                "\n".join(
                    f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}, got {_shown(one)}"
                    for one in error.errors()
                )
            ) from error


_LISTS = ("namespaces", "service_accounts")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _shown(error: Mapping[str, Any]) -> str:
    """The value, unless it is a secret."""
    if error["loc"][0] == "token_key" or error["type"] == "missing":
        return "nothing" if error["type"] == "missing" else "(not shown)"
    return repr(error["input"])
