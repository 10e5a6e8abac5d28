"""Manifests that are taken."""

from __future__ import annotations

from tests.unit.curator_api.manifests import CLUSTER, HEAD, STAGE, spec, stage

WHOLE = """\
apiVersion: curator.dev/v1alpha1
kind: CuratorPipeline
metadata: {name: clean-web, namespace: team-a, labels: {team: a}, annotations: {why: "a test"}}
spec:
  image: curator/executor:0.1.0
  runtimeEnv: {pip: [ftfy]}
  stages:
  - name: read
    class: curator_executor.stages.JsonlReader
    args: {paths: ["/data/in/*.jsonl.gz"], files_per_task: 1, token: {fromEnv: HF_TOKEN}}
  - name: embed
    class: my_team.stages.Embed
    resources: {cpus: 1, gpus: 0.25, memory: 4Gi}
    workerGroups: [h100]
    batchSize: 32
    workers: {min: 1, max: 16}
    retries: 2
    timeoutSeconds: 600
    runtimeEnv: {env_vars: {A: "1"}}
  execution: {mode: streaming, ignoreFailures: false, maxWorkersPerStage: null,
    cpuAllocationPercent: 95, autoscaleIntervalSeconds: 180, loggingIntervalSeconds: 60,
    maxFailures: 100, drainSeconds: 60, fusion: true}
  cluster:
    rayVersion: "2.60.0"
    head: {resources: {cpus: 1, memory: 2Gi}}
    workerGroups:
    - name: h100
      minReplicas: 0
      maxReplicas: 8
      resources: {cpus: 8, memory: 32Gi}
      accelerator: {resourceName: nvidia.com/gpu, count: 1, type: H100, memory: 80Gi}
      nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      podTemplate: {}
    env: [{name: A, value: "1"}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]
    envFrom: [{secretRef: {name: s}}]
    volumes: [{name: ckpt, persistentVolumeClaim: {claimName: ckpt}}]
    volumeMounts: [{name: ckpt, mountPath: /ckpt}]
    imagePullSecrets: [{name: pull}]
    serviceAccountName: curator
    podTemplate: {}
    keepAfterFinish: false
  checkpoint: {uri: "file:///ckpt/clean-web"}
  deadLetters: {uri: "file:///ckpt/clean-web-dead"}
  artifacts: {uri: "s3://bucket/clean-web-run"}
  suspend: false
  backoffLimit: 2
  retryOn: [StageFailed]
  activeDeadlineSeconds: 86400
  ttlSecondsAfterFinished: 3600
"""

GOOD: dict[str, str] = {
    "every field": WHOLE,
    "the least": spec(STAGE),
    "json": '{"apiVersion": "curator.dev/v1alpha1", "kind": "CuratorPipeline", "metadata": '
    '{"name": "a"}, "spec": {"builder": {"callable": "a.b:c"}}}',
    "a builder with a colon": spec('builder: {callable: "my_team.pipelines:build", args: {m: 3}}'),
    "a builder with a dot": spec("builder: {callable: my_team.pipelines.build}"),
    "a class with a colon": spec("stages: [{name: a, class: 'my_team.stages:Read'}]"),
    "a whole number of GPUs": stage("resources: {gpus: 2}"),
    "no CPU": stage("resources: {cpus: 0}"),
    "GPU memory": stage("resources: {gpuMemory: 10Gi}"),
    "memory in plain bytes": stage("resources: {memory: 8589934592}"),
    "a fixed number of workers": stage("workers: {count: 3}"),
    "minimum equal to maximum": stage("workers: {min: 3, max: 3}"),
    "no retries": stage("retries: 0"),
    "options of a part": stage("parts: {files: {workers: {max: 2}, retries: 1}}"),
    "a stage that fits a group": stage("resources: {gpus: 1, memory: 16Gi}", CLUSTER),
    "a stage in its group": stage("workerGroups: [cpu], resources: {cpus: 16}", CLUSTER),
    "GPU memory that fits": stage("resources: {gpuMemory: 80Gi}", CLUSTER),
    "groups without a cluster": stage("workerGroups: [anything]"),
    "an existing cluster": stage(
        "workerGroups: [theirs], resources: {cpus: 99}",
        "cluster: {existing: {name: shared-ray, authSecretRef: {name: token}}}",
    ),
    "batch mode without fusion": spec(f"{STAGE}\nexecution: {{mode: batch, fusion: false}}"),
    "a checkpoint without a cluster": spec(f'{STAGE}\ncheckpoint: {{uri: "file:///ckpt"}}'),
    "a file under a volume of the pod template": spec(
        f"{STAGE}\ncheckpoint: {{uri: 'file:///c'}}\n{CLUSTER}  podTemplate: {{spec: {{}}}}"
    ),
    "comments and document marks": f"# a pipeline\n---\n{spec(STAGE)}...\n",
    "an anchor used twice": spec(
        "stages:\n- {name: a, class: a.A, resources: &small {cpus: 0.5}}\n"
        "- {name: b, class: a.B, resources: *small}"
    ),
    "a merged mapping with an override": spec(
        "stages:\n- &first {name: a, class: a.A, retries: 1}\n- {<<: *first, name: b}"
    ),
    "a quoted no": stage('args: {languages: [en, "no"]}'),
    "fields without a value": stage("args: , retries: ~, workers: {min: null}"),
    "whole numbers with a point": stage("retries: 2.0, workers: {max: 4.0}"),
    "a status": spec(STAGE) + "status: {phase: Running}\n",
    "what the API server writes": spec(STAGE).replace(
        "clean-web",
        "a, uid: u, resourceVersion: '5', generation: 1, creationTimestamp: 2026-01-01T00:00:00Z, "
        "finalizers: [f], ownerReferences: [{name: o}], managedFields: [{manager: m}]",
    ),
    "labels with a prefix": spec(STAGE).replace(
        "clean-web", 'a, labels: {example.com/a: "", b: C_d}'
    ),
    "stages that failed begin a new attempt": spec(f"{STAGE}\nretryOn: [StageFailed]"),
    "an existing cluster and defaults": spec(
        f"{STAGE}\ncluster: {{existing: {{name: shared}}, workerGroups: [], podTemplate: {{}}}}"
    ),
    "a forty character name": HEAD.replace("clean-web", "a" * 40) + f"  {STAGE}\n",
}
