"""Who asks a run to end is heard in between two steps, and outside of a run at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from curator_executor.runtime.stop import StopRequest, Terminated

BOTH = (signal.SIGINT, signal.SIGTERM)


class HeardLoop:
    """Stands in for the loop; remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[KeyboardInterrupt] = []

    def cancel(self, interrupt: KeyboardInterrupt) -> None:
        self.asked.append(interrupt)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own for Ctrl-C, also where the tests run in the background; put back afterwards."""
    before = {number: signal.getsignal(number) for number in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def press(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_ctrl_c_during_the_loop_is_posted_and_raises_nothing() -> None:
    stop, loop = StopRequest(), HeardLoop()
    with stop.listening(), stop.attached(loop):
        press()
    assert [type(asked) for asked in loop.asked] == [KeyboardInterrupt]


def test_second_ctrl_c_raises() -> None:
    stop, loop = StopRequest(), HeardLoop()
    with stop.listening(), stop.attached(loop):
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert len(loop.asked) == 1


def test_ctrl_c_without_a_loop_raises_at_once() -> None:
    stop = StopRequest()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        press()


def test_sigterm_is_posted_however_often_it_comes() -> None:
    stop, loop = StopRequest(BOTH), HeardLoop()
    with stop.listening(), stop.attached(loop):
        press(signal.SIGTERM)
        press(signal.SIGTERM)
    assert {type(asked) for asked in loop.asked} == {Terminated}


def test_ctrl_c_after_sigterm_is_posted_too() -> None:
    """It asks for haste; only one more ends the run at once."""
    stop, loop = StopRequest(BOTH), HeardLoop()
    with stop.listening(), stop.attached(loop):
        press(signal.SIGTERM)
        press(signal.SIGINT)
    assert [type(asked) for asked in loop.asked] == [Terminated, KeyboardInterrupt]


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with StopRequest(BOTH).listening():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_signals_are_taken_back_from_whoever_took_them_meanwhile() -> None:
    """1. The command listens. 2. Ray starts and takes SIGTERM. 3. The run listens again. 4. Ray
    stops, and SIGTERM must still come here until the command ends.
    """
    taken: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    stop, loop = StopRequest(BOTH), HeardLoop()
    with stop.listening():
        signal.signal(signal.SIGTERM, lambda number, _frame: taken.append(number))
        with stop.listening(), stop.attached(loop):
            press(signal.SIGTERM)
        with pytest.raises(Terminated):
            press(signal.SIGTERM)
    assert len(loop.asked) == 1
    assert taken == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_callers_own_handler_for_ctrl_c_stays() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    stop, loop = StopRequest(), HeardLoop()
    with stop.listening(), stop.attached(loop):
        press()
    assert (heard, loop.asked) == ([signal.SIGINT], [])


def test_library_use_leaves_sigterm_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_than_the_main_one_listens_to_nothing() -> None:
    said: list[object] = []

    def run() -> None:
        with StopRequest(BOTH).listening():
            said.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert said == [signal.default_int_handler]


def test_drain_before_the_run_begins_is_heard_when_it_begins() -> None:
    stop, loop = StopRequest(), HeardLoop()
    stop.drain("drained over HTTP")
    with stop.attached(loop):
        assert [str(asked) for asked in loop.asked] == ["drained over HTTP"]


def test_drain_reaches_the_loop_from_another_thread() -> None:
    stop, loop = StopRequest(), HeardLoop()
    with stop.attached(loop):
        thread = threading.Thread(target=stop.drain, args=["drained over HTTP"])
        thread.start()
        thread.join()
    assert [type(asked) for asked in loop.asked] == [Terminated]


def test_drain_after_the_run_disturbs_nobody() -> None:
    stop, loop = StopRequest(), HeardLoop()
    with stop.attached(loop):
        pass
    stop.drain("late")
    assert loop.asked == []
