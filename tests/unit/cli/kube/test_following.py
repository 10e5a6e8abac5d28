"""The stream of one object: what is said of it, and what is done when it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor.cli.kube.api import ApiError, ApiRefused, ApiUnreachable, Object
from curator_executor.cli.kube.following import (
    LONGEST_PAUSE_S,
    Broken,
    Gone,
    Seen,
    follow,
    pause_s,
)

Stream = list[Object | ApiError]


def thing(version: int, uid: str = "one") -> Object:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def event(kind: str, obj: Object) -> Object:
    return {"type": kind, "object": obj}


def expired() -> Object:
    return event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})


class FakeSource:
    """Lists and streams that are laid down; remembers what was asked.

    Args:
        lists: each an object, None, or an error, in order.
        streams: each what comes before the server ends it.
    """

    def __init__(self, lists: list[Any], streams: list[Stream]) -> None:
        self._lists, self._streams = lists, streams
        self.asked: list[str] = []

    def read(self) -> tuple[Object | None, str]:
        self.asked.append("list")
        found = self._lists.pop(0)
        if isinstance(found, ApiError):
            raise found
        return found, found["metadata"]["resourceVersion"] if found else "1"

    def changes(self, version: str) -> Iterator[Object]:
        self.asked.append(version)
        for one in self._streams.pop(0):
            if isinstance(one, ApiError):
                raise one
            yield one


class Pauses(list[float]):
    """Takes down how long would be waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def told(source: FakeSource, pauses: Pauses | None = None) -> list[Any]:
    return list(follow(source, pauses if pauses is not None else Pauses(), chance=lambda: 1.0))


def test_an_object_is_listed_once_and_then_streamed_until_it_is_deleted() -> None:
    source = FakeSource([thing(5)], [[event("MODIFIED", thing(6)), event("DELETED", thing(7))]])
    assert told(source) == [Seen(thing(5)), Seen(thing(6)), Gone()]
    assert source.asked == ["list", "5"]


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert told(FakeSource([None], [])) == []


def test_a_stream_that_the_server_ends_goes_on_from_the_last_version() -> None:
    """A bookmark counts: without it a quiet object's version grows too old."""
    pauses = Pauses()
    source = FakeSource(
        [thing(5)],
        [
            [event("MODIFIED", thing(6))],
            [event("BOOKMARK", {"metadata": {"resourceVersion": "90"}})],
            [event("DELETED", thing(91))],
        ],
    )
    assert told(source, pauses) == [Seen(thing(5)), Seen(thing(6)), Gone()]
    assert source.asked == ["list", "5", "6", "90"]
    assert pauses == []


def test_a_version_that_is_too_old_is_listed_anew_at_once() -> None:
    pauses = Pauses()
    source = FakeSource([thing(5), thing(50)], [[expired()], [event("DELETED", thing(51))]])
    assert told(source, pauses) == [Seen(thing(5)), Seen(thing(50)), Gone()]
    assert pauses == []


def test_versions_that_are_always_too_old_are_not_asked_for_in_a_tight_loop() -> None:
    pauses = Pauses()
    source = FakeSource(
        [thing(5), thing(6), thing(7)], [[expired()], [expired()], [event("DELETED", thing(8))]]
    )
    assert isinstance(told(source, pauses)[2], Broken)
    assert pauses == [2.0]


def test_a_broken_stream_is_taken_up_after_longer_and_longer_pauses() -> None:
    pauses = Pauses()
    lost = ApiUnreachable("connection reset")
    source = FakeSource(
        [thing(5)],
        [[lost], [lost], [lost], [event("MODIFIED", thing(6)), lost], [event("DELETED", thing(7))]],
    )
    said = told(source, pauses)
    assert said[1:4] == [Broken("connection reset", wait) for wait in (1.0, 2.0, 4.0)]
    assert said[4:] == [Seen(thing(6)), Broken("connection reset", 1.0), Gone()]
    assert pauses == [1.0, 2.0, 4.0, 1.0]
    assert source.asked == ["list", "5", "5", "5", "5", "6"]


def test_streams_that_end_without_a_word_are_not_asked_for_in_a_tight_loop() -> None:
    pauses = Pauses()
    told(FakeSource([thing(5)], [[], [], [], [event("DELETED", thing(6))]]), pauses)
    assert pauses == [2.0, 4.0]


def test_the_server_says_how_long_to_wait() -> None:
    pauses = Pauses()
    busy = ApiRefused(429, "TooManyRequests", "busy", retry_after_s=17.0)
    told(FakeSource([thing(5)], [[busy], [event("DELETED", thing(6))]]), pauses)
    assert pauses == [17.0]


def test_another_object_of_the_name_is_not_taken_for_the_one_that_was_followed() -> None:
    source = FakeSource([thing(5), thing(90, uid="two")], [[expired()]])
    assert told(source) == [Seen(thing(5)), Gone()]


def test_an_object_that_went_while_the_stream_was_broken_is_gone() -> None:
    assert told(FakeSource([thing(5), None], [[expired()]])) == [Seen(thing(5)), Gone()]


@pytest.mark.parametrize("error", [ApiUnreachable("refused"), ApiRefused(503, "", "")])
def test_at_the_beginning_an_error_is_told_at_once(error: ApiError) -> None:
    with pytest.raises(ApiError) as caught:
        told(FakeSource([error], []))
    assert caught.value is error


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_waiting_cannot_mend_ends_it(code: int) -> None:
    with pytest.raises(ApiRefused):
        told(FakeSource([thing(5)], [[ApiRefused(code, "", "")]]))


def test_pauses_double_up_to_a_limit_and_half_of_each_is_chance() -> None:
    assert [pause_s(number, 1.0) for number in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_s(3, 0.0) == 2.0
    assert pause_s(10_000, 1.0) == LONGEST_PAUSE_S
