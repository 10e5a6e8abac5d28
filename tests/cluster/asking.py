"""Ask a Ray head or a driver by HTTP, as a test sees it: status and text, whatever they are."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

# A real head takes its time over a submission: on a busy machine half a minute.
ANSWER_WITHIN_S = 90.0


def ask(url: str, token: str = "", body: Any = None) -> tuple[int, str]:
    """Status and text of the answer to a GET, or to a POST where there is a body.

    Raises:
        OSError: there is no answer.
    """
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
