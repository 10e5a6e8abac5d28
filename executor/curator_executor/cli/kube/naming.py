"""What to say where a name leads nowhere: the near names, or the namespace that has it.

Called by every command that takes a pipeline's name, when there is none of it.
"""

from __future__ import annotations

from curator_api.errors import nearest
from curator_executor.cli.kube.api import PIPELINES, Api, ApiError, Object
from curator_executor.cli.outcome import CommandError

_SHOWN = 8


def no_such_pipeline(api: Api, namespace: str, name: str) -> CommandError:
    """The error, with what may have been meant; asks the API server for it."""
    try:
        names = _names(api.list_all(PIPELINES, namespace))
    except ApiError:
        names = []
    elsewhere: list[str] = []
    if not nearest(name, names):
        try:
            only = {"fieldSelector": f"metadata.name={name}"}
            found = api.list_all(PIPELINES, None, **only)["items"]
            elsewhere = sorted(str(one["metadata"]["namespace"]) for one in found)
        except ApiError:
            # Not everybody may look into all namespaces.
            elsewhere = []
    return CommandError(missing(namespace, name, names, elsewhere))


def missing(namespace: str, name: str, names: list[str], elsewhere: list[str]) -> str:
    """The sentence. Pure.

    Args:
        namespace: where the pipeline was looked for.
        name: what was looked for.
        names: of the pipelines that are there.
        elsewhere: namespaces that have a pipeline of that name.
    """
    said = f"there is no pipeline {name} in namespace {namespace}"
    near = nearest(name, names)
    if near:
        return f"{said}. Did you mean {near}?"
    if elsewhere:
        return f"{said}, but in namespace {elsewhere[0]}: --namespace {elsewhere[0]}"
    if not names:
        return f"{said}, and no other one; --namespace names another namespace"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{said}. It has: {shown}"


def _names(found: Object) -> list[str]:
    return sorted(str(one["metadata"]["name"]) for one in found["items"])
