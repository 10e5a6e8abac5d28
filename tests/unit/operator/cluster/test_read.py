"""What is known, as `Observed`: mostly from the cache, a little asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import ApiRefused
from curator_operator.cluster.listing import Listing
from curator_operator.cluster.read import Reader
from curator_operator.cluster.reduce import cluster_seen
from curator_operator.metrics import Metrics
from curator_operator.reconcile.observed import Observed, Refusal
from tests.unit.operator.cluster.fakes import (
    CLUSTER,
    CLUSTER_PATH,
    EXISTING,
    KEY,
    NOW,
    RUNNING,
    UID,
    ScriptedApi,
    cache_with,
    head_pod,
    pipeline,
    ray_cluster,
    refused,
)

SHARED = "/apis/ray.io/v1/namespaces/team-a/rayclusters/shared"
PODS = "/api/v1/namespaces/team-a/pods"
NONE: dict[str, Any] = {"metadata": {"resourceVersion": "100"}, "items": []}


def observe(cache: Cache, api: ScriptedApi | None = None, now: float = NOW) -> Observed:
    found = asyncio.run(Reader(api or ScriptedApi(), cache).observe(KEY, now))
    assert found is not None
    return found


def test_a_pipeline_that_does_not_exist_is_nothing() -> None:
    assert asyncio.run(Reader(ScriptedApi(), Cache()).observe(KEY, NOW)) is None


def test_what_is_watched_is_not_asked_for() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster())
    cache.put_pod(head_pod())
    cache.entry(KEY).children.add("Secret/x")
    api = ScriptedApi()
    seen = observe(cache, api)
    assert api.asked == []
    assert [one.name for one in seen.clusters] == [CLUSTER]
    assert [one.is_head for one in seen.pods] == [True]
    assert seen.children == {"Secret/x"}
    assert seen.kuberay


def test_clusters_of_a_predecessor_are_not_ours() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster(owner="predecessor", name="clean-00000-1", uid="old"))
    pod = head_pod()
    pod["metadata"]["labels"]["ray.io/cluster"] = "clean-00000-1"
    cache.put_pod(pod)
    seen = observe(cache)
    assert (seen.clusters, seen.pods) == ((), ())


def test_what_stands_under_our_clusters_name_is_shown() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster(owner="predecessor"))
    assert [one.owner_uid for one in observe(cache).clusters] == ["predecessor"]


def test_a_stranger_is_looked_at_again_until_it_is_gone() -> None:
    cache = cache_with(status=RUNNING)
    entry = cache.entry(KEY)
    entry.strangers[CLUSTER] = (NOW, cluster_seen(ray_cluster(owner="")))
    api = ScriptedApi({("GET", CLUSTER_PATH): [ray_cluster(owner=""), refused(404, "NotFound")]})
    assert len(observe(cache, api, NOW + 9).clusters) == 1
    assert api.asked == []
    assert len(observe(cache, api, NOW + 10).clusters) == 1
    assert observe(cache, api, NOW + 20).clusters == ()
    assert len(api.asked) == 2
    assert observe(cache, api, NOW + 30).clusters == ()
    assert len(api.asked) == 2


def existing_api(answer: Any = None) -> ScriptedApi:
    head = head_pod()
    head["metadata"]["labels"]["ray.io/cluster"] = "shared"
    page = {"metadata": {}, "items": [head]}
    shared = ray_cluster(name="shared", owner="")
    return ScriptedApi({("GET", SHARED): answer or shared, ("GET", PODS): page})


def test_an_existing_cluster_is_asked_for_and_remembered_for_ten_seconds() -> None:
    cache = cache_with(spec=EXISTING)
    api = existing_api()
    for later in (0.0, 9.9):
        seen = observe(cache, api, NOW + later)
        assert seen.existing is not None
        assert seen.existing.name == "shared"
        assert [pod.cluster for pod in seen.pods] == ["shared"]
    assert len(api.asked) == 2
    observe(cache, api, NOW + 10)
    assert len(api.asked) == 4


def test_an_existing_cluster_that_is_not_there_is_none() -> None:
    seen = observe(cache_with(spec=EXISTING), existing_api(refused(404, "NotFound")))
    assert (seen.existing, seen.refusals) == (None, ())


def test_an_existing_cluster_that_may_not_be_read_is_a_refusal() -> None:
    cache = cache_with(spec=EXISTING)
    seen = observe(cache, existing_api(refused(403, "Forbidden", "no right")))
    assert seen.refusals == (Refusal("ReadExisting", 403, "Forbidden", "no right", NOW),)
    assert observe(cache, existing_api(), NOW + 10).refusals == ()


def lacking() -> Cache:
    """A pipeline whose head pod has waited for something since `NOW`."""
    cache = cache_with(status=RUNNING)
    pod = head_pod()
    pod["metadata"]["creationTimestamp"] = "2027-01-15T08:00:00Z"
    pod["status"]["containerStatuses"] = [
        {"name": "ray-head", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}
    ]
    cache.put_pod(pod)
    cache.entry(KEY).children.add("Secret/x")
    return cache


def test_children_are_doubted_where_a_pod_lacks_one() -> None:
    """Making a Secret again is the only way to ask whether it is there."""
    cache = lacking()
    assert observe(cache, now=NOW + 10).children == {"Secret/x"}
    assert observe(cache, now=NOW + 60).children == frozenset()
    cache.entry(KEY).children.add("Secret/x")
    assert observe(cache, now=NOW + 70).children == {"Secret/x"}
    assert observe(cache, now=NOW + 75).children == frozenset()


CONFIG_MAP = f"/api/v1/namespaces/team-a/configmaps/{CLUSTER}-pipeline"
ENDED = {**RUNNING, "phase": "Succeeded"}


def test_what_a_dead_operator_left_after_the_end_is_found_once() -> None:
    cache = cache_with(status=ENDED)
    owner = [{"uid": UID, "controller": True}]
    api = ScriptedApi({("GET", CONFIG_MAP): {"metadata": {"ownerReferences": owner}}})
    assert observe(cache, api).children == {f"ConfigMap/{CLUSTER}-pipeline"}
    cache.entry(KEY).children.clear()
    assert observe(cache, api).children == frozenset()
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [refused(404, "NotFound"), refused(403, "Forbidden"), {"metadata": {"ownerReferences": []}}],
)
def test_what_is_not_ours_is_not_left_over(answer: Any) -> None:
    api = ScriptedApi({("GET", CONFIG_MAP): answer})
    assert observe(cache_with(status=ENDED), api).children == frozenset()


def test_what_is_left_of_earlier_attempts_is_found_too() -> None:
    first = f"/api/v1/namespaces/team-a/configmaps/{CLUSTER}-pipeline"
    api = ScriptedApi({("GET", first): ray_cluster()})
    cache = cache_with(status={**RUNNING, "phase": "Succeeded", "attempt": 2})
    assert observe(cache, api).children == {f"ConfigMap/{CLUSTER}-pipeline"}


def test_what_is_left_over_is_asked_for_again_after_a_failure() -> None:
    path = ("GET", f"/api/v1/namespaces/team-a/configmaps/{CLUSTER}-pipeline")
    api = ScriptedApi({path: [refused(500, "InternalError"), ray_cluster()]})
    cache = cache_with(status={**RUNNING, "phase": "Succeeded"})
    with pytest.raises(ApiRefused):
        observe(cache, api)
    assert observe(cache, api).children == {f"ConfigMap/{CLUSTER}-pipeline"}


def test_nothing_is_left_over_while_it_runs() -> None:
    api = ScriptedApi()
    observe(cache_with(status=RUNNING), api)
    assert api.asked == []


# Listings


LISTS = {
    "pipelines": "/apis/curator.dev/v1alpha1/curatorpipelines",
    "clusters": "/apis/ray.io/v1/rayclusters",
    "pods": "/api/v1/pods",
}


def listing(cache: Cache, **answers: Any) -> tuple[Listing, ScriptedApi]:
    api = ScriptedApi({("GET", path): answers.get(kind, NONE) for kind, path in LISTS.items()})
    return Listing(api, cache, Metrics(), ()), api


def of(*items: Mapping[str, Any], version: int = 100, more: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)}


def test_children_are_listed_before_their_pipelines() -> None:
    """A pipeline that was judged without its RayCluster would look as if it had lost it."""
    one, api = listing(Cache(), pipelines=of(pipeline()), clusters=of(ray_cluster()))
    assert asyncio.run(one.everything()) == {KEY}
    paths = [path for _, path in api.asked_for()]
    assert paths == [LISTS["clusters"], LISTS["pods"], LISTS["pipelines"]]


def test_lists_are_read_page_by_page() -> None:
    pages = [of(pipeline(), more="next"), of(pipeline(name="other", uid="o"))]
    cache = Cache()
    one, _ = listing(cache, pipelines=pages)
    asyncio.run(one.everything())
    assert [key.name for key in cache.pipelines()] == ["clean", "other"]


def test_a_listing_finds_what_a_watch_never_told() -> None:
    cache = cache_with(status=RUNNING)
    cache.put_cluster(ray_cluster())
    one, _ = listing(cache, pipelines=of(pipeline()))
    assert asyncio.run(one.everything()) == {KEY}
    assert cache.entry(KEY).clusters == {}


def test_a_listing_of_what_is_known_is_no_news() -> None:
    cache = cache_with()
    one, _ = listing(cache, pipelines=of(pipeline()))
    assert asyncio.run(one.everything()) == set()


def test_without_kuberay_everything_else_is_listed() -> None:
    cache = Cache()
    one, _ = listing(cache, pipelines=of(pipeline()), clusters=refused(404, "NotFound"))
    asyncio.run(one.everything())
    assert cache.kuberay is False
    assert cache.pipelines() == [KEY]


def test_every_pipeline_is_looked_at_when_kuberay_comes() -> None:
    cache = cache_with()
    one, api = listing(cache, clusters=[refused(404, "NotFound"), of(), of()])
    assert asyncio.run(one.clusters()) == {KEY}
    # Served already, but not yet on the list of kinds, by which kopf goes.
    assert asyncio.run(one.clusters()) == set()
    assert cache.kuberay is False
    api.answers["GET", "/apis/ray.io/v1"] = {"resources": [{"name": "rayclusters"}]}
    assert asyncio.run(one.clusters()) == {KEY}
    assert cache.kuberay is True


def test_a_listing_that_may_not_be_made_says_so() -> None:
    one, _ = listing(Cache(), pods=refused(403, "Forbidden"))
    with pytest.raises(Exception, match="403 Forbidden"):
        asyncio.run(one.everything())


def test_only_the_namespaces_of_the_settings_are_listed() -> None:
    api = ScriptedApi(
        {
            (
                "GET",
                path.replace("v1/", f"v1/namespaces/{place}/").replace(
                    "v1alpha1/", f"v1alpha1/namespaces/{place}/"
                ),
            ): NONE
            for path in LISTS.values()
            for place in ("a", "b")
        }
    )
    asyncio.run(Listing(api, Cache(), Metrics(), ("a", "b")).everything())
    assert len(api.asked) == 6
