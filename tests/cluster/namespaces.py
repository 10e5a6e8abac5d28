"""Namespaces for one test each. Used by the `namespace` fixture."""

from __future__ import annotations

import re
import uuid
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.processes import eventually

CUSTOM_RESOURCES = [
    ("curator.dev", "v1alpha1", "curatorpipelines"),
    ("ray.io", "v1", "rayclusters"),
]
NAME_LENGTH = 30


def name_for(test: str) -> str:
    """A name for a namespace, after a test, that no other has."""
    readable = re.sub(r"[^a-z0-9]+", "-", test.lower()).removeprefix("test-")[:NAME_LENGTH]
    return f"{readable.strip('-')}-{uuid.uuid4().hex[:6]}"


def made(core: client.CoreV1Api, test: str) -> str:
    """A new namespace, named after a test, in which pods can be made at once.

    Returns:
        Its name.
    """
    name = name_for(test)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))

    # The API server refuses pods until their service account is there.
    def has_service_account() -> bool:
        found = core.list_namespaced_service_account(name, field_selector="metadata.name=default")
        return bool(found.items)

    eventually(has_service_account, f"the default service account of {name}")
    return name


def emptied(api: client.ApiClient, name: str) -> None:
    """Have a namespace deleted, and do not wait for it.

    An operator that has ended removes no finalizer, so that is done here: what a test leaves must
    not be the next one's work.
    """
    custom = client.CustomObjectsApi(api)
    client.CoreV1Api(api).delete_namespace(name)
    for group, version, plural in CUSTOM_RESOURCES:
        try:
            listed: Any = custom.list_namespaced_custom_object(group, version, name, plural)
        except ApiException as error:
            if error.status == 404:  # the API server does not know them: no test asked for them
                continue
            raise
        for each in listed["items"]:
            if each["metadata"].get("finalizers"):
                _release(custom, (group, version, name, plural, each["metadata"]["name"]))


def _release(custom: client.CustomObjectsApi, where: tuple[str, str, str, str, str]) -> None:
    try:
        custom.patch_namespaced_custom_object(
            *where,
            {"metadata": {"finalizers": None}},
            _content_type="application/merge-patch+json",
        )
    except ApiException as error:
        if error.status != 404:
            raise
