"""Ray's exceptions in our terms."""

from __future__ import annotations

import pytest
from ray import exceptions
from ray.core.generated import common_pb2

from curator_executor.core.events import NODE_GONE
from curator_executor.ray_backend import faults


def actor_died(message: str) -> exceptions.ActorDiedError:
    context = vars(common_pb2)["ActorDiedErrorContext"](actor_id=bytes(16), error_message=message)
    return exceptions.ActorDiedError(context)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exceptions.NodeDiedError("the node is away"), NODE_GONE),
        (
            actor_died("The actor died because its node has died. Node Id: 12"),
            NODE_GONE,
        ),
        (
            actor_died("Worker exit detail: connection error code 2. End of file"),
            "its process ended unexpectedly (killed or crashed)",
        ),
    ],
)
def test_death_has_its_reason(error: exceptions.RayError, reason: str) -> None:
    assert faults.is_death(error)
    assert faults.death_reason(error) == reason


def test_input_lost_with_its_node_is_said_in_so_many_words() -> None:
    lost = exceptions.ObjectLostError("ab" * 28, None, "here")
    found = faults.call_error(lost, 3)
    assert found.stage == 3
    assert found.message.startswith("its input was on a node that is gone, and is not made again.")
    assert "ObjectLostError" in found.message
