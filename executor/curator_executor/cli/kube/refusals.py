"""What went wrong between us and the API server, as one message that says what to do.

`explained` is called by `commands` for every error of the API that a command has not explained
itself. Pure.
"""

from __future__ import annotations

from curator_executor.cli.kube.api import ApiError, ApiRefused, Place
from curator_executor.cli.outcome import FAILED, REFUSED, CommandError

_INVALID = (400, 422)


def explained(error: ApiError, doing: str, place: Place) -> CommandError:
    """The error for the user.

    Args:
        error: what the API server said, or that it said nothing.
        doing: what was tried, such as `create curatorpipelines in namespace team-a`.
        place: where.
    """
    where = f"the API server {place.server}" + (
        f" (context {place.context})" if place.context else ""
    )
    if not isinstance(error, ApiRefused):
        return CommandError(
            f"{where} gives no answer: {error}. See that it can be reached from here; --context "
            "and --kubeconfig name another one",
            FAILED,
        )
    if error.code == 401:
        return CommandError(
            f"{where} does not accept your credentials: they may have expired. Log in as for "
            "kubectl, and try again"
        )
    if error.code == 403:
        return CommandError(f"not allowed to {doing}: {error.message}")
    if error.code == 404:
        return CommandError(_missing(error, where))
    if error.code in _INVALID:
        return CommandError(f"the API server refuses to {doing}: {error.message}")
    code = REFUSED if error.code == 409 else FAILED
    said = f"{where} could not {doing}: {error.message or error.reason} ({error.code})"
    return CommandError(said if code == REFUSED else f"{said}; try again", code)


def _missing(error: ApiRefused, where: str) -> str:
    # "page not found" has no reason: the path itself is unknown, which is to say the kind.
    if not error.reason or "could not find the requested resource" in error.message:
        return (
            f"{where} knows no CuratorPipelines: install the operator with its definition, "
            "helm install curator charts/curator --namespace curator-system --create-namespace"
        )
    return f"{error.message}: see --namespace" if "namespaces" in error.message else error.message
