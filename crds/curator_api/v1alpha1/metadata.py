"""`Metadata`: name and labels, and what `kubectl get -o yaml` prints beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from curator_api.base import SpecModel
from curator_api.errors import shown
from curator_api.v1alpha1.names import LabelName, ResourceName
from curator_api.v1alpha1.rules import Breach, raise_broken

# Kubernetes' own limits on the keys and values of labels.
_LONGEST_NAME = 63
_LONGEST_PREFIX = 253
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OF_THE_SERVER = "Written by the API server; ignored."


class Metadata(SpecModel):
    """Name and labels."""

    name: ResourceName = Field(
        description="Name of the pipeline: lower-case letters, digits and '-', from a letter, at "
        "most 40."
    )
    namespace: LabelName | None = Field(None, description="Kubernetes namespace.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels, as text.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations, as text.")
    generate_name: str | None = Field(
        None, description="What the API server made the name from; ignored."
    )
    uid: str | None = Field(None, description=_OF_THE_SERVER)
    resource_version: str | None = Field(None, description=_OF_THE_SERVER)
    generation: int | None = Field(None, description=_OF_THE_SERVER)
    creation_timestamp: str | None = Field(None, description=_OF_THE_SERVER)
    deletion_timestamp: str | None = Field(None, description=_OF_THE_SERVER)
    deletion_grace_period_seconds: int | None = Field(None, description=_OF_THE_SERVER)
    finalizers: Any = Field(None, description=_OF_THE_SERVER)
    owner_references: Any = Field(None, description=_OF_THE_SERVER)
    managed_fields: Any = Field(None, description=_OF_THE_SERVER)
    self_link: str | None = Field(None, description=_OF_THE_SERVER)

    @model_validator(mode="after")
    def _rules(self) -> Metadata:
        raise_broken(metadata_rules(self))
        return self


def metadata_rules(metadata: Metadata) -> Iterator[Breach]:
    """Labels and annotations as Kubernetes takes them."""
    yield from _key_rules("labels", metadata.labels)
    yield from _key_rules("annotations", metadata.annotations)
    for key, value in metadata.labels.items():
        if value and (len(value) > _LONGEST_NAME or not _NAME.fullmatch(value)):
            yield Breach(
                ("labels", key),
                f"wanted at most {_LONGEST_NAME} letters, digits, '-', '_' and '.', beginning and "
                f"ending with a letter or a digit; got {shown(value)}",
            )


def _key_rules(field: str, entries: Mapping[str, str]) -> Iterator[Breach]:
    for key in entries:
        prefix, slash, name = key.rpartition("/")
        # Annotations are compared in lower case, labels as they are.
        compared = prefix.lower() if field == "annotations" else prefix
        good = len(name) <= _LONGEST_NAME and _NAME.fullmatch(name)
        if slash:
            good = good and len(prefix) <= _LONGEST_PREFIX and _PREFIX.fullmatch(compared)
        if not good:
            yield Breach(
                (field, key),
                "wanted a key such as team or example.com/team, of letters, digits, '-', '_' and "
                f"'.', got {shown(key)}",
            )
