"""`DesiredError`: a spec of which no children can be made.

Raised by the functions of this package, caught by `reconcile`, which shows it as `Accepted=False`.
The models have judged the spec before; here is what only shows on Kubernetes: what a pod template
may not say, service accounts that are not allowed, manifests that do not fit into a ConfigMap.
"""

from __future__ import annotations

from collections.abc import Sequence

from curator_api.errors import ManifestError, Problem


class DesiredError(ManifestError):
    """The spec is well-formed, but no cluster or job can be made of it; names every field."""


def refuse(problems: Sequence[Problem]) -> None:
    """Raise if there are problems.

    Raises:
        DesiredError: there is at least one.
    """
    if problems:
        raise DesiredError(problems)
