"""Pod templates laid over each other: `merge_template(base, over)`.

Called by `pods`: the operator's own pod, over it `spec.cluster.podTemplate`, over that the
group's. The rules are those that `kubectl patch` uses for pods, save for tolerations and `envFrom`,
which are added to those that are there: a template that tolerates one more taint must not take
away the group's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Lists whose entries are found by a key. Entries that are one thing or another (a volume is a
# claim or a Secret, a variable a value or a reference) are replaced, never mixed.
_MERGED_BY = {"containers": "name", "initContainers": "name"}
_REPLACED_BY = {
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
}
_ADDED = frozenset({"tolerations", "envFrom"})


def merge_template(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A pod template with another one laid over it; neither is changed.

    Args:
        base: a template whose lists have keys (`templates` sees to it).
        over: what is laid over it, of the same kind.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = merge_template(below, value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            merged[key] = _merge_list(key, below or [], value)
        else:
            merged[key] = value
    return merged


def _merge_list(key: str, base: Sequence[Any], over: Sequence[Any]) -> list[Any]:
    if key in _ADDED:
        return [*base, *(item for item in over if item not in base)]
    identity = _MERGED_BY.get(key) or _REPLACED_BY.get(key)
    if identity is None:
        return list(over)
    by_identity = {item[identity]: item for item in base}
    for item in over:
        below = by_identity.get(item[identity])
        by_identity[item[identity]] = (
            merge_template(below, item) if below is not None and key in _MERGED_BY else item
        )
    return list(by_identity.values())
