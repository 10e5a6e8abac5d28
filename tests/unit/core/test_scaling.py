"""Workers follow the counts wanted: started, given to another stage, drained, stopped."""

from __future__ import annotations

from curator_executor.core.actions import SetupWorker, StartWorker, StopWorker
from curator_executor.core.assigning import call_home
from curator_executor.core.events import NodesChanged, WorkerCreated, WorkerReady, WorkerStopped
from curator_executor.core.invariants import check
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import CoreSettings, State, Worker
from curator_executor.core.turns import has_input, is_runnable, may_share
from curator_executor.core.types import Call, Need, Node, Unit
from tests.unit.core.states import after, bring_up, calls, done, run_of


def test_slots_are_filled_at_once_each_stage_first() -> None:
    state = run_of({}, {}, cpus=3.0)
    why = "equal share, nothing measured yet"
    assert after(state, now=0.0) == [
        StartWorker(1, 0, "one worker at least"),
        StartWorker(2, 1, why),
        StartWorker(3, 1, why),
    ]


def test_no_worker_that_would_have_nothing_to_do() -> None:
    state = run_of({"batch_size": 4}, tasks=9, cpus=8.0)
    assert len(after(state, now=0.0)) == 3


def test_pinned_stage_has_its_count_whatever_waits() -> None:
    state = run_of({"fixed_workers": 5}, tasks=1, cpus=8.0)
    assert len(after(state, now=0.0)) == 5


def test_count_per_node_is_multiplied() -> None:
    state = run_of({"workers_per_node": 1.5}, tasks=1, cpus=2.0)
    state.nodes = tuple(Node(f"n{n}", 2.0) for n in range(4))
    assert len(after(state, now=0.0)) == 6


def test_most_workers_per_stage_goes_for_every_stage() -> None:
    settings = CoreSettings(max_workers_per_stage=2)
    state = run_of({}, {"fixed_workers": 5}, tasks=50, cpus=16.0, settings=settings)
    actions = after(state, now=0.0)
    assert sorted(a.pool for a in actions if isinstance(a, StartWorker)) == [0, 0, 1, 1]


def test_global_stage_has_one_worker() -> None:
    state = run_of({"is_global": True}, tasks=50, cpus=16.0)
    assert len(after(state, now=0.0)) == 1


def test_worker_of_a_finished_stage_takes_up_the_next() -> None:
    state = run_of({}, {}, tasks=1, cpus=1.0)
    (only,) = calls(bring_up(state, 1))
    actions = after(state, done(only))
    assert actions == [SetupWorker(1, 1, node_setup=True, teardown=0)]
    assert (state.workers[1].pool, state.workers[1].state) == (1, WorkerState.SETTING_UP)


def test_worker_of_another_shape_is_stopped_and_a_new_one_started() -> None:
    state = run_of({}, {"need": Need(0.5)}, tasks=1, cpus=1.0)
    (only,) = calls(bring_up(state, 1))
    assert after(state, done(only)) == [StopWorker(1, "its stage is done")]
    actions = after(state, WorkerStopped(1))
    assert [type(action) for action in actions] == [StartWorker]


def test_workers_share_only_where_nothing_sets_them_apart() -> None:
    state = run_of(
        {},
        {},
        {"need": Need(2.0)},
        {"env_key": "a"},
        {"need": Need(1.0, gpus=1.0)},
        {"need": Need(1.0, gpus=1.0)},
        {"worker_groups": ("gpu",)},
    )
    shared = {
        (one, other)
        for one in range(7)
        for other in range(one + 1, 7)
        if may_share(state, one, other)
    }
    assert shared == {(0, 1)}


def test_two_workers_that_change_stage_prepare_the_node_once() -> None:
    settings = CoreSettings(batch_mode=True)
    state = run_of({}, {}, tasks=2, cpus=2.0, settings=settings)
    first, second = calls(bring_up(state, 1, 2))
    after(state, done(first))
    actions = after(state, done(second))
    assert actions == [SetupWorker(1, 1, node_setup=True, teardown=0)]
    assert state.workers[2].state is WorkerState.CREATED
    actions = after(state, WorkerReady(1, 0.1))
    assert SetupWorker(2, 1, node_setup=False, teardown=0) in actions


def test_worker_of_the_fast_stage_goes_to_the_slow_one_when_it_has_finished_its_calls() -> None:
    state = run_of({}, {}, tasks=50, cpus=4.0)
    first, second, *_ = calls(bring_up(state, 1, 2, 3, 4))
    assert [state.workers[n].pool for n in (1, 2, 3, 4)] == [0, 1, 0, 1]
    found = calls(after(state, done(first), done(second), now=0.6))
    slow = [done(call, wall_s=2.0) for call in found if call.pool == 1]
    after(state, *slow, now=2.6)
    assert [pool.wanted for pool in state.pools] == [1, 3]
    draining = [w for w in state.workers.values() if w.state is WorkerState.DRAINING]
    assert [(w.pool, len(w.calls)) for w in draining] == [(0, 2)]
    actions = after(state, *(done(call) for call in draining[0].calls), now=2.7)
    assert SetupWorker(draining[0].id, 1, node_setup=False) in actions


def test_stage_keeps_its_worker_for_a_quantum_while_others_wait() -> None:
    state = run_of({}, {}, {}, tasks=50, cpus=1.0)
    first, second = calls(bring_up(state, 1, now=0.5))
    (third,) = calls(after(state, done(first, wall_s=0.1), now=0.6))
    assert (state.time_sharing, state.workers[1].pool) == (True, 0)
    assert list(state.workers[1].calls) == [second, third]


def test_free_worker_goes_to_the_stage_that_waits_with_work() -> None:
    """One core, two stages: the first has no room for more output, the second has no worker."""
    state = run_of({}, {}, tasks=50, cpus=1.0, store_bytes=1_000_000)
    first, second = calls(bring_up(state, 1))
    after(state, done(first, out_bytes=300_000), now=0.6)
    actions = after(state, done(second, out_bytes=300_000), now=0.7)
    assert actions[0] == SetupWorker(1, 1, node_setup=True)
    assert state.workers[1].pool == 1


def test_worker_goes_back_to_the_input_that_it_alone_can_finish() -> None:
    state = run_of({}, {}, tasks=1, cpus=1.0, store_bytes=1_000_000)
    (first,) = calls(bring_up(state, 1))
    after(state, done(first, 0, out=1, out_bytes=300_000, more=True, emitted_of_current=1))
    assert state.workers[1].pool == 1
    (below,) = calls(after(state, WorkerReady(1, 0.1), now=1.1))
    assert below.pool == 1
    (back,) = calls(after(state, done(below), now=1.2))
    assert (back.pool, back.worker, back.segments) == (0, 1, ())


def test_worker_that_drains_is_wanted_again() -> None:
    state = run_of({}, tasks=50, cpus=2.0)
    bring_up(state, 1, 2)
    state.workers[1].go(WorkerState.DRAINING)
    state.scale_due = True
    assert after(state) == []
    assert state.workers[1].state is WorkerState.READY


def test_input_in_workers_hands_counts_for_the_number_of_workers() -> None:
    """Two workers have two calls each, one more batch waits: five workers have something to do."""
    state = run_of({}, tasks=5, cpus=2.0)
    bring_up(state, 1, 2)
    state.nodes = (Node("n1", 8.0),)
    state.scale_due = True
    after(state)
    assert state.pools[0].wanted == 5


def with_input_left_behind(**options: int) -> State:
    """Worker 1 works for the second stage and holds input of the first; worker 2 has nothing."""
    state = run_of(options, {}, tasks=1, cpus=2.0)
    first = state.pools[0]
    for number, pool in ((1, 1), (2, 0)):
        worker = Worker(number, pool, 0.0, WorkerState.READY, "n1", hosted={0, 1})
        state.workers[number] = worker
        state.pools[pool].workers.add(number)
        state.hosts_several[number] = None
        state.may_take_more(worker)
    state.workers[1].queue(0).append(Unit([first.queue.popleft()]))
    first.queued_tasks = 0
    return state


def test_worker_called_back_to_a_full_stage_takes_the_place_of_an_idle_one() -> None:
    state = with_input_left_behind(max_workers=1)
    assert call_home(state, 1.0) == []
    assert (state.workers[1].pool, state.workers[2].state) == (0, WorkerState.DRAINING)
    check(state)


def test_worker_called_back_to_a_stage_with_room_for_it_displaces_nobody() -> None:
    state = with_input_left_behind(max_workers=2)
    assert call_home(state, 1.0) == []
    assert (state.workers[1].pool, state.workers[2].state) == (0, WorkerState.READY)


def test_worker_is_not_called_back_while_all_places_are_busy() -> None:
    state = with_input_left_behind(max_workers=1)
    state.workers[2].calls.append(Call(1, 2, 0, (), 1))
    call_home(state, 1.0)
    assert state.workers[1].pool == 1


def test_new_node_is_used_at_once() -> None:
    state = run_of({}, tasks=50, cpus=1.0)
    bring_up(state, 1)
    actions = after(state, NodesChanged((Node("n1", 1.0), Node("n2", 2.0))))
    assert [a.worker for a in actions if isinstance(a, StartWorker)] == [2, 3]


def test_worker_that_comes_up_when_its_stage_is_done_is_stopped() -> None:
    state = run_of({}, {"need": Need(0.5)}, tasks=2, cpus=3.0)
    after(state, now=0.0)
    starting = [w.id for w in state.workers.values() if w.pool == 0]
    found = calls(bring_up(state, starting[0]))
    after(state, *(done(call) for call in found))
    assert after(state, WorkerCreated(starting[1], "n1"))[0] == StopWorker(
        starting[1], "its stage is done"
    )


def test_runnable_means_input_and_room() -> None:
    state = run_of({}, {"batch_size": 2}, tasks=9, store_bytes=1_000_000)
    first, second = state.pools
    assert (has_input(state, first), is_runnable(state, first)) == (True, True)
    assert not has_input(state, second)
    second.queued_tasks, second.held_bytes = 2, 10_000_000
    assert (has_input(state, second), is_runnable(state, first)) == (True, False)


def test_decisions_are_made_again_when_the_interval_is_over() -> None:
    state = run_of({}, tasks=50, settings=CoreSettings(autoscale_interval_s=10.0))
    bring_up(state, 1)
    after(state, now=5.0)
    assert state.next_scale_at == 10.0
    after(state, now=10.0)
    assert state.next_scale_at == 20.0


def test_no_worker_waits_for_another_where_nodes_need_no_set_up() -> None:
    state = run_of({"prepares_nodes": False}, tasks=50, cpus=2.0)
    after(state, now=0.0)
    actions = after(state, WorkerCreated(1, "n1"), WorkerCreated(2, "n1"))
    assert actions == [SetupWorker(1, 0, node_setup=False), SetupWorker(2, 0, node_setup=False)]


def test_workers_wait_until_one_has_prepared_their_node() -> None:
    state = run_of({}, tasks=50, cpus=2.0)
    after(state, now=0.0)
    actions = after(state, WorkerCreated(1, "n1"), WorkerCreated(2, "n1"))
    assert actions == [SetupWorker(1, 0, node_setup=True)]
    assert SetupWorker(2, 0, node_setup=False) in after(state, WorkerReady(1, 0.1))
