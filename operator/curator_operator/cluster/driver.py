"""The endpoint of the running driver: how far it is, and the request to stop well.

Called by `follow` (progress) and by `apply` (drain). The other side is the executor's
`curator run … --serve`.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from curator_api.progress import ProgressSnapshot
from curator_operator.cluster.http import BadReply, Endpoint, Heads, MiB, Refused

_NOT_YET = 503


class Driver:
    """The endpoint of any driver."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    async def progress(self, at: Endpoint) -> ProgressSnapshot | None:
        """How far the run is; None before it has anything to tell.

        Raises:
            HeadError: no answer, or a bad one.
        """
        try:
            text = await self._heads.ask("GET", at, "/progress", most_bytes=MiB)
        except Refused as refused:
            if refused.code == _NOT_YET:
                return None
            raise
        return read_snapshot(text)

    async def drain(self, at: Endpoint) -> None:
        """Ask the run to let running batches end, and to stop. Twice is once.

        Raises:
            HeadError: no answer, or a refusal.
        """
        await self._heads.ask("POST", at, "/drain")


def read_snapshot(text: bytes) -> ProgressSnapshot:
    """The snapshot that an answer holds; fields that this version does not know are left out.

    Raises:
        BadReply: it holds none.
    """
    try:
        # An image may be newer than the operator.
        return ProgressSnapshot.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadReply(f"/progress: {where or 'answer'}: {first['msg']}") from error
    except json.JSONDecodeError as error:  # pragma: no cover - pydantic reports it itself
        raise BadReply(f"/progress: {error}") from error
