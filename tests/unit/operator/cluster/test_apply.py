"""Performers: each action has one, and doing it twice is doing it once."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster.apply import PERFORMERS, ActionRefused, Conflict, Gone
from curator_operator.cluster.client import ApiUnreachable
from curator_operator.cluster.faults import Fault
from curator_operator.cluster.performing import performs
from curator_operator.desired.children import token
from curator_operator.desired.labels import ATTEMPT, FINALIZER
from curator_operator.reconcile.actions import (
    ACTIONS,
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
    SubmitJob,
)
from tests.unit.operator.cluster.applying import World
from tests.unit.operator.cluster.fakes import (
    CLUSTER,
    CLUSTER_PATH,
    CLUSTERS_PATH,
    PIPELINE_PATH,
    RUNNING,
    SETTINGS,
    UID,
    cache_with,
    pipeline,
    ray_cluster,
    refused,
)

NAMESPACE = "/api/v1/namespaces/team-a"
EXISTS = refused(409, "AlreadyExists")
BODY: dict[str, Any] = {"metadata": {"name": "child", "labels": {ATTEMPT: "1"}}}


def test_every_action_has_exactly_one_performer() -> None:
    assert set(PERFORMERS) == set(ACTIONS)
    with pytest.raises(ValueError, match="SubmitJob has two performers"):
        performs(SubmitJob)(PERFORMERS[SubmitJob])


# Finalizers


def test_our_finalizer_is_put_beside_those_of_others() -> None:
    cache = cache_with(finalizers=("other/one",))
    world = World({("PATCH", PIPELINE_PATH): pipeline(11)}, cache=cache).do(AddFinalizer("r"))
    assert world.api.asked[0][2] == {
        "metadata": {"resourceVersion": "10", "finalizers": ["other/one", FINALIZER]}
    }
    assert world.place.pipeline.resource_version == "11"


def test_a_finalizer_that_is_there_is_not_put_again() -> None:
    assert World().do(AddFinalizer("r")).api.asked == []


def test_only_our_finalizer_is_taken_away() -> None:
    cache = cache_with(finalizers=("other/one", FINALIZER))
    world = World({("PATCH", PIPELINE_PATH): pipeline(11)}, cache=cache).do(RemoveFinalizer("r"))
    assert world.api.asked[0][2]["metadata"]["finalizers"] == ["other/one"]
    assert World(cache=cache_with(finalizers=())).do(RemoveFinalizer("r")).api.asked == []


def test_a_pipeline_that_changed_meanwhile_is_read_anew() -> None:
    world = World(
        {
            ("PATCH", PIPELINE_PATH): refused(409, "Conflict"),
            ("GET", PIPELINE_PATH): pipeline(12, status=RUNNING),
        }
    )
    with pytest.raises(Conflict):
        world.do(RemoveFinalizer("r"))
    assert world.place.pipeline.resource_version == "12"


def test_a_pipeline_that_is_gone_needs_no_finalizer_removed() -> None:
    with pytest.raises(Gone):
        World({("PATCH", PIPELINE_PATH): refused(404, "NotFound")}).do(RemoveFinalizer("r"))


# Children


def test_the_secret_gets_the_token_when_it_is_made() -> None:
    world = World({("POST", f"{NAMESPACE}/secrets"): {}}).do(CreateSecret("child", BODY, "r"))
    made = world.api.asked[0][2]
    assert made["stringData"] == {"auth_token": token(SETTINGS.token_key, UID, 1)}
    assert "stringData" not in BODY
    assert world.place.entry.children == {"Secret/child"}


def test_a_secret_that_is_there_is_ours() -> None:
    world = World({("POST", f"{NAMESPACE}/secrets"): EXISTS}).do(CreateSecret("child", BODY, "r"))
    assert world.api.asked_for() == [("POST", f"{NAMESPACE}/secrets")]
    assert world.place.entry.children == {"Secret/child"}


def owned(uid: str) -> dict[str, Any]:
    return {"metadata": {"ownerReferences": [{"uid": uid, "controller": True}]}}


def test_a_config_map_that_is_there_and_ours_is_made() -> None:
    answers = {
        ("POST", f"{NAMESPACE}/configmaps"): EXISTS,
        ("GET", f"{NAMESPACE}/configmaps/child"): owned(UID),
    }
    world = World(answers).do(CreateConfigMap("child", BODY, "r"))
    assert world.place.entry.children == {"ConfigMap/child"}


def test_a_config_map_of_somebody_else_is_never_taken_for_ours() -> None:
    answers = {
        ("POST", f"{NAMESPACE}/configmaps"): EXISTS,
        ("GET", f"{NAMESPACE}/configmaps/child"): owned("somebody"),
    }
    world = World(answers)
    with pytest.raises(ActionRefused, match=r"NameTaken.*does not belong to this pipeline"):
        world.do(CreateConfigMap("child", BODY, "r"))
    assert world.place.entry.children == set()


@pytest.mark.parametrize("answer", [{}, refused(404, "NotFound")])
def test_a_config_map_that_is_gone_is_deleted(answer: Any) -> None:
    world = World({("DELETE", f"{NAMESPACE}/configmaps/child"): answer})
    world.place.entry.children |= {"ConfigMap/child", "Secret/child"}
    assert world.do(DeleteConfigMap("child", "r")).place.entry.children == {"Secret/child"}


# RayClusters


def create() -> CreateRayCluster:
    return CreateRayCluster(CLUSTER, ray_cluster(), "r")


def test_the_next_look_sees_the_cluster_that_was_made() -> None:
    world = World({("POST", CLUSTERS_PATH): ray_cluster(20)}).do(create())
    assert world.place.entry.clusters[CLUSTER].version == 20


def test_a_cluster_that_is_there_and_ours_is_made() -> None:
    """1. It is made. 2. The answer is lost. 3. It is made again: the API server says it exists."""
    answers = {("POST", CLUSTERS_PATH): EXISTS, ("GET", CLUSTER_PATH): ray_cluster(20)}
    assert CLUSTER in World(answers).do(create()).place.entry.clusters


@pytest.mark.parametrize("owner", ["", "somebody"])
def test_a_cluster_of_somebody_else_is_shown_and_left_alone(owner: str) -> None:
    answers = {("POST", CLUSTERS_PATH): EXISTS, ("GET", CLUSTER_PATH): ray_cluster(owner=owner)}
    world = World(answers)
    with pytest.raises(ActionRefused, match="NameTaken"):
        world.do(create())
    assert world.place.entry.clusters == {}
    assert world.place.entry.strangers[CLUSTER][1].owner_uid == owner
    assert [method for method, _ in world.api.asked_for()] == ["POST", "GET"]


def test_without_kuberay_a_cluster_cannot_be_made() -> None:
    world = World()
    with pytest.raises(ActionRefused, match="CreateRayCluster: 404"):
        world.do(create())
    assert world.cache.kuberay is False


def test_a_quota_is_remembered_as_a_refusal_until_it_is_done() -> None:
    answers = {
        ("POST", CLUSTERS_PATH): [refused(403, "Forbidden", "exceeded quota"), ray_cluster()]
    }
    world = World(answers)
    with pytest.raises(ActionRefused):
        world.do(create())
    refusal = world.place.entry.refusals["CreateRayCluster"]
    assert (refusal.code, refusal.reason, refusal.message) == (403, "Forbidden", "exceeded quota")
    assert world.do(create()).place.entry.refusals == {}


def test_a_cluster_is_deleted_only_if_it_is_still_that_one() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster())
    world = World({("DELETE", CLUSTER_PATH): {"kind": "Status"}}, cache=cache)
    world.do(DeleteRayCluster(CLUSTER, "cluster-uid", "r"))
    assert world.api.asked[0][2]["preconditions"] == {"uid": "cluster-uid"}
    assert world.place.entry.clusters == {}


@pytest.mark.parametrize("answer", [refused(404, "NotFound"), refused(409, "Conflict")])
def test_a_cluster_that_is_gone_is_deleted(answer: Any) -> None:
    world = World({("DELETE", CLUSTER_PATH): answer})
    world.do(DeleteRayCluster(CLUSTER, "cluster-uid", "r"))


def test_a_conflict_says_that_a_cluster_is_gone_only_if_it_is() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster())
    answers: dict[tuple[str, str], Any] = {
        ("DELETE", CLUSTER_PATH): refused(409, "Conflict"),
        ("GET", CLUSTER_PATH): ray_cluster(),
    }
    world = World(answers, cache=cache)
    with pytest.raises(ActionRefused, match="DeleteRayCluster: 409"):
        world.do(DeleteRayCluster(CLUSTER, "cluster-uid", "r"))
    assert CLUSTER in world.place.entry.clusters
    world.do(DeleteRayCluster(CLUSTER, "the one before", "r"))


def test_a_cluster_that_takes_its_time_to_go_is_seen_going() -> None:
    going = ray_cluster(21, deletionTimestamp="2027-01-15T09:00:00Z")
    world = World({("DELETE", CLUSTER_PATH): going})
    world.do(DeleteRayCluster(CLUSTER, "cluster-uid", "r"))
    assert world.place.entry.clusters[CLUSTER].seen.deleting


def test_a_patch_whose_test_fails_shows_what_is_there_now() -> None:
    answers = {
        ("PATCH", CLUSTER_PATH): refused(422, "Invalid", "test failed"),
        ("GET", CLUSTER_PATH): ray_cluster(25),
    }
    world = World(answers)
    with pytest.raises(ActionRefused, match="PatchRayCluster: 422"):
        world.do(PatchRayCluster(CLUSTER, ({"op": "test"},), "r"))
    assert world.place.entry.clusters[CLUSTER].version == 25


def test_refusals_in_a_row_are_told_apart_from_the_first() -> None:
    world = World({("POST", CLUSTERS_PATH): refused(403, "Forbidden", "exceeded quota")})
    counts = []
    for _ in range(3):
        with pytest.raises(ActionRefused) as raised:
            world.do(create())
        counts.append(raised.value.refusal.count)
    assert counts == [1, 2, 3]


# The pipeline itself


def test_a_pipeline_is_deleted_only_if_it_is_still_that_one() -> None:
    world = World({("DELETE", PIPELINE_PATH): {"kind": "Status"}}).do(DeletePipeline(UID, "r"))
    assert world.api.asked[0][2]["preconditions"] == {"uid": UID}


def test_a_pipeline_that_is_gone_is_deleted() -> None:
    with pytest.raises(Gone):
        World().do(DeletePipeline(UID, "r"))


def test_a_conflict_says_that_a_pipeline_is_gone_only_if_it_is() -> None:
    answers = {
        ("DELETE", PIPELINE_PATH): refused(409, "Conflict"),
        ("GET", PIPELINE_PATH): pipeline(11),
    }
    with pytest.raises(ActionRefused, match="DeletePipeline: 409"):
        World(answers).do(DeletePipeline(UID, "r"))
    with pytest.raises(Gone):
        World(answers).do(DeletePipeline("the one before", "r"))


def event(key: str = "submitted/1", message: str = "job x is submitted") -> EmitEvent:
    return EmitEvent("Normal", "JobSubmitted", message, key)


def test_an_event_is_named_by_its_key() -> None:
    """So that an operator that is started again posts no second one."""
    path = ("POST", f"{NAMESPACE}/events")
    first = World({path: {}}).do(event()).api.asked[0][2]
    again = World({path: EXISTS}).do(event())
    other = World({path: {}}).do(event("submitted/2")).api.asked[0][2]
    assert first["metadata"] == again.api.asked[0][2]["metadata"]
    assert first["metadata"] != other["metadata"]
    assert again.place.entry.told == {"submitted/1"}
    assert (first["type"], first["reason"]) == ("Normal", "JobSubmitted")
    assert first["involvedObject"]["uid"] == UID


def test_a_long_message_of_an_event_is_cut() -> None:
    world = World({("POST", f"{NAMESPACE}/events"): {}}).do(event(message="x" * 5000))
    assert len(world.api.asked[0][2]["message"]) == 1024


# Status


STATUS_PATH = f"{PIPELINE_PATH}/status"
NEW = PipelineStatus.model_validate({**RUNNING, "message": "on its way"})


def test_the_status_is_written_over_the_version_that_was_seen() -> None:
    world = World({("PATCH", STATUS_PATH): pipeline(11, status=RUNNING)}).write(NEW)
    assert world.api.asked[0][2] == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "10"},
        {
            "op": "add",
            "path": "/status",
            "value": NEW.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
    ]
    assert world.place.pipeline.resource_version == "11"


def test_a_status_of_a_pipeline_that_changed_is_not_written() -> None:
    answers = {
        ("PATCH", STATUS_PATH): refused(409, "Conflict"),
        ("GET", PIPELINE_PATH): pipeline(12, generation=2),
    }
    world = World(answers)
    with pytest.raises(Conflict):
        world.write(NEW)
    assert world.place.pipeline.generation == 2


def test_a_pipeline_that_is_gone_has_no_status() -> None:
    with pytest.raises(Gone):
        World().write(NEW)


# Faults and lost answers


def test_an_api_server_that_does_not_answer_is_no_refusal() -> None:
    """The action may have been done: it is not counted as refused, but looked at again."""
    world = World({("POST", CLUSTERS_PATH): ApiUnreachable("no answer")})
    with pytest.raises(ApiUnreachable):
        world.do(create())
    assert world.place.entry.refusals == {}


@pytest.mark.parametrize(("when", "asked"), [("before", 0), ("after", 1)])
def test_the_process_can_be_ended_before_and_after_an_effect(when: str, asked: int) -> None:
    world = World({("POST", CLUSTERS_PATH): ray_cluster()}, fault=Fault(when, "CreateRayCluster"))
    assert world.do(create()).asked_at_the_end == [asked]
