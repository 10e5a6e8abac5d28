"""Who may view or edit a namespace may do so to its pipelines, once the chart is installed."""

from __future__ import annotations

import pytest

from tests.cluster.chart.audit import AuditedControlPlane
from tests.cluster.chart.installed import Installed
from tests.cluster.processes import eventually

VERBS = ("get", "watch", "create", "patch", "delete")


@pytest.mark.parametrize(
    ("role", "allowed"), [("view", {"get", "watch"}), ("edit", set(VERBS)), ("admin", set(VERBS))]
)
def test_people_have_the_rights_of_their_role(
    chart_plane: AuditedControlPlane, release: Installed, team: str, role: str, allowed: set[str]
) -> None:
    release.install()
    person = f"someone-who-may-{role}"
    chart_plane.kubectl(
        "create", "rolebinding", person, f"--clusterrole={role}", f"--user={person}", "-n", team
    )

    def granted() -> set[str]:
        asked = {
            verb: chart_plane.try_kubectl(
                "auth", "can-i", verb, "curatorpipelines", "-n", team, f"--as={person}"
            )
            for verb in VERBS
        }
        return {verb for verb, ran in asked.items() if ran.stdout.strip() == "yes"}

    # Kubernetes puts its roles together in the background.
    eventually(lambda: granted() == allowed, f"{role} may {', '.join(sorted(allowed))}")


def test_people_get_no_rights_where_that_is_not_wanted(
    chart_plane: AuditedControlPlane, release: Installed
) -> None:
    release.install({"crds": {"userRoles": False}})

    names = chart_plane.kubectl("get", "clusterroles", "-o", "name")

    assert "curator-view" not in names
    assert "curator-edit" not in names
