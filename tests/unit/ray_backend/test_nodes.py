"""When the nodes are looked at, and what is told of them."""

from __future__ import annotations

from curator_executor.core.events import NodesChanged, WorkerCreated
from curator_executor.core.types import Node, PoolSpec, StageSpec
from curator_executor.ray_backend.nodes import NodeWatch

ONE, TWO = Node("a", 1.0), Node("b", 2.0, group="big")


class World:
    """Nodes and clocks by hand; each look costs some CPU."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.now = 100.0
        self.cpu = 0.0
        self.look_costs_s = 0.0002
        self.looks = 0
        self.fails = False
        self.watch = NodeWatch(1.0, self._read, lambda: self.now, lambda: self.cpu)

    def _read(self, _: float) -> tuple[Node, ...]:
        self.looks += 1
        self.cpu += self.look_costs_s
        if self.fails:
            raise RuntimeError("the control service is away")
        return self.nodes


def pool(*groups: str) -> PoolSpec:
    stage = StageSpec(0, "s", worker_groups=groups)
    return PoolSpec(0, (stage,), stage.need)


def test_change_is_told_once_at_the_next_look() -> None:
    world = World(ONE)
    world.watch.nodes()
    world.nodes = (ONE, TWO)
    assert (world.watch.with_news([]), world.looks) == ([], 1)
    world.now += 2.0
    assert world.watch.with_news([]) == [NodesChanged((ONE, TWO))]
    world.now += 2.0
    assert (world.watch.with_news([]), world.looks) == ([], 3)


def test_worker_on_a_node_that_is_not_known_makes_a_look_due() -> None:
    world = World(ONE)
    world.watch.nodes()
    world.nodes = (ONE, TWO)
    known, unknown = WorkerCreated(1, "a"), WorkerCreated(2, "b")
    assert world.watch.with_news([known]) == [known]
    assert world.watch.with_news([unknown]) == [NodesChanged((ONE, TWO)), unknown]


def test_wait_ends_at_the_next_look() -> None:
    world = World(ONE)
    world.watch.nodes()
    assert [world.watch.until_look(each) for each in (None, 60.0, 0.5)] == [2.0, 2.0, 0.5]
    world.now += 5.0
    assert world.watch.until_look(60.0) == 0.0


def test_looks_that_cost_more_are_fewer() -> None:
    world = World(ONE)
    world.look_costs_s = 0.02
    world.watch.nodes()
    assert round(world.watch.until_look(None), 6) == 20.0


def test_nodes_that_cannot_be_read_are_taken_to_be_the_same() -> None:
    world = World(ONE)
    world.watch.nodes()
    world.now += 2.0
    world.fails = True
    assert (world.watch.with_news([]), world.watch.until_look(None)) == ([], 2.0)


def test_workers_are_kept_to_their_groups_by_either_label() -> None:
    world = World(ONE, TWO)
    world.watch.nodes()
    assert world.watch.placement(pool(), "") == {}
    assert world.watch.placement(pool("big", "huge"), "") == {
        "label_selector": {"curator.dev/worker-group": "in(big,huge)"},
        "fallback_strategy": [{"label_selector": {"ray.io/node-group": "in(big,huge)"}}],
    }


def test_a_chosen_node_is_asked_for_and_not_insisted_on() -> None:
    asked = World(ONE, TWO).watch.placement(pool("big"), "a" * 56)["scheduling_strategy"]
    assert (asked.node_id, asked.soft, asked._spill_on_unavailable) == ("a" * 56, True, True)


def test_groups_are_not_looked_at_where_no_node_has_one() -> None:
    world = World(ONE)
    world.watch.nodes()
    assert world.watch.placement(pool("big"), "") == {}
