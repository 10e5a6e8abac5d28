"""When the loop's sleep ends: at news, or when the time is up, and never in between."""

from __future__ import annotations

import threading
import time

import pytest

from curator_executor.core.events import NodesChanged, WorkerStopped
from curator_executor.core.types import Node
from curator_executor.ray_backend import nodes as watching
from curator_executor.ray_backend.mailbox import Mailbox
from curator_executor.ray_backend.nodes import NodeWatch

STOPPED = WorkerStopped(1, "")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The nodes that a look finds; one is due every 20 ms."""
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watching, "LOOK_SHARE", 1.0)
    return [Node("a", 1.0)]


@pytest.fixture
def mailbox(cluster: list[Node]) -> Mailbox:
    watch = NodeWatch(1.0, lambda _: tuple(cluster))
    watch.nodes()
    return Mailbox(watch)


def test_looks_that_find_the_same_nodes_do_not_end_the_sleep(mailbox: Mailbox) -> None:
    before = time.monotonic()
    assert mailbox.wait(0.2) == []
    assert time.monotonic() >= before + 0.2


def test_a_letter_that_means_nothing_does_not_end_the_sleep(mailbox: Mailbox) -> None:
    mailbox.put(lambda: None)
    before = time.monotonic()
    assert mailbox.wait(0.05) == []
    assert time.monotonic() >= before + 0.05


def test_letters_that_are_there_are_taken_together_and_at_once(mailbox: Mailbox) -> None:
    mailbox.put(lambda: STOPPED)
    mailbox.put(lambda: None)
    mailbox.put(lambda: STOPPED)
    assert mailbox.wait(60.0) == [STOPPED, STOPPED]
    assert mailbox.wait(0.0) == []


def test_a_letter_from_another_thread_ends_a_sleep_without_an_end(mailbox: Mailbox) -> None:
    sender = threading.Timer(0.05, lambda: mailbox.put(lambda: STOPPED))
    sender.start()
    assert mailbox.wait(None) == [STOPPED]
    sender.join()


def test_a_look_that_finds_other_nodes_ends_the_sleep(
    mailbox: Mailbox, cluster: list[Node]
) -> None:
    cluster.append(Node("b", 1.0))
    assert mailbox.wait(60.0) == [NodesChanged(tuple(cluster))]
