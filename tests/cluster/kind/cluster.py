"""The cluster itself: a control plane and two workers with four fake GPUs each, and KubeRay.

Called by `__main__`. The folder `data` beside the kubeconfig is the same on all nodes, at
`NODE_DATA`, for volumes that outlive their pods; the source tree is at `NODE_SOURCE`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import binaries
from tests.cluster.kind import images, storage
from tests.cluster.kind.machine import CannotPrepare, state_directory

NAME = "curator"
NODE_DATA = "/curator/data"
NODE_SOURCE = "/curator/source"
POD_SUBNET = "10.244.0.0/16"
GPUS_A_NODE = 4
# The label that NVIDIA's own device plugin would set, and the memory of the device in MiB.
GPU_NODES = (("Fake-H100-80GB", 81559), ("Fake-L4", 23034))
KUBERAY_NAMESPACE = "kuberay-system"
READY_WITHIN_S = 180


@dataclass(frozen=True)
class Kind:
    """A cluster that is up.

    Attributes:
        kubeconfig: an administrator's.
        data: the folder that all nodes see at `NODE_DATA`.
        operator_image: tag of the operator's image on the workers; empty if none was loaded.
        executor_image: of the executor's.
    """

    kubeconfig: Path
    data: Path
    operator_image: str
    executor_image: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What `kubectl` printed.

        Raises:
            CannotPrepare: it failed; the message has what it said.
        """
        command = [_binary("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise CannotPrepare(f"`kubectl {' '.join(arguments)}` failed: {ran.stderr.strip()}")
        return ran.stdout

    def started_kubectl(self, *arguments: str) -> subprocess.Popen[str]:
        """A `kubectl` that goes on, such as a watch; the caller ends it."""
        command = [_binary("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def environment(self) -> dict[str, str]:
        """For commands that find the cluster, `kubectl` and this distribution by themselves."""
        path = [sysconfig.get_path("scripts"), str(Path(_binary("kubectl")).parent)]
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": os.pathsep.join([*path, os.environ["PATH"]]),
        }

    @property
    def volumes(self) -> Path:
        """Where the volumes lie on this machine that claims are met with."""
        return self.data / "volumes"

    def nodes(self) -> list[str]:
        """Names of the nodes, which are those of their containers."""
        return self.kubectl("get", "nodes", "-o", "name").replace("node/", "").split()

    def workers(self) -> list[str]:
        """Names of the nodes that run pods of pipelines."""
        return [name for name in self.nodes() if "worker" in name]


def current() -> Kind | None:
    """The cluster that is up on this machine; None if there is none or it does not answer."""
    path = _record()
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    kind = Kind(
        Path(kept["kubeconfig"]), Path(kept["data"]), kept["operator_image"], kept["executor_image"]
    )
    try:
        kind.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
    except CannotPrepare:
        return None
    return kind


def create(*, product: bool) -> Kind:
    """Make the cluster anew and give it KubeRay.

    Args:
        product: build our images and load them into the workers.

    Raises:
        CannotPrepare: something did not work; says what.
    """
    binaries.ensure([*binaries.CONTROL_PLANE, *binaries.NODES])
    delete()
    node_image = images.node_image()
    built = images.product_images() if product else {}
    directory = state_directory()
    data = directory / "data"
    (data / "volumes").mkdir(parents=True)
    data.chmod(0o777)  # pods of pipelines run as a user that this machine may not have
    kind = Kind(
        directory / "kubeconfig", data, built.get("operator", ""), built.get("executor", "")
    )
    config = directory / "kind.yaml"
    config.write_text(yaml.safe_dump(_config(data)))
    with _Timed("cluster"):
        _kind("create", "cluster", "--image", node_image, "--config", str(config), "--retain")
    with _Timed("network and GPUs"):
        if not images.can_pull():
            _connect_pods(kind)
            _answer_names_of_the_cluster_alone(kind)
        kind.kubectl(
            "wait", "--for=condition=Ready", "node", "--all", f"--timeout={READY_WITHIN_S}s"
        )
        _pretend_gpus(kind)
        _offer_volumes(kind)
    with _Timed("our images"):
        if built:
            images.load_into(kind.workers(), list(built.values()))
    with _Timed("KubeRay"):
        _install_kuberay(kind)
    _remember(kind)
    return kind


def load(kind: Kind) -> Kind:
    """Build our images anew and give the workers those that they have not."""
    built = images.product_images()
    missing = set(built.values()) - {kind.operator_image, kind.executor_image}
    if missing:
        images.load_into(kind.workers(), sorted(missing))
    newer = replace(kind, operator_image=built["operator"], executor_image=built["executor"])
    _remember(newer)
    return newer


def delete() -> None:
    """Take the cluster away, and what its pods left on volumes."""
    _record().unlink(missing_ok=True)
    if not _can_be_there():
        return
    _kind("delete", "cluster", "--kubeconfig", str(state_directory() / "kubeconfig"))
    shutil.rmtree(state_directory() / "data", ignore_errors=True)


def _config(data: Path) -> dict[str, Any]:
    mounts = [
        {"hostPath": str(data), "containerPath": NODE_DATA},
        {"hostPath": str(data / "volumes"), "containerPath": storage.NODE_VOLUMES},
        {"hostPath": str(binaries.ROOT), "containerPath": NODE_SOURCE, "readOnly": True},
    ]
    workers = [
        {
            "role": "worker",
            "labels": {
                "nvidia.com/gpu.present": "true",
                "nvidia.com/gpu.product": product,
                "nvidia.com/gpu.memory": str(mebibytes),
            },
            "extraMounts": mounts,
        }
        for product, mebibytes in GPU_NODES
    ]
    kubelet = {
        "kind": "KubeletConfiguration",
        # Kubernetes 1.35 gives cgroup v1 up; machines with it are still about.
        "failCgroupV1": False,
        # Raising the limit of open files takes CAP_SYS_RESOURCE.
        "maxOpenFiles": 20000,
    }
    controllers = {
        "kind": "ClusterConfiguration",
        # A claim that is looked at before its volume is known waits for the next look at all.
        "controllerManager": {"extraArgs": {"pvclaimbinder-sync-period": "1s"}},
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "ipFamily": "ipv4",
            "podSubnet": POD_SUBNET,
            "disableDefaultCNI": not images.can_pull(),
        },
        "nodes": [{"role": "control-plane"}, *workers],
        "kubeadmConfigPatches": [yaml.safe_dump(kubelet), yaml.safe_dump(controllers)],
    }


def _connect_pods(kind: Kind) -> None:
    """A pair of interfaces for each pod, and a route to each other node's pods."""
    addresses: dict[str, tuple[str, str]] = {}
    for node in json.loads(kind.kubectl("get", "nodes", "-o", "json"))["items"]:
        own = next(one for one in node["status"]["addresses"] if one["type"] == "InternalIP")
        addresses[node["metadata"]["name"]] = (node["spec"]["podCIDR"], own["address"])
    for node, (subnet, _) in addresses.items():
        plugin = {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [plugin, ports]}
        images.docker(
            *("exec", "--interactive", node, "tee", "/etc/cni/net.d/10-pods.conflist"),
            stdin=json.dumps(network).encode(),
        )
        for other, (its_subnet, its_address) in addresses.items():
            if other != node:
                images.docker(
                    *("exec", node, "ip", "route", "replace", its_subnet, "via", its_address)
                )


def _answer_names_of_the_cluster_alone(kind: Kind) -> None:
    """Forward no query: the node's own resolver is a loop, and there is no other."""
    found = json.loads(kind.kubectl("-n", "kube-system", "get", "cm", "coredns", "-o", "json"))
    patch = {"data": {"Corefile": without_forwarding(found["data"]["Corefile"])}}
    kind.kubectl("-n", "kube-system", "patch", "cm", "coredns", "-p", json.dumps(patch))
    kind.kubectl("-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-dns", "--wait=false")


def without_forwarding(corefile: str) -> str:
    """A Corefile without the plugins `forward`, with its block if it has one, and `loop`."""
    kept, inside = [], False
    for line in corefile.splitlines():
        word = line.split()[:1]
        inside = inside or (word == ["forward"] and line.rstrip().endswith("{"))
        if not inside and word not in (["forward"], ["loop"]):
            kept.append(line)
        inside = inside and line.strip() != "}"
    return "\n".join([*kept, ""])


def _pretend_gpus(kind: Kind) -> None:
    """Say that the workers have GPUs: scheduling is real, no device appears in a pod."""
    where = "/status/capacity/nvidia.com~1gpu"
    patch = json.dumps([{"op": "add", "path": where, "value": str(GPUS_A_NODE)}])
    for node in kind.workers():
        kind.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", patch)
    for node in kind.workers():
        condition = f"jsonpath={{.status.allocatable.nvidia\\.com/gpu}}={GPUS_A_NODE}"
        kind.kubectl("wait", f"--for={condition}", f"node/{node}", "--timeout=60s")


def _offer_volumes(kind: Kind) -> None:
    """See that a claim without further words is met, as in the clusters that people have."""
    found = json.loads(kind.kubectl("get", "storageclass", "-o", "json"))["items"]
    useless = [each for each in found if each["provisioner"] == storage.UNUSABLE]
    if not found or useless:
        for each in useless:  # what provides a class cannot be changed
            kind.kubectl("delete", "storageclass", each["metadata"]["name"])
        kind.kubectl("apply", "-f", "-", stdin=storage.as_list(storage.offered(kind.volumes)))


def _install_kuberay(kind: Kind) -> None:
    module = binaries.module_directory("kuberay", binaries.KUBERAY)
    overlay = state_directory() / "kuberay"
    shutil.rmtree(overlay, ignore_errors=True)
    overlay.mkdir()
    # kustomize reads no folder outside its own.
    shutil.copytree(module / "config", overlay / "config", copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(overlay):
        Path(folder).chmod(0o755)  # Go's cache of modules is read-only
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump({"namespace": KUBERAY_NAMESPACE, "resources": ["config/default"]})
    )
    kind.kubectl("create", "namespace", KUBERAY_NAMESPACE)
    kind.kubectl("apply", "--server-side", "-k", str(overlay))
    wait = f"--timeout={READY_WITHIN_S}s"
    kind.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", wait)
    kind.kubectl("-n", KUBERAY_NAMESPACE, "rollout", "status", "deployment/kuberay-operator", wait)


def _kind(*arguments: str) -> None:
    command = [_binary("kind"), *arguments, "--name", NAME]
    environment = {**os.environ, "KUBECONFIG": str(state_directory() / "kubeconfig")}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = "\n".join(ran.stderr.strip().splitlines()[-30:])
        raise CannotPrepare(f"`kind {' '.join(arguments)}` failed: {said}")


def _binary(name: str) -> str:
    """One from the path where it is of no importance which, else ours."""
    return (shutil.which(name) if name == "kind" else None) or str(binaries.find(name))


def _can_be_there() -> bool:
    """Whether there is a `kind`, without which no cluster was made."""
    try:
        return bool(_binary("kind"))
    except binaries.CannotBuild:
        return False


def _remember(kind: Kind) -> None:
    _record().write_text(json.dumps({key: str(value) for key, value in vars(kind).items()}))


def _record() -> Path:
    return state_directory() / "cluster.json"


class _Timed:
    """Says how long a part took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        print(f"kind: {self._what}: {time.monotonic() - self._since:.0f} s", flush=True)
