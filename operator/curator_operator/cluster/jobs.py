"""Ray's Jobs REST interface: submit, look, stop; and packages for clusters without our ConfigMap.

Called by `apply` (submit, stop) and by `follow` (look). Shapes are those of Ray 2.60, module
`ray.dashboard.modules.job`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import quote, urlsplit

from curator_api import last_word
from curator_api.progress import ProgressSnapshot
from curator_operator.cluster.http import (
    BadReply,
    Endpoint,
    HeadError,
    Heads,
    NotFound,
    Refused,
    as_object,
)
from curator_operator.reconcile.observed import JobState

# A job's record holds its runtime environment, which may carry much of the user's.
_MOST_RECORD = 4 * 1024 * 1024
_LONGEST_MESSAGE = 1024
# What libraries print when the process ends comes after the last word.
_LAST_LINES = 20
# A head starts a worker of its own for the first job before it answers; seen to take over 5 s on a
# busy machine.
_PATIENCE = 4.0
_STATES = {state for state in get_args(JobState) if state.isupper()}
_SERVE_PORT = re.compile(r"--serve\s+\S*:(\d{1,5})(?:\s|$)")


@dataclass(frozen=True)
class JobRecord:
    """What a head says of a job.

    Attributes:
        message: Ray's; the end of the driver's log is in it where the driver failed.
        last_word: the driver's last snapshot, where Ray's message has it.
        node_id: Ray's, of the node of the driver; "" before it has one.
        driver_address: `HOST:PORT` where the driver of this job serves its progress, as far as
            the record tells: the node of the driver, and the port of its command line; "" before
            it has a node.
    """

    state: JobState
    message: str = ""
    exit_code: int | None = None
    driver_address: str = ""
    last_word: ProgressSnapshot | None = None
    node_id: str = ""


class Jobs:
    """Ray's Jobs REST interface of any head."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    async def look(self, at: Endpoint, submission_id: str) -> JobRecord | None:
        """The job, or None where the head does not know it.

        Raises:
            HeadError: no answer, or a bad one.
        """
        path = f"/api/jobs/{quote(submission_id, safe='')}"
        try:
            text = await self._heads.ask("GET", at, path, most_bytes=_MOST_RECORD)
        except NotFound as error:
            # A proxy in between has 404s of its own; only Ray's own sentence means the job.
            if "does not exist" in str(error):
                return None
            raise
        return _record(as_object(text, f"GET {at.url}{path}"))

    async def last_word(
        self, at: Endpoint, submission_id: str, node_id: str
    ) -> ProgressSnapshot | None:
        """The driver's last snapshot, from the end of its log; None where there is none.

        For a job that succeeded: only of one that failed does Ray keep it in the record.

        Args:
            at: the head.
            submission_id: which job.
            node_id: where its driver ran.

        Raises:
            HeadError: no answer, or a bad one.
        """
        # The Jobs interface itself only gives the log as a whole, however long it is; and Ray 2.60
        # answers 500 where this one is given a submission id in place of node and file.
        file = quote(f"job-driver-{submission_id}.log", safe="")
        where = f"node_id={quote(node_id, safe='')}&filename={file}&lines={_LAST_LINES}"
        text = await self._heads.ask("GET", at, f"/api/v0/logs/file?{where}")
        return last_word.taken_out(text.decode(errors="replace"))[1]

    async def submit(self, at: Endpoint, body: Mapping[str, Any]) -> bool:
        """Submit a job.

        Returns:
            Whether this made it; False: the head had it already.

        Raises:
            HeadError: the head does not have it, or it is not known.
        """
        try:
            await self._heads.ask("POST", at, "/api/jobs/", body=dict(body), patience=_PATIENCE)
        except Refused as refused:
            # Ray answers a second submission of an id with 400 or 500, by version and by which
            # process noticed; the record decides, not the words.
            try:
                there = await self.look(at, str(body["submission_id"])) is not None
            except HeadError:
                there = False
            if not there:
                raise refused from None
            return False
        return True

    async def stop(self, at: Endpoint, submission_id: str) -> bool:
        """Stop a job: SIGTERM, after three seconds SIGKILL.

        Returns:
            Whether it was there to be stopped.

        Raises:
            HeadError: no answer, or a refusal.
        """
        path = f"/api/jobs/{quote(submission_id, safe='')}/stop"
        try:
            await self._heads.ask("POST", at, path, patience=_PATIENCE)
        except NotFound as error:
            if "does not exist" in str(error):
                return False
            raise
        return True

    async def upload(self, at: Endpoint, uri: str, package: bytes) -> None:
        """Put a package (`gcs://NAME.zip`) where jobs find it; one that is there stays.

        Raises:
            HeadError: no answer, or a refusal.
        """
        parts = urlsplit(uri)
        path = f"/api/packages/{parts.scheme}/{quote(parts.netloc + parts.path, safe='')}"
        try:
            await self._heads.ask("GET", at, path, most_bytes=_LONGEST_MESSAGE)
        except NotFound:
            await self._heads.ask("PUT", at, path, body=package, patience=_PATIENCE)


def _record(record: Mapping[str, Any]) -> JobRecord:
    state = record.get("status")
    if not isinstance(state, str) or state not in _STATES:
        raise BadReply(f"job record: status is {state!r}, wanted one of {sorted(_STATES)}")
    code = record.get("driver_exit_code")
    message, said = last_word.taken_out(str(record.get("message") or ""))
    return JobRecord(
        state=cast(JobState, state),
        message=message[:_LONGEST_MESSAGE],
        exit_code=code if isinstance(code, int) else None,
        driver_address=_driver_address(record),
        last_word=said,
        node_id=str(record.get("driver_node_id") or ""),
    )


def _driver_address(record: Mapping[str, Any]) -> str:
    port = _SERVE_PORT.search(str(record.get("entrypoint") or ""))
    info = record.get("driver_info")
    node = info.get("node_ip_address") if isinstance(info, Mapping) else None
    agent = urlsplit(str(record.get("driver_agent_http_address") or "")).hostname
    host = node or agent
    if port is None or not host:
        return ""
    return f"[{host}]:{port[1]}" if ":" in str(host) else f"{host}:{port[1]}"
