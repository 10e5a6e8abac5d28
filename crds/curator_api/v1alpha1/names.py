"""Field types that several models share: names, labels, free-form values, limits.

The words behind a pattern are kept here too, so that an error can say them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from curator_api.errors import shown

# Limits on what a rule walks: the API server prices a rule by them.
MOST_STAGES = 64
MOST_WORKER_GROUPS = 16
MOST_PARTS = 16
MOST_STAGES_AND_PARTS = 128
MOST_LISTED = 64
# What Kubernetes itself stores in the fields that these end up in.
MOST_COUNTED = 2**31 - 1
MOST_GPUS = 1024

RESOURCE_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
STAGE_NAME_PATTERN = r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
LABEL_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DOTTED_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*[.:][A-Za-z_][A-Za-z0-9_.]*$"
URI_PATTERN = r"^(file:///|[a-z][a-z0-9+.-]*://[^/]).*$"
# ASCII alone: engines of regular expressions differ on what else is a space.
IMAGE_PATTERN = r"^[!-~]+$"
MOUNT_PATTERN = r"^/([^/:]+/?)*$"
VERSION_PATTERN = r"^[0-9]+\.[0-9]+\.[0-9]+$"

WORDS_BY_PATTERN = {
    RESOURCE_NAME_PATTERN: (
        "lower-case letters, digits and '-', beginning with a letter and not ending in '-'"
    ),
    STAGE_NAME_PATTERN: (
        "letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit"
    ),
    LABEL_NAME_PATTERN: (
        "lower-case letters, digits and '-', beginning and ending with a letter or a digit"
    ),
    DOTTED_PATTERN: "a Python name with its module, such as my_team.stages.Embed",
    URI_PATTERN: (
        "a location with its scheme, such as s3://bucket/folder or file:///absolute/folder"
    ),
    IMAGE_PATTERN: "an image name without spaces, such as curator/executor:0.1.0",
    MOUNT_PATTERN: "an absolute path without ':' and without '//'",
    VERSION_PATTERN: "a version of three numbers, such as 2.60.0",
}

ResourceName = Annotated[str, Field(pattern=RESOURCE_NAME_PATTERN, max_length=40)]
StageName = Annotated[str, Field(pattern=STAGE_NAME_PATTERN, max_length=63)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME_PATTERN, max_length=63)]
DottedName = Annotated[str, Field(pattern=DOTTED_PATTERN, max_length=512)]
Uri = Annotated[str, Field(pattern=URI_PATTERN, max_length=1024)]

Count = Annotated[int, Field(le=MOST_COUNTED)]
"""A whole number of anything, or of seconds."""

# What server-side apply and the rules about edits take for the same entry.
BY_NAME: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
BY_TYPE: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}
AS_SET: dict[str, Any] = {"uniqueItems": True}


def _without_repeats(values: list[str]) -> list[str]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise PydanticCustomError("repeated", "{said}", {"said": f"names {shown(value)} twice"})
    return values


Unrepeated = AfterValidator(_without_repeats)
"""Marks a list as a set; its field says so with `AS_SET`."""


def unrepeated_by(key: str) -> AfterValidator:
    """Marks a list of models of which no two have the same `key`; for `BY_NAME` and `BY_TYPE`."""

    def judge(entries: list[Any]) -> list[Any]:
        keys = [getattr(entry, key) for entry in entries]
        repeated = [place for place, own in enumerate(keys) if own in keys[:place]]
        if repeated:
            said = f"{key} {shown(keys[repeated[0]])} twice"
            raise PydanticCustomError("repeated", "{said}", {"said": said, "places": repeated})
        return entries

    return AfterValidator(judge)


FreeForm = dict[str, Any]
"""A mapping that is passed on as it is."""
