"""The loop: wait for events, `step`, perform the actions; publish progress on the side.

Called by `run` with a worker pool of either kind. Nothing here decides anything.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from curator_api.progress import Decision
from curator_executor.core import actions as act
from curator_executor.core.events import CancelRequested, Event
from curator_executor.core.recovery import kill_all
from curator_executor.core.state import State
from curator_executor.core.step import step
from curator_executor.runtime.ports import WorkerPool
from curator_executor.runtime.stop import Terminated

log = logging.getLogger("curator_executor.run")
MOST_DECISIONS = 1000
# After the work is done a stage may take this long to close files, flush or release a model.
TEARDOWN_S = 60.0
# A person who pressed Ctrl-C waits for this, teardown and the end of processes included in 5 s.
INTERRUPTED_DRAIN_S = 2.0
# Workers are numbered from 1. A pool answers at once to the killing of one that is not there.
NOBODY = -1


class Loop:
    """Drives one run to its end.

    Args:
        state: the run.
        pool: the workers.
        drain_s: seconds that workers get to end on failure or cancellation.
        tick_s: seconds between calls of `on_tick`, or None for none.
        on_tick: called on the loop's thread; publishes progress.
        check: called after every step, in tests.
    """

    def __init__(
        self,
        state: State,
        pool: WorkerPool,
        *,
        drain_s: float,
        tick_s: float | None = None,
        on_tick: Callable[[float], None] | None = None,
        check: Callable[[State], None] | None = None,
    ) -> None:
        self.state = state
        self.pool = pool
        self.decisions: list[Decision] = []
        self._drain_s = drain_s
        self._tick_s = tick_s
        self._on_tick = on_tick
        self._check = check
        self._next_tick = pool.now()
        self._kill_at: float | None = None
        self._asked: deque[KeyboardInterrupt] = deque()
        self._interrupt: KeyboardInterrupt | None = None
        self._hurried = False

    def cancel(self, interrupt: KeyboardInterrupt) -> None:
        """Ask the run to end; it takes the request in between two steps.

        Called from any thread and from signal handlers: it only puts something into two queues.

        Args:
            interrupt: what `run` raises in the end. `Terminated` leaves workers all of `drain_s`,
                a plain `KeyboardInterrupt` at most `INTERRUPTED_DRAIN_S`. Its text is the reason.
        """
        self._hurried = self._hurried or not isinstance(interrupt, Terminated)
        self._asked.append(interrupt)
        self.pool.kill(NOBODY, "the run is to end")  # its answer ends the wait

    def run(self) -> None:
        """Until the run has ended and no worker is left.

        Raises:
            KeyboardInterrupt: the run was cancelled; workers have ended. A run that had failed
                before raises nothing: its error says more.
        """
        events: list[Event] = []
        while True:
            try:
                self._turn([*events, *self._cancellations()])
                if self.state.ended:
                    break
                events = list(self.pool.wait(self._timeout()))
            except KeyboardInterrupt as interrupt:
                # A second Ctrl-C; or the first where the caller has a handler of its own. Then a
                # step may have been cut short, and what it was to take in is lost.
                if self._hurried:
                    self._interrupt = interrupt
                    break
                self.cancel(interrupt)
                events = []
        if self._on_tick is not None:
            self._on_tick(self.pool.now())
        if self._interrupt is not None and self.state.error is None:
            raise self._interrupt

    def _cancellations(self) -> list[Event]:
        """Take in what was asked for since the last step; the first one says how the run ends."""
        events: list[Event] = []
        if self._hurried:
            self._drain_s = min(self._drain_s, INTERRUPTED_DRAIN_S)
        while self._asked:
            interrupt = self._asked.popleft()
            if self._kill_at is not None:
                self._kill_at = min(self._kill_at, self.pool.now() + self._drain_s)
            if self._interrupt is None:
                self._interrupt = interrupt
                events.append(CancelRequested(str(interrupt) or "cancelled by the user"))
        return events

    def _turn(self, events: list[Event]) -> None:
        now = self.pool.now()
        for action in step(self.state, events, now):
            self._perform(action, now)
        if self.state.decisions:
            self._take_decisions()
        if self._check is not None:
            self._check(self.state)
        if self.state.ending:
            self._limit_ending(now)
        if self._tick_s is not None and now >= self._next_tick and self._on_tick is not None:
            self._on_tick(now)
            self._next_tick = now + self._tick_s

    def _limit_ending(self, now: float) -> None:
        if self._kill_at is None:
            allowed = TEARDOWN_S if self.state.ending == "succeeded" else self._drain_s
            self._kill_at = now + allowed
        elif now >= self._kill_at:
            for action in kill_all(self.state, f"did not end within {self._drain_s:g} s"):
                self._perform(action, now)
            self._kill_at = now + self._drain_s + 1.0

    def _timeout(self) -> float:
        now = self.pool.now()
        due = [self.state.next_scale_at if self._kill_at is None else self._kill_at]
        if self._tick_s is not None:
            due.append(self._next_tick)
        return max(0.0, min(due) - now)

    def _perform(self, action: act.Action, now: float) -> None:
        pool = self.pool
        match action:
            case act.SubmitCall(call):
                pool.submit(call)
            case act.ReleaseBlock(block):
                pool.release(block)
            case act.KeepOutput(block, order):
                pool.keep(block, order)
            case act.StartWorker(worker, index, reason):
                self.state.decide(now, index, f"start worker {worker}", reason)
                pool.start(action)
            case act.SetupWorker():
                pool.setup(action)
            case act.StopWorker(worker, reason):
                index = self.state.workers[worker].pool if worker in self.state.workers else 0
                self.state.decide(now, index, f"stop worker {worker}", reason)
                pool.stop(worker)
            case act.KillWorker(worker, reason):
                index = self.state.workers[worker].pool if worker in self.state.workers else 0
                self.state.decide(now, index, f"kill worker {worker}", reason)
                pool.kill(worker, reason)

    def _take_decisions(self) -> None:
        for at, index, what, why in self.state.decisions:
            stage = self.state.pools[index].spec.name
            log.debug("%s stage=%s reason=%s", what, stage, why)
            if len(self.decisions) < MOST_DECISIONS:
                since = round(at - self.state.started_at, 3)
                self.decisions.append(Decision(at_s=since, stage=stage, action=what, reason=why))
        self.state.decisions.clear()
