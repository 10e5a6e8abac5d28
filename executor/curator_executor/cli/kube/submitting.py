"""`curator submit`: a manifest becomes a pipeline on the cluster.

What is wrong with the file is said before anything is asked of the cluster; what the API server
refuses is said before anything is made.
"""

from __future__ import annotations

import secrets
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from curator_api.errors import ManifestError, Problem
from curator_api.load import load_manifest, with_lines
from curator_api.received import parse_status
from curator_api.v1alpha1 import API_VERSION, KIND, CuratorPipeline
from curator_api.v1alpha1.status import ENDED
from curator_executor.cli.kube import code_archive
from curator_executor.cli.kube.api import CONFIG_MAPS, PIPELINES, Api, ApiError, ApiRefused, Object
from curator_executor.cli.kube.code_archive import Code
from curator_executor.cli.kube.following import Broken, Gone, OneObject, follow
from curator_executor.cli.kube.watching import watch_to_the_end
from curator_executor.cli.outcome import OK, CommandError

# kubectl's copy of what was applied: it would be taken for what is applied next.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST_NAME = 40


def submit_pipeline(options: Namespace, api: Api) -> int:
    """Make the pipeline, and wait for its end if that was asked for; the exit code.

    Raises:
        ManifestError: the manifest is wrong.
        CommandError: the code cannot be taken along, or the name is taken.
        ApiError: the API server refuses.
    """
    path = Path(options.manifest)
    manifest = load_manifest(path)
    check_for_cluster(manifest, path)
    namespace = namespace_of(manifest, options.namespace, api.place.namespace)
    obj = as_sent(manifest)
    code = None
    if options.code is not None:
        code = code_archive.pack(Path(options.code))
        note = code_archive.unused(obj, code)
        if note:
            print(f"note: {note}", file=sys.stderr)
    name = str(obj["metadata"]["name"])
    try:
        # Everything that the API server finds wrong is known before anything is replaced or made.
        make(api, namespace, obj, code, dry_run=True)
    except ApiRefused as error:
        if error.code != 409:
            raise
        make_way(api, namespace, name, replace=options.replace, dry_run=options.dry_run)
    if options.dry_run:
        print(f"{namespace}/{name}: the API server would take it; nothing was made")
        return OK
    made = make(api, namespace, obj, code)
    return tell_and_wait(api, made, options, code)


def check_for_cluster(manifest: CuratorPipeline, path: Path) -> None:
    """What the operator would refuse later, told now with the line.

    Raises:
        ManifestError: the manifest names no cluster to run on.
    """
    if manifest.spec.cluster is None:
        missing = Problem(
            "spec.cluster",
            "is missing: on Kubernetes a pipeline says which pods it runs on",
            "Give workerGroups, or existing with the name of a RayCluster",
        )
        raise with_lines(ManifestError([missing]), path)


def namespace_of(manifest: CuratorPipeline, given: str | None, usual: str) -> str:
    """Namespace of a new pipeline.

    Args:
        manifest: may name one.
        given: on the command line; None if it was not.
        usual: that of the kubeconfig's context.

    Raises:
        CommandError: the manifest and the command line name different ones.
    """
    own = manifest.metadata.namespace
    if own is not None and given is not None and own != given:
        raise CommandError(
            f"the manifest says metadata.namespace: {own}, the command line --namespace {given}. "
            "Leave one of them out"
        )
    return own or given or usual


def as_sent(manifest: CuratorPipeline) -> Object:
    """What is sent of a manifest: what a person wrote, nothing that an API server did."""
    given: dict[str, Any] = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return new_object(given["metadata"]["name"], given["metadata"], given["spec"])


def new_object(name: str, metadata: Object, spec: Object) -> Object:
    """A pipeline to be made, with labels and annotations of another or of a file."""
    kept: Object = {"name": name}
    if metadata.get("labels"):
        kept["labels"] = dict(metadata["labels"])
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != LAST_APPLIED
    }
    if annotations:
        kept["annotations"] = annotations
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": kept, "spec": spec}


def make(api: Api, namespace: str, obj: Object, code: Code | None, dry_run: bool = False) -> Object:
    """Make the pipeline, and after it the ConfigMap with its code, which it owns.

    The pipeline comes first because only then it has the uid that an owner is named by; its pods
    take seconds to come and the ConfigMap does not. If that cannot be made, the pipeline goes.

    Returns:
        The pipeline as the API server has it.

    Raises:
        CommandError: the code cannot be taken along.
        ApiError: the API server refuses; nothing is left.
    """
    if code is None:
        return api.create(PIPELINES, namespace, obj, dry_run)
    # By chance, so that it never meets the ConfigMap of a pipeline that has just been deleted.
    name = f"{obj['metadata']['name'][:_LONGEST_NAME]}-code-{secrets.token_hex(4)}"
    given = code_archive.with_code(obj, name)
    if dry_run:
        api.create(CONFIG_MAPS, namespace, code_archive.config_map(name, code, None), dry_run=True)
        return api.create(PIPELINES, namespace, given, dry_run=True)
    made = api.create(PIPELINES, namespace, given)
    try:
        api.create(CONFIG_MAPS, namespace, code_archive.config_map(name, code, made))
    except BaseException:
        _take_back(api, namespace, made)
        raise
    return made


def _take_back(api: Api, namespace: str, made: Object) -> None:
    name = str(made["metadata"]["name"])
    try:
        api.delete(PIPELINES, namespace, name, str(made["metadata"]["uid"]))
    except ApiError as error:
        raise CommandError(
            f"{namespace}/{name} was made without its code, and could not be deleted: {error}. Do "
            f"it with kubectl delete cpl -n {namespace} {name}"
        ) from error


def make_way(api: Api, namespace: str, name: str, replace: bool, dry_run: bool) -> None:
    """Delete an ended pipeline whose name is wanted, and wait until it is gone.

    Raises:
        CommandError: it has not ended, or nobody asked for it to be replaced.
        ApiError: the API server did not do it.
    """
    obj = api.get(PIPELINES, namespace, name)
    phase = parse_status(obj.get("status")).phase
    if phase not in ENDED:
        raise CommandError(
            f"{namespace}/{name} exists and is {phase or 'new'}. It is not touched: watch it with "
            f"curator watch -n {namespace} {name}, end it with kubectl delete cpl -n {namespace} "
            f"{name}, or submit under another name"
        )
    if not replace:
        raise CommandError(
            f"{namespace}/{name} exists and has {phase.lower()}. Delete it and submit this one "
            f"with --replace, run it again with curator rerun -n {namespace} {name}, or submit "
            "under another name"
        )
    if dry_run:
        return
    uid = str(obj["metadata"]["uid"])
    source = OneObject(api, PIPELINES, namespace, name)
    api.delete(PIPELINES, namespace, name, uid)
    for change in follow(source, time.sleep):
        if isinstance(change, Broken):
            print(f"curator: {change.message}; asking again", file=sys.stderr)
        elif isinstance(change, Gone) or str(change.obj["metadata"]["uid"]) != uid:
            break


def tell_and_wait(api: Api, made: Object, options: Namespace, code: Code | None) -> int:
    """Say what was made and what to do next, and wait for its end if that was asked for."""
    namespace, name = str(made["metadata"]["namespace"]), str(made["metadata"]["name"])
    carried = f" with {len(code.data):,} bytes of code" if code is not None else ""
    print(f"{namespace}/{name} created{carried}")
    if options.watch or options.wait:
        return watch_to_the_end(api, namespace, name, quiet=options.wait)
    place = "".join(
        f" --{option} {given}"
        for option in ("context", "kubeconfig")
        if (given := getattr(options, option)) is not None
    )
    for command in ("watch", "logs -f"):
        print(f"  {options.program} {command} -n {namespace}{place} {name}")
    return OK
