"""`Volume`: a volume of the pods, as in a pod's own `volumes`.

Its kinds are listed, so that a misspelt one is refused, and so that the API server sees when one
kind is replaced by another. A kind that is not here can be given in `podTemplate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from curator_api.errors import did_you_mean, shown
from curator_api.v1alpha1.names import LABEL_NAME_PATTERN, WORDS_BY_PATTERN
from curator_api.v1alpha1.rules import Breach, raise_broken

# Those of Kubernetes 1.34 that are not withdrawn.
VOLUME_KINDS = (
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "portworxVolume",
    "projected",
    "rbd",
    "secret",
    "vsphereVolume",
)
_LONGEST_NAME = 63


def volume_rules(volume: dict[str, Any]) -> Iterator[Breach]:
    """A name, and kinds that there are."""
    name = volume.get("name")
    if name is None:
        yield Breach(("name",), "is missing: Name of the volume, for `volumeMounts`")
    elif not isinstance(name, str):
        yield Breach(("name",), f"wanted text, got {shown(name)}")
    elif len(name) > _LONGEST_NAME or not re.fullmatch(LABEL_NAME_PATTERN.strip("^$"), name):
        yield Breach(
            ("name",),
            f"wanted at most {_LONGEST_NAME} {WORDS_BY_PATTERN[LABEL_NAME_PATTERN]}; "
            f"got {shown(name)}",
        )
    for kind, value in volume.items():
        if kind == "name":
            continue
        if kind not in VOLUME_KINDS:
            yield Breach((kind,), "unknown kind of volume", did_you_mean(kind, VOLUME_KINDS))
        elif not isinstance(value, dict):
            yield Breach((kind,), f"wanted a mapping, got {shown(value)}")


def _volume(value: object) -> object:
    if not isinstance(value, dict):
        return value
    given = {name: entry for name, entry in value.items() if entry is not None}
    raise_broken(volume_rules(given))
    return given


_FREE = {"type": "object", "additionalProperties": True}
Volume = Annotated[
    dict[str, Any],
    BeforeValidator(_volume),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": {
                    "type": "string",
                    "pattern": LABEL_NAME_PATTERN,
                    "maxLength": _LONGEST_NAME,
                    "description": "Name of the volume, for `volumeMounts`.",
                },
                **{
                    kind: {**_FREE, "description": "As in a pod's own volume."}
                    for kind in VOLUME_KINDS
                },
            },
        }
    ),
]
"""A mapping: `name`, and the volume under the name of its kind."""
