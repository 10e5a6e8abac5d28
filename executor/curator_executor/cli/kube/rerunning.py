"""`curator rerun`: a pipeline that has ended, once more, as a new resource.

What has ended stays as it is, with its status: it can be compared, and nothing of it is edited.
"""

from __future__ import annotations

import re
from argparse import Namespace

from curator_api.received import parse_status
from curator_api.v1alpha1.status import ENDED
from curator_executor.cli.kube import code_archive
from curator_executor.cli.kube.api import CONFIG_MAPS, PIPELINES, Api, ApiRefused, Object
from curator_executor.cli.kube.code_archive import Code
from curator_executor.cli.kube.naming import no_such_pipeline
from curator_executor.cli.kube.submitting import make, new_object, tell_and_wait
from curator_executor.cli.outcome import CommandError

RERUN_OF = "curator.dev/rerun-of"
_LONGEST_NAME = 40
# Somebody else may take a name between our look and our making.
_TRIES = 5


def rerun_pipeline(options: Namespace, api: Api) -> int:
    """Make the new pipeline, and wait for its end if that was asked for; the exit code.

    Raises:
        CommandError: there is no such pipeline, it has not ended, or the new name is taken.
        ApiError: the API server refuses.
    """
    namespace = options.namespace or api.place.namespace
    old = _ended(api, namespace, options.name)
    code = _code(api, namespace, old)
    for _ in range(_TRIES):
        taken = {
            str(one["metadata"]["name"]) for one in api.list_all(PIPELINES, namespace)["items"]
        }
        name = options.new_name or next_name(old, taken)
        if name in taken:
            raise CommandError(f"--name: {namespace}/{name} exists; give another one")
        try:
            made = make(api, namespace, again(old, name), code)
        except ApiRefused as error:
            if error.code != 409:
                raise
        else:
            return tell_and_wait(api, made, options, code)
    raise CommandError(f"somebody takes the names after {options.name}; give one with --name")


def again(old: Object, name: str) -> Object:
    """The pipeline that runs the same once more. Pure."""
    spec = {key: value for key, value in old["spec"].items() if key != "suspend"}
    made = new_object(name, old["metadata"], spec)
    annotations = made["metadata"].get("annotations", {})
    made["metadata"]["annotations"] = {**annotations, RERUN_OF: old["metadata"]["name"]}
    return made


def next_name(old: Object, taken: set[str]) -> str:
    """The name with the next free number behind it: `clean-web-2`, then `clean-web-3`. Pure.

    Args:
        old: the pipeline that is run again; if it is one of these itself, its number is counted on.
        taken: names that are there.
    """
    base = str(old["metadata"]["name"])
    if RERUN_OF in (old["metadata"].get("annotations") or {}):
        base = re.sub(r"-\d+$", "", base)
    number = 2
    while True:
        behind = f"-{number}"
        name = base[: _LONGEST_NAME - len(behind)].rstrip("-") + behind
        if name not in taken:
            return name
        number += 1


def _ended(api: Api, namespace: str, name: str) -> Object:
    try:
        old = api.get(PIPELINES, namespace, name)
    except ApiRefused as error:
        if error.code != 404 or not error.reason:
            raise
        raise no_such_pipeline(api, namespace, name) from error
    phase = parse_status(old.get("status")).phase
    if phase not in ENDED:
        raise CommandError(
            f"{namespace}/{name} is {phase or 'new'}, and only what has ended is run again. Submit "
            "its manifest under another name to run it twice"
        )
    return old


def _code(api: Api, namespace: str, old: Object) -> Code | None:
    """A copy of the code that it was submitted with: the old one goes with its owner."""
    name = code_archive.config_map_of(old)
    if not name:
        return None
    try:
        return code_archive.code_of(api.get(CONFIG_MAPS, namespace, name))
    except ApiRefused as error:
        if error.code != 404:
            raise
        raise CommandError(
            f"the code that {namespace}/{old['metadata']['name']} ran with is gone: ConfigMap "
            f"{name}. Submit its manifest with --code"
        ) from error
