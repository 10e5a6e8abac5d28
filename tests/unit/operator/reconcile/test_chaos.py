"""Whatever happens, and in whatever order, a pipeline comes to rest in a state that makes sense.

The world in memory is driven by lists of happenings that hypothesis makes: users edit, things die,
watches lag, the operator is killed between any two steps. Afterwards the faults end and it must
settle. A failing list is printed with all that happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import example, given, note
from hypothesis import strategies as st

from curator_operator.desired import names
from tests.unit.operator.reconcile.operator_in_memory import Died, Operator
from tests.unit.operator.reconcile.seen import NAME, UID, spec
from tests.unit.operator.reconcile.world import Cluster, World

Happening = tuple[str, int]


def _look(world: World, operator: Operator, number: int) -> None:
    operator.catch_up(lag=number % 3)
    operator.look()


def _die(world: World, operator: Operator, number: int) -> None:
    operator.catch_up()
    try:
        operator.look(dies_at=number)
    except Died:
        operator.restart()


def _lose_answer(world: World, operator: Operator, number: int) -> None:
    operator.catch_up(lag=number % 2)
    operator.look(answer_lost_at=number)


def _step(world: World, operator: Operator, number: int) -> None:
    """Time passes and all goes well."""
    for _ in range(1 + number):
        world.tick()
        operator.catch_up()
        operator.poll()
        operator.look()


def _delete_cluster(world: World, operator: Operator, number: int) -> None:
    for name in list(world.clusters)[:1]:
        del world.clusters[name]


def _delete_head(world: World, operator: Operator, number: int) -> None:
    for pod in list(world.pods.values())[-1:]:
        pod.deleting = True


def _kueue(world: World, operator: Operator, number: int) -> None:
    for cluster in world.clusters.values():
        cluster.suspended = bool(number % 2)


def _forget_children(world: World, operator: Operator, number: int) -> None:
    world.children.clear()
    operator.children.clear()


def _replicas(world: World, operator: Operator, number: int) -> None:
    group = {**spec()["cluster"]["workerGroups"][0], "minReplicas": 1, "maxReplicas": 1 + number}
    world.edit(cluster={"workerGroups": [group]})


def _work(world: World, operator: Operator, number: int) -> None:
    """Past a server that forbids it."""
    world.edit(stages=[{"name": "read", "class": "my_team.stages.Read", "args": {"n": number}}])


def _delete(world: World, operator: Operator, number: int) -> None:
    if world.pipeline is not None:
        world.change(deleting=True)


def _wipe(world: World, operator: Operator, number: int) -> None:
    """Somebody edits the status by hand."""
    if world.pipeline is not None:
        fields = ("phase", "attempt", "conditions", "submission_id", "spec_hash", "active_since")
        world.status_by_hand = True
        kept = world.pipeline.status.model_dump(exclude={fields[number], "progress"})
        world.change(status=type(world.pipeline.status).model_validate(kept))


def _no_kuberay(world: World, operator: Operator, number: int) -> None:
    """Its CustomResourceDefinition is deleted, and with it every RayCluster; or it is back."""
    world.kuberay_known = bool(number % 2)
    if not world.kuberay_known:
        world.clusters.clear()


def _foreign(world: World, operator: Operator, number: int) -> None:
    """Somebody else has a RayCluster of the name that the next attempt will have."""
    name = names.cluster_name(NAME, UID, 1 + number % 3)
    world.clusters.setdefault(name, Cluster(name, "theirs", "somebody", 0, {}, world.now, True))


def _clock(world: World, operator: Operator, number: int) -> None:
    """The clock of the operator's machine is set back."""
    world.now -= 60.0 * number


def _deadline(world: World, operator: Operator, number: int) -> None:
    world.edit(activeDeadlineSeconds=12 * (1 + number))


def _fail(world: World, operator: Operator, number: int) -> None:
    world.outcomes.append((1, 2, 3, None, 137)[number % 5])


def _kill_driver(world: World, operator: Operator, number: int) -> None:
    """The driver of whatever runs is killed, and somebody looks."""
    for pod in world.pods.values():
        for job in pod.jobs.values():
            if job.state == "RUNNING":
                job.state, job.exit_code = "FAILED", 137
    _step(world, operator, 1)


def _partition(world: World, operator: Operator, number: int) -> None:
    """The head's node is cut off: its pod is told to go and cannot hear it; the job works on."""
    for pod in world.pods.values():
        pod.cut_off = True
    (_delete_cluster if number % 2 else _delete_head)(world, operator, number)
    _step(world, operator, number)


def _set(field: str, value: bool) -> Callable[[World, Operator, int], None]:
    def act(world: World, operator: Operator, number: int) -> None:
        setattr(world, field, value)

    return act


HAPPENINGS: dict[str, Callable[[World, Operator, int], None]] = {
    "tick": lambda world, operator, number: world.tick(),
    "step": _step,
    "look": _look,
    "poll": lambda world, operator, number: operator.poll(),
    "operator dies": _die,
    "answer lost": _lose_answer,
    "operator restarts": lambda world, operator, number: operator.restart(),
    "suspend": lambda world, operator, number: world.edit(suspend=True),
    "resume": lambda world, operator, number: world.edit(suspend=False),
    "replicas": _replicas,
    "delete": _delete,
    "head container restarts": lambda world, operator, number: world.restart_container(),
    "head deleted": _delete_head,
    "cluster deleted": _delete_cluster,
    "kueue": _kueue,
    "children unknown": _forget_children,
    "run fails": _fail,
    "driver killed": _kill_driver,
    "node cut off": _partition,
    "heads silent": _set("reachable", False),
    "heads answer": _set("reachable", True),
    "kuberay stops": _set("kuberay_runs", False),
    "kuberay starts": _set("kuberay_runs", True),
    "pods hang": _set("nodes_hold_pods", True),
    "pods go": _set("nodes_hold_pods", False),
    "kuberay known": _no_kuberay,
    "foreign cluster": _foreign,
    "clock set back": _clock,
    "deadline": _deadline,
}
# What no API server of ours lets through, but somebody may do all the same.
BY_HAND: dict[str, Callable[[World, Operator, int], None]] = {
    **HAPPENINGS,
    "work edited": _work,
    "status edited": _wipe,
}


def stories(happenings: Iterable[str]) -> st.SearchStrategy[list[Happening]]:
    one = st.tuples(st.sampled_from(sorted(happenings)), st.integers(0, 5))
    usual = st.tuples(st.sampled_from(("step", "look", "tick")), st.integers(0, 3))
    begun = st.sampled_from([[], [("step", 2)], [("step", 5)]])
    return st.builds(list.__add__, begun, st.lists(st.one_of(usual, one), max_size=25))


def live(story: list[Happening]) -> World:
    """Live through a story, hold what must hold all the time, and come to rest."""
    world = World()
    operator = Operator(world)
    try:
        for name, number in story:
            world.story.append(f"{world.now:.0f} {name} {number}")
            BY_HAND[name](world, operator, number)
            world.record()
            assert len(world.live_jobs()) <= 1, "two runs at once"
        world.reachable = world.kuberay_runs = world.kuberay_known = True
        world.nodes_hold_pods = False
        for pod in world.pods.values():
            pod.cut_off = False
        for name in [one.name for one in world.clusters.values() if one.owner != UID]:
            del world.clusters[name]
        _kueue(world, operator, 0)
        world.story.append("all faults end")
        operator.settle()
    finally:
        note("\n".join(world.story))
    return world


def check_rest(world: World) -> None:
    """What is true of every pipeline at rest."""
    assert len(set(world.runs)) == len(world.runs), "a submission took effect twice on a head"
    assert not world.live_jobs()
    assert not world.clusters
    assert not world.pods
    if world.pipeline is None:
        assert not world.children
        return
    status = world.pipeline.status
    assert status.phase in ("Succeeded", "Failed", "Suspended")
    assert status.retries_used <= 2
    assert (status.phase == "Suspended") == bool(world.pipeline.spec.get("suspend")) or (
        status.phase in ("Succeeded", "Failed")
    )


@given(stories(HAPPENINGS))
@example([("step", 3), ("cluster deleted", 0), ("step", 3)])
@example([("step", 3), ("step", 3), ("suspend", 0), ("operator dies", 1), ("step", 1)])
def test_from_anywhere_a_pipeline_comes_to_rest(story: list[Happening]) -> None:
    check_rest(live(story))


@given(stories(BY_HAND))
def test_it_comes_to_rest_also_after_edits_that_are_forbidden(story: list[Happening]) -> None:
    check_rest(live(story))
