"""The cache: the newest version counts, what is gone stays gone, little is kept."""

from __future__ import annotations

from typing import Any

from curator_api.progress import ProgressSnapshot
from curator_operator.cluster.cache import Cache
from curator_operator.reconcile.observed import JobSeen, Refusal, SnapshotSeen
from tests.unit.operator.cluster.fakes import (
    CLUSTER,
    KEY,
    NOW,
    RUNNING,
    SUBMISSION,
    cache_with,
    head_pod,
    pipeline,
    ray_cluster,
)


def generation(cache: Cache) -> int:
    entry = cache.entry(KEY)
    assert entry.pipeline is not None
    return entry.pipeline.seen.generation


def test_a_newer_version_replaces_an_older_one() -> None:
    cache = Cache()
    assert cache.put_pipeline(pipeline(10, generation=1)) == KEY
    assert cache.put_pipeline(pipeline(11, generation=2)) == KEY
    assert generation(cache) == 2


def test_an_older_version_that_comes_late_is_ignored() -> None:
    """1. Our write is answered with version 12. 2. The watch, slower, tells of version 11."""
    cache = Cache()
    cache.put_pipeline(pipeline(12, generation=2))
    assert cache.put_pipeline(pipeline(11, generation=1)) is None
    assert generation(cache) == 2


def test_the_watch_of_our_own_write_is_no_news() -> None:
    cache = Cache()
    cache.put_pipeline(pipeline(12))
    assert cache.put_pipeline(pipeline(12)) is None


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    cache.put_pipeline(pipeline(9, generation=1))
    assert cache.put_pipeline(pipeline(10, generation=2)) == KEY


def test_a_pipeline_that_is_gone_is_forgotten_with_all_that_was_remembered() -> None:
    cache = cache_with(status=RUNNING)
    cache.entry(KEY).refused(Refusal("SubmitJob", 500, "Refused", "", NOW))
    assert cache.drop_pipeline(pipeline(11)) == KEY
    assert cache.find(KEY) is None
    assert cache.pipelines() == []


def test_a_late_reply_brings_nothing_back() -> None:
    """1. We delete. 2. The watch says it is gone. 3. The answer to an earlier write arrives."""
    cache = cache_with()
    cache.drop_pipeline(pipeline(11))
    assert cache.put_pipeline(pipeline(12)) is None
    assert cache.find(KEY) is None


def test_the_end_of_a_predecessor_does_not_end_its_successor() -> None:
    cache = cache_with(uid="new")
    assert cache.drop_pipeline(pipeline(99, uid="old")) is None
    assert cache.pipelines() == [KEY]


def test_a_pipeline_made_again_inherits_no_memory() -> None:
    cache = cache_with(uid="old")
    entry = cache.entry(KEY)
    entry.children.add("ConfigMap/x")
    entry.job = JobSeen("old-1", "RUNNING")
    entry.refused(Refusal("SubmitJob", 500, "Refused", "", NOW))
    cache.put_pipeline(pipeline(50, uid="new"))
    assert (entry.children, entry.job, entry.refusals) == (set(), JobSeen(), {})


def test_children_are_kept_by_the_label_that_names_their_pipeline() -> None:
    cache = cache_with()
    assert cache.put_cluster(ray_cluster()) == KEY
    assert cache.put_pod(head_pod()) == KEY
    entry = cache.entry(KEY)
    assert list(entry.clusters) == [CLUSTER]
    assert list(entry.pods) == [f"{CLUSTER}-head"]


def test_a_child_without_the_label_is_nobodys() -> None:
    cache = Cache()
    assert cache.put_cluster(ray_cluster(labels={})) is None
    assert cache.find(KEY) is None


def test_a_change_that_nothing_is_decided_by_is_no_news() -> None:
    cache = cache_with()
    cache.put_cluster(ray_cluster(20))
    heartbeat = ray_cluster(21, annotations={"seen": "now"})
    assert cache.put_cluster(heartbeat) is None
    assert cache.entry(KEY).clusters[CLUSTER].seen.resource_version == "21"


def test_little_is_kept_of_a_ray_cluster() -> None:
    cache = cache_with()
    obj: dict[str, Any] = ray_cluster()
    obj["spec"]["suspend"] = True
    obj["spec"]["workerGroupSpecs"] = [
        {"groupName": "cpu", "replicas": 2, "template": {"spec": {"containers": ["large"] * 99}}}
    ]
    cache.put_cluster(obj)
    assert cache.entry(KEY).clusters[CLUSTER].seen.spec == {
        "suspend": True,
        "workerGroupSpecs": [{"groupName": "cpu", "replicas": 2}],
    }


def test_a_child_that_is_gone_is_news() -> None:
    cache = cache_with()
    cache.put_pod(head_pod())
    assert cache.drop_pod(head_pod(31)) == KEY
    assert cache.entry(KEY).pods == {}


def test_a_listing_forgets_what_it_did_not_have() -> None:
    cache = cache_with()
    cache.put_pod(head_pod(30))
    assert cache.prune("pods", set(), version=40) == [KEY]
    assert cache.entry(KEY).pods == {}


def test_a_listing_keeps_what_is_newer_than_itself() -> None:
    """1. A listing is asked for. 2. A pod is made, and the watch tells. 3. The listing arrives."""
    cache = cache_with()
    cache.put_pod(head_pod(41))
    assert cache.prune("pods", set(), version=40) == []
    assert list(cache.entry(KEY).pods) == [f"{CLUSTER}-head"]


def test_a_listing_forgets_pipelines() -> None:
    cache = cache_with()
    assert cache.prune("pipeline", set(), version=40) == [KEY]
    assert cache.pipelines() == []


def test_refusals_in_a_row_are_counted() -> None:
    entry = cache_with().entry(KEY)
    for at in (NOW, NOW + 1):
        entry.refused(Refusal("CreateRayCluster", 403, "Forbidden", "quota", at))
    assert entry.refusals == {
        "CreateRayCluster": Refusal("CreateRayCluster", 403, "Forbidden", "quota", NOW + 1, 2)
    }


def test_a_poll_that_says_the_same_is_no_news() -> None:
    cache = cache_with(status=RUNNING)
    job = JobSeen(SUBMISSION, "RUNNING", at=NOW)
    assert cache.put_job(KEY, job)
    assert not cache.put_job(KEY, JobSeen(SUBMISSION, "RUNNING", at=NOW + 6))
    assert cache.put_job(KEY, JobSeen(SUBMISSION, "SUCCEEDED", at=NOW + 12))


def snapshot(**given: Any) -> SnapshotSeen:
    values = {"run_id": "r", "pipeline": "clean", "state": "Running", "time": 1.0, "elapsed_s": 1.0}
    return SnapshotSeen(SUBMISSION, ProgressSnapshot.model_validate(values | given), NOW)


def test_time_that_passed_is_no_progress() -> None:
    cache = cache_with(status=RUNNING)
    assert cache.put_snapshot(KEY, snapshot())
    assert not cache.put_snapshot(KEY, snapshot(time=7.0, elapsed_s=7.0))
    assert cache.put_snapshot(KEY, snapshot(time=13.0, inputs_done=1))


def test_graves_are_bounded() -> None:
    cache = Cache()
    for number in range(5000):
        cache.drop_pod(
            {
                "metadata": {
                    "uid": str(number),
                    "namespace": "n",
                    "name": "p",
                    "labels": {"curator.dev/pipeline": "p"},
                }
            }
        )
    assert len(cache._graves) == 4096
    assert list(cache.entries()) == []
