"""Pipelines whose children are kept as files in `golden/`, and what every test here starts from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from curator_api.load import parse_manifest
from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired import (
    config_map,
    package,
    raycluster,
    submission,
    token_secret,
)
from curator_operator.reconcile.observed import PipelineSeen
from curator_operator.settings import OperatorSettings

GOLDEN = Path(__file__).parent / "golden"
UID = "4f1c9a20-7e51-4d0b-9a55-0c9a3b1f2d77"
SETTINGS = OperatorSettings(
    token_key="0123456789abcdef0123456789abcdef",
    default_image="curator/executor:0.1.0",
    ray_version="2.60.0",
    service_accounts=("curator-jobs",),
)

MINIMAL = """
stages: [{name: read, class: my_team.stages.Read}]
cluster:
  workerGroups:
  - {name: cpu, minReplicas: 2, maxReplicas: 2, resources: {cpus: 4, memory: 8Gi}}
"""

GPU_GROUPS = """
image: registry.example/team/curation:3
stages:
- {name: read, class: my_team.stages.Read, workerGroups: [cpu]}
- {name: embed, class: my_team.stages.Embed, resources: {gpus: 0.25}, workerGroups: [h100]}
- {name: score, class: my_team.stages.Score, resources: {gpus: 1}, workerGroups: [shared]}
cluster:
  head: {resources: {cpus: 1, memory: 2Gi}}
  workerGroups:
  - {name: cpu, minReplicas: 1, maxReplicas: 1, resources: {cpus: 0.5, memory: 1500M}}
  - name: h100
    minReplicas: 1
    maxReplicas: 1
    resources: {cpus: 8, memory: 32Gi}
    accelerator: {count: 2, type: H100, memory: 80Gi}
    nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  - name: shared
    minReplicas: 1
    maxReplicas: 1
    resources: {cpus: 4, memory: 16Gi}
    accelerator: {resourceName: nvidia.com/gpu.shared, count: 4}
"""

AUTOSCALED = """
stages: [{name: read, class: my_team.stages.Read}]
cluster:
  workerGroups:
  - {name: fixed, minReplicas: 1, maxReplicas: 1, resources: {cpus: 2, memory: 4Gi}}
  - {name: burst, minReplicas: 0, maxReplicas: 8, resources: {cpus: 4, memory: 8Gi}}
"""

TEMPLATES = """
stages: [{name: read, class: my_team.stages.Read}]
runtimeEnv: {pip: [langdetect==1.0.9], env_vars: {MODE: strict}}
checkpoint: {uri: "file:///data/checkpoint"}
cluster:
  serviceAccountName: curator-jobs
  imagePullSecrets: [{name: registry}]
  env:
  - {name: LEVEL, value: info}
  - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}
  envFrom: [{secretRef: {name: bucket}}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: corpus}}
  volumeMounts:
  - {name: data, mountPath: /data}
  podTemplate:
    metadata:
      labels: {team: data}
      annotations: {example.com/scrape: "yes"}
    spec:
      priorityClassName: batch
      tolerations: [{key: dedicated, operator: Exists}]
      containers:
      - name: ray
        env: [{name: LEVEL, value: debug}]
        resources: {limits: {ephemeral-storage: 20Gi}, requests: {cpu: "1"}}
      - name: ship-logs
        image: registry.example/ship-logs:1
        volumeMounts: [{name: ray-logs, mountPath: /logs, readOnly: true}]
  workerGroups:
  - name: nvme
    minReplicas: 1
    maxReplicas: 1
    resources: {cpus: 4, memory: 8Gi}
    tolerations: [{key: nvme, operator: Exists, effect: NoSchedule}]
    podTemplate:
      spec:
        containers:
        - name: ray
          image: registry.example/team/curation:3-nvme
          env: [{name: LEVEL, value: trace}]
          volumeMounts: [{name: scratch, mountPath: /tmp/ray}]
        volumes:
        - name: scratch
          ephemeral:
            volumeClaimTemplate:
              spec:
                accessModes: [ReadWriteOnce]
                storageClassName: nvme
                resources: {requests: {storage: 100Gi}}
"""

EXISTING = """
stages: [{name: read, class: my_team.stages.Read}]
cluster: {existing: {name: shared-ray, authSecretRef: {name: shared-ray-token}}}
"""

SPECS = {
    "minimal": MINIMAL,
    "gpu-groups": GPU_GROUPS,
    "autoscaled": AUTOSCALED,
    "templates": TEMPLATES,
    "existing": EXISTING,
    "kueue": MINIMAL,
}
KUEUE = {
    "kueue.x-k8s.io/queue-name": "team-queue",
    "kueue.x-k8s.io/priority-class": "nightly",
    "team": "data",
}


@cache
def spec_of(text: str) -> PipelineSpec:
    """The spec in a text."""
    manifest = {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": "clean-web", "namespace": "team-a"},
        "spec": yaml.safe_load(text),
    }
    return parse_manifest(yaml.safe_dump(manifest, sort_keys=False)).spec


def with_cluster(**changes: Any) -> PipelineSpec:
    """The minimal spec with fields of its cluster, in the names of the file."""
    spec = yaml.safe_load(MINIMAL)
    spec["cluster"] |= changes
    return spec_of(yaml.safe_dump(spec))


def with_group(**changes: Any) -> PipelineSpec:
    """The minimal spec with fields of its worker group, in the names of the file."""
    spec = yaml.safe_load(MINIMAL)
    spec["cluster"]["workerGroups"][0] |= changes
    return spec_of(yaml.safe_dump(spec))


def pipeline(
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> PipelineSeen:
    """The pipeline `team-a/clean-web`."""
    return PipelineSeen(
        namespace="team-a",
        name="clean-web",
        uid=UID,
        generation=1,
        resource_version="7",
        created_at=0.0,
        spec={},
        labels=labels or {},
        annotations=annotations or {},
    )


def cluster_of(spec: PipelineSpec) -> dict[str, Any]:
    """The RayCluster of the first attempt."""
    return raycluster(pipeline(), spec, 1, SETTINGS)


def pods_of(spec: PipelineSpec) -> list[dict[str, Any]]:
    """Pod templates of the first attempt: the head's, then those of the groups."""
    body = cluster_of(spec)["spec"]
    groups = [body["headGroupSpec"], *body["workerGroupSpecs"]]
    return [group["template"] for group in groups]


def children_of(name: str) -> list[dict[str, Any]]:
    """All that is made for the first attempt of a scenario, in order."""
    spec = spec_of(SPECS[name])
    this = pipeline(KUEUE if name == "kueue" else {})
    if name == "existing":
        archive = package(this, spec)
        return [{"package": archive.name}, submission(this, spec, 1)]
    return [
        token_secret(this, 1),
        config_map(this, spec, 1),
        raycluster(this, spec, 1, SETTINGS),
        submission(this, spec, 1),
    ]


class _Dumper(yaml.SafeDumper):
    """Blocks for text of several lines, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def golden_text(name: str) -> str:
    """What the file of a scenario should hold."""
    return yaml.dump_all(children_of(name), Dumper=_Dumper, sort_keys=False, width=100)


if __name__ == "__main__":
    # python -m tests.unit.operator.desired.scenarios: write the files anew, then read the diff.
    GOLDEN.mkdir(exist_ok=True)
    for scenario in SPECS:
        (GOLDEN / f"{scenario}.yaml").write_text(golden_text(scenario))
