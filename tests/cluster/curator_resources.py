"""CuratorPipelines put to the API server: taken or refused, and what came of them.

Used by the tests of the CRD. Manifests go in as `kubectl` would send them, without starting it
each time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from curator_api.document import read_document
from tests.cluster.control_plane import ControlPlane

Resource = dict[str, Any]
WHERE = ("curator.dev", "v1alpha1")
PLURAL = "curatorpipelines"


def as_sent(text: str) -> Resource:
    """A manifest as `kubectl` sends it: in JSON, whole numbers without a point."""
    sent: Resource = _numbers(read_document(text).value)
    if isinstance(sent.get("metadata"), dict):
        sent["metadata"].pop("namespace", None)
    return sent


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_numbers(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CuratorResources:
    """The pipelines of a namespace."""

    def __init__(self, control_plane: ControlPlane, namespace: str = "default") -> None:
        self._api = client.CustomObjectsApi(control_plane.api)
        self._place = (*WHERE, namespace, PLURAL)

    def refusal(self, sent: Resource) -> str:
        """What the API server says to creating it, under strict validation; "" if it takes it."""
        return _said(lambda: self.create(sent, dry_run="All"))

    def create(
        self, sent: Resource, validation: str = "Strict", dry_run: str | None = None
    ) -> Resource:
        """The resource as it was stored, or would have been."""
        made: Any = self._api.create_namespaced_custom_object(
            *self._place, copy.deepcopy(sent), field_validation=validation, dry_run=dry_run
        )
        return dict(made)

    def replace(self, seen: Resource, dry_run: str | None = None) -> Resource:
        """The resource after all but its status was replaced."""
        made: Any = self._api.replace_namespaced_custom_object(
            *self._place, seen["metadata"]["name"], seen, field_validation="Strict", dry_run=dry_run
        )
        return dict(made)

    def replace_status(self, seen: Resource, dry_run: str | None = None) -> Resource:
        """The resource after its status was replaced."""
        made: Any = self._api.replace_namespaced_custom_object_status(
            *self._place, seen["metadata"]["name"], seen, field_validation="Strict", dry_run=dry_run
        )
        return dict(made)

    def edit_refusal(self, seen: Resource) -> str:
        """What the API server says to an edit; "" if it takes it."""
        return _said(lambda: self.replace(seen, dry_run="All"))

    def status_refusal(self, seen: Resource) -> str:
        """What the API server says to a status; "" if it takes it."""
        return _said(lambda: self.replace_status(seen, dry_run="All"))


def _said(ask: Callable[[], object]) -> str:
    try:
        ask()
    except ApiException as error:
        # 400: not decoded; 422: not valid. Anything else is no verdict.
        if error.status not in (400, 422):
            raise
        return str(json.loads(error.body or "{}")["message"])
    return ""
