"""Manifests to try, and a short way to write them."""

from __future__ import annotations

from textwrap import indent

HEAD = """\
apiVersion: curator.dev/v1alpha1
kind: CuratorPipeline
metadata: {name: clean-web}
spec:
"""

STAGE = "stages: [{name: read, class: my_team.stages.Read}]"

CLUSTER = """\
cluster:
  workerGroups:
  - {name: cpu, maxReplicas: 4, resources: {cpus: 16, memory: 64Gi}}
  - name: h100
    maxReplicas: 2
    resources: {cpus: 8, memory: 32Gi}
    accelerator: {count: 1, type: H100, memory: 80Gi}
"""


def spec(text: str) -> str:
    """A manifest with this spec."""
    return HEAD + indent(text, "  ") + "\n"


def stage(fields: str, rest: str = "") -> str:
    """A manifest with one stage that has these fields beside name and class."""
    return spec(f"stages:\n- {{name: read, class: a.Read, {fields}}}\n{rest}")
