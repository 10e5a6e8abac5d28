"""Performers of the actions on Kubernetes objects. Called by `apply`."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime

from curator_operator.cluster.client import (
    CONFIG_MAPS,
    EVENTS,
    PIPELINES,
    RAYCLUSTERS,
    SECRETS,
    ApiRefused,
    Resource,
)
from curator_operator.cluster.performing import Conflict, Gone, Place, Tools, look_again, performs
from curator_operator.cluster.reduce import cluster_seen, owner_uid
from curator_operator.desired.children import token, with_token
from curator_operator.desired.labels import ATTEMPT, FINALIZER, MANAGER
from curator_operator.reconcile.actions import (
    AddFinalizer,
    CreateConfigMap,
    CreateRayCluster,
    CreateSecret,
    DeleteConfigMap,
    DeletePipeline,
    DeleteRayCluster,
    EmitEvent,
    PatchRayCluster,
    RemoveFinalizer,
)

# The API server's limits on an event.
_LONGEST_NOTE = 1024
_LONGEST_REASON = 128


class NameTaken(ApiRefused):
    """Something that is not the pipeline's has the name of one of its children."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            409,
            "NameTaken",
            f"{kind} {name!r} exists and does not belong to this pipeline; delete or rename it",
        )


@performs(AddFinalizer)
async def add_finalizer(tools: Tools, place: Place, _: AddFinalizer) -> None:
    """Ours, beside those that are there."""
    finalizers = place.pipeline.finalizers
    if FINALIZER not in finalizers:
        await _set_finalizers(tools, place, [*finalizers, FINALIZER])


@performs(RemoveFinalizer)
async def remove_finalizer(tools: Tools, place: Place, _: RemoveFinalizer) -> None:
    """Ours only."""
    finalizers = place.pipeline.finalizers
    if FINALIZER in finalizers:
        await _set_finalizers(tools, place, [one for one in finalizers if one != FINALIZER])


async def _set_finalizers(tools: Tools, place: Place, finalizers: list[str]) -> None:
    seen = place.pipeline
    body = {"metadata": {"resourceVersion": seen.resource_version, "finalizers": finalizers}}
    try:
        changed = await tools.api.merge_patch(PIPELINES, seen.namespace, seen.name, body)
    except ApiRefused as refused:
        if refused.not_found:
            raise Gone(str(place.key)) from refused
        if refused.conflict:
            await look_again(tools, place)
            raise Conflict(str(refused)) from refused
        raise
    tools.cache.put_pipeline(changed)


@performs(CreateSecret)
async def create_secret(tools: Tools, place: Place, action: CreateSecret) -> None:
    """With the token in it. One that is there is taken for ours: reading it is not allowed."""
    pipeline = place.pipeline
    attempt = int(action.body["metadata"]["labels"][ATTEMPT])
    body = with_token(dict(action.body), token(tools.settings.token_key, pipeline.uid, attempt))
    try:
        await tools.api.create(SECRETS, pipeline.namespace, body)
    except ApiRefused as refused:
        if not refused.already_exists:
            raise
    place.entry.children.add(f"Secret/{action.name}")


@performs(CreateConfigMap)
async def create_config_map(tools: Tools, place: Place, action: CreateConfigMap) -> None:
    """One that is there is ours, or its name is taken."""
    pipeline = place.pipeline
    try:
        await tools.api.create(CONFIG_MAPS, pipeline.namespace, action.body)
    except ApiRefused as refused:
        if not refused.already_exists:
            raise
        found = await tools.api.get(CONFIG_MAPS, pipeline.namespace, action.name)
        if owner_uid(found) != pipeline.uid:
            raise NameTaken("ConfigMap", action.name) from refused
    place.entry.children.add(f"ConfigMap/{action.name}")


@performs(CreateRayCluster)
async def create_ray_cluster(tools: Tools, place: Place, action: CreateRayCluster) -> None:
    """One that is there is ours, or its name is taken; then it is shown to `plan`."""
    pipeline = place.pipeline
    try:
        made = await tools.api.create(RAYCLUSTERS, pipeline.namespace, action.body)
    except ApiRefused as refused:
        if refused.not_found:
            tools.cache.kuberay = await tools.api.knows(RAYCLUSTERS)
        if not refused.already_exists:
            raise
        made = await tools.api.get(RAYCLUSTERS, pipeline.namespace, action.name)
        if owner_uid(made) != pipeline.uid:
            now = datetime.now(UTC).timestamp()
            place.entry.strangers[action.name] = (now, cluster_seen(made))
            raise NameTaken("RayCluster", action.name) from refused
    tools.cache.put_cluster(made)


@performs(PatchRayCluster)
async def patch_ray_cluster(tools: Tools, place: Place, action: PatchRayCluster) -> None:
    """Only if it is still as it was read: 422 is what a failed test of a patch gives."""
    namespace = place.pipeline.namespace
    try:
        changed = await tools.api.json_patch(RAYCLUSTERS, namespace, action.name, action.patch)
    except ApiRefused as refused:
        if refused.code not in {409, 422}:
            raise
        tools.cache.put_cluster(await tools.api.get(RAYCLUSTERS, namespace, action.name))
        raise
    tools.cache.put_cluster(changed)


@performs(DeleteRayCluster)
async def delete_ray_cluster(tools: Tools, place: Place, action: DeleteRayCluster) -> None:
    """Only the one with that uid; another one of that name, or none, is as good."""
    namespace = place.pipeline.namespace
    try:
        left = await tools.api.delete(RAYCLUSTERS, namespace, action.name, action.uid)
    except ApiRefused as refused:
        if not await _is_gone(tools, refused, (RAYCLUSTERS, namespace, action.name), action.uid):
            raise
        place.entry.clusters.pop(action.name, None)
        return
    if left.get("kind") == "RayCluster":
        tools.cache.put_cluster(left)
    else:
        place.entry.clusters.pop(action.name, None)


@performs(DeleteConfigMap)
async def delete_config_map(tools: Tools, place: Place, action: DeleteConfigMap) -> None:
    """None of that name is as good."""
    try:
        await tools.api.delete(CONFIG_MAPS, place.pipeline.namespace, action.name)
    except ApiRefused as refused:
        if not refused.not_found:
            raise
    place.entry.children.discard(f"ConfigMap/{action.name}")


@performs(DeletePipeline)
async def delete_pipeline(tools: Tools, place: Place, action: DeletePipeline) -> None:
    """Only the one with that uid."""
    pipeline = place.pipeline
    try:
        left = await tools.api.delete(PIPELINES, pipeline.namespace, pipeline.name, action.uid)
    except ApiRefused as refused:
        where = (PIPELINES, pipeline.namespace, pipeline.name)
        if not await _is_gone(tools, refused, where, action.uid):
            raise
        raise Gone(str(place.key)) from refused
    if left.get("kind") == "CuratorPipeline":
        tools.cache.put_pipeline(left)


async def _is_gone(
    tools: Tools, refused: ApiRefused, where: tuple[Resource, str, str], uid: str
) -> bool:
    """Whether a deletion was refused because the object with that uid is not there any more.

    A conflict alone does not say so: an admission webhook, or a busy store, gives one too.
    """
    if refused.conflict:
        try:
            found = await tools.api.get(*where)
        except ApiRefused as missing:
            if not missing.not_found:
                raise
            return True
        return str(found["metadata"]["uid"]) != uid
    return refused.not_found


@performs(EmitEvent)
async def emit_event(tools: Tools, place: Place, action: EmitEvent) -> None:
    """Once for each key: its name is made of the key, so that another process posts no second."""
    pipeline = place.pipeline
    name = f"{pipeline.name}.{_digest(pipeline.uid, action.key)}"
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": pipeline.namespace},
        "involvedObject": {
            "apiVersion": "curator.dev/v1alpha1",
            "kind": "CuratorPipeline",
            "namespace": pipeline.namespace,
            "name": pipeline.name,
            "uid": pipeline.uid,
            "resourceVersion": pipeline.resource_version,
        },
        "type": action.kind,
        "reason": action.event[:_LONGEST_REASON],
        "message": _cut(action.message, _LONGEST_NOTE),
        "source": {"component": MANAGER},
        "reportingComponent": "curator.dev/operator",
        "reportingInstance": os.environ.get("HOSTNAME", MANAGER)[:_LONGEST_REASON],
        "action": "Reconcile",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await tools.api.create(EVENTS, pipeline.namespace, body)
    except ApiRefused as refused:
        if not refused.already_exists:
            raise
    place.entry.told.add(action.key)


def _digest(uid: str, key: str) -> str:
    return hashlib.sha256(f"{uid}/{key}".encode()).hexdigest()[:16]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
