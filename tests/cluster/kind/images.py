"""Images that the cluster needs: its nodes', KubeRay's, and ours.

Called by `up`. Where a registry can be reached, the ordinary ones are pulled; elsewhere they are
built from Debian's packages and from the binaries of `tests.cluster.binaries`. A tag holds a hash
of all that the image is made from, so what did not change is not made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.kind.machine import CannotPrepare, install_packages, state_directory

NODE_FILES = Path(__file__).parent / "node"
_NODE_FILES = ("containerd.toml", "kubelet.service", "entrypoint")
KUBERAY_VERSION = "v1.6.2"
KUBERAY_IMAGE = f"quay.io/kuberay/operator:{KUBERAY_VERSION}"
PULLED_NODE = "kindest/node:{version}"
PULLED_PYTHON = "python:3.11-slim-bookworm"
# How long a registry may take to say that it is there.
PULL_WITHIN_S = 600.0

SUITE = "bookworm"
NODE_PACKAGES = [
    "systemd",
    "systemd-sysv",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "nftables",
    "conntrack",
    "iproute2",
    "ethtool",
    "util-linux",
    "mount",
    "kmod",
    "procps",
    "ebtables",
    "socat",
    "ca-certificates",
    "jq",
]
PYTHON_PACKAGES = ["python3", "python3-pip", "python3-venv", "wget", "procps", "ca-certificates"]
# Of no use inside a container, or in the way there.
MASKED_UNITS = [
    "getty.target",
    "systemd-logind.service",
    "systemd-udevd.service",
    "systemd-sysctl.service",
    "proc-sys-fs-binfmt_misc.automount",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "fstrim.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "systemd-timesyncd.service",
    "dpkg-db-backup.timer",
]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = Path("/etc/pip.conf")
# kubeadm's own names for what a control plane is made of; nothing is pulled by them.
PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "coredns", "pause")
BUILT_BINARIES = (*PLANE, "kube-proxy", "kubeadm", "kubelet", "kubectl", "kuberay-operator")


def docker(*arguments: str | Path, stdin: bytes | None = None, within_s: float = 900.0) -> str:
    """What `docker` printed.

    Raises:
        CannotPrepare: it failed, or took too long; the message has what it said.
    """
    command = ["docker", *map(str, arguments)]
    try:
        ran = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            # Both of Docker's builders read our Dockerfiles; only this one is always there.
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotPrepare(f"`{' '.join(command)}` took over {within_s:g} s") from error
    if ran.returncode:
        said = (ran.stderr + ran.stdout).decode(errors="replace").strip().splitlines()[-25:]
        raise CannotPrepare(f"`{' '.join(command)}` failed: " + "\n".join(said))
    return ran.stdout.decode(errors="replace").strip()


def exists(tag: str) -> bool:
    """Whether Docker has the image."""
    command = ["docker", "image", "inspect", tag]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@cache
def can_pull() -> bool:
    """Whether ordinary images can be had. `CURATOR_IMAGES=build` says that they shall not be."""
    if os.environ.get("CURATOR_IMAGES") == "build":
        return False
    if exists(_pulled_node()):
        return True
    try:
        docker("pull", _pulled_node(), within_s=PULL_WITHIN_S)
    except CannotPrepare as error:
        print(f"kind: building images, as none can be pulled ({str(error).splitlines()[-1]})")
        return False
    return True


def node_image() -> str:
    """Tag of the nodes' image, with Kubernetes and KubeRay's operator in it."""
    if can_pull():
        return _pulled_node()
    made = binaries.ensure(BUILT_BINARIES)
    base = _node_base()
    digest = _digest([base, *(str(made[name].parent) for name in BUILT_BINARIES)], [Path(__file__)])
    tag = f"curator-test/node:{digest}"
    if not exists(tag):
        print("kind: building the nodes' image", flush=True)
        _build_node(tag, base, made)
    return tag


def python_base() -> str:
    """Tag of the image that ours are built on."""
    if can_pull():
        return PULLED_PYTHON
    debian = _debian()
    files = [path for path in (CERTIFICATES, PIP_SETTINGS) if path.exists()]
    lines = [
        f"FROM {debian}",
        _install(PYTHON_PACKAGES),
        "RUN ln -s python3 /usr/bin/python",
        # A registry behind a proxy has a certificate that only this machine knows.
        *(f"COPY {path.name} {path}" for path in files),
        f"ENV PIP_CERT={CERTIFICATES}",
    ]
    return _image("curator-test/python", lines, {path.name: path for path in files})


def product_images() -> dict[str, str]:
    """Tags of the operator's and the executor's image, built from this tree by its Dockerfile."""
    base = python_base()
    found = {}
    for target in ("operator", "executor"):
        repository = f"curator-test/{target}"
        docker(
            *("build", "--network=host", "--target", target, "--build-arg", f"PYTHON_IMAGE={base}"),
            *("--tag", f"{repository}:built", binaries.ROOT),
            within_s=1800.0,
        )
        # Named by content: a node that has it under this name need not be given it again.
        name = docker("image", "inspect", "--format", "{{.Id}}", f"{repository}:built")
        found[target] = f"{repository}:{name.removeprefix('sha256:')[:16]}"
        docker("tag", f"{repository}:built", found[target])
    return found


def _pulled_node() -> str:
    return PULLED_NODE.format(version=binaries.kubernetes_version())


def _debian() -> str:
    """A Debian of nothing but its essential packages."""
    tag = f"curator-test/debian:{SUITE}"
    if exists(tag):
        return tag
    install_packages()
    print("kind: installing Debian into an image", flush=True)
    log = state_directory() / "debootstrap.log"
    with tempfile.TemporaryDirectory(dir=state_directory()) as scratch:
        root = Path(scratch) / "root"
        with log.open("w") as output:
            ran = subprocess.run(
                [_debootstrap(), "--variant=minbase", SUITE, str(root)],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ran.returncode:
            raise CannotPrepare(f"debootstrap failed; its log is {log}")
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / folder, ignore_errors=True)
        archive = Path(scratch) / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
        docker("import", archive, tag)
    return tag


def _debootstrap() -> str:
    return shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin") or "debootstrap"


def _node_base() -> str:
    """Debian with systemd, containerd and what a kubelet calls, without Kubernetes."""
    masked = " ".join(f"/etc/systemd/system/{unit}" for unit in MASKED_UNITS)
    wants = "/etc/systemd/system/multi-user.target.wants"
    lines = [
        f"FROM {_debian()}",
        _install(NODE_PACKAGES),
        f"RUN for unit in {masked}; do ln -sf /dev/null $unit; done",
        "RUN mkdir -p /kind /etc/kubernetes/manifests /etc/cni/net.d",
        "COPY containerd.toml /etc/containerd/config.toml",
        "COPY kubelet.service /etc/systemd/system/kubelet.service",
        f"RUN mkdir -p {wants} && ln -sf ../kubelet.service {wants}/kubelet.service",
        "COPY entrypoint /usr/local/bin/entrypoint",
        "ENV container=docker",
        'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
    ]
    files = {name: NODE_FILES / name for name in _NODE_FILES}
    return _image("curator-test/node-base", lines, files)


def _build_node(tag: str, base: str, made: Mapping[str, Path]) -> None:
    """kind's own way needs a registry; so a running node gets its parts and is kept as an image."""
    version = binaries.kubernetes_version()
    listed = subprocess.run(
        [made["kubeadm"], "config", "images", "list", "--kubernetes-version", version],
        capture_output=True,
        text=True,
        check=True,
    )
    preloaded = [_plane_image(each, base, made) for each in listed.stdout.split()]
    manager = ['ENTRYPOINT ["/manager"]', "USER 65532:65532"]
    lines = ["FROM scratch", "COPY kuberay-operator /manager", *manager]
    preloaded.append(_tagged(KUBERAY_IMAGE, lines, {"kuberay-operator": made["kuberay-operator"]}))

    container = f"curator-node-build-{os.getpid()}"
    docker(
        *("run", "--detach", "--name", container, "--entrypoint", "sleep"),
        *("--security-opt", "seccomp=unconfined", base, "infinity"),
    )
    try:
        for name in ("kubeadm", "kubelet", "kubectl"):
            docker("cp", made[name], f"{container}:/usr/bin/{name}")
        docker("exec", container, "sh", "-c", f"printf %s {version} > /kind/version")
        docker("exec", "--privileged", "--detach", container, "containerd")
        docker("exec", container, "sh", "-c", _WAIT_FOR_CONTAINERD)
        load_into([container], preloaded, unpack=False)
        # What is kept must not hold the socket of a containerd that is gone.
        docker("exec", container, "sh", "-c", _END_CONTAINERD)
        entry = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
        docker("commit", "--change", entry, container, tag)
    finally:
        docker("rm", "--force", container)


_WAIT_FOR_CONTAINERD = "for i in $(seq 300); do ctr version && exit; sleep 0.1; done; exit 1"
_END_CONTAINERD = "pkill -x containerd; while pgrep -x containerd; do sleep 0.1; done"


def load_into(nodes: Sequence[str], images: Sequence[str], *, unpack: bool = True) -> None:
    """Give images to the containerd of nodes, all nodes at once."""
    how = "" if unpack else "--no-unpack"
    command = f"ctr -n k8s.io images import --all-platforms --digests {how} -"
    with ThreadPoolExecutor(len(nodes)) as threads:
        for future in [threads.submit(_load, node, images, command) for node in nodes]:
            future.result()


def _load(node: str, images: Sequence[str], command: str) -> None:
    give = ["docker", "exec", "--privileged", "--interactive", node, "sh", "-c", command]
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
        ran = subprocess.run(give, stdin=saving.stdout, capture_output=True, check=False)
        if saving.stdout is not None:
            saving.stdout.close()
    if ran.returncode or saving.returncode:
        said = ran.stderr.decode(errors="replace").strip()
        raise CannotPrepare(f"{node} did not take {', '.join(images)}: {said}")


def _plane_image(tag: str, base: str, made: Mapping[str, Path]) -> str:
    name = tag.rpartition("/")[2].partition(":")[0]
    if name == "kube-proxy":  # it calls iptables
        lines = [f"FROM {base}", f"COPY {name} /usr/local/bin/{name}", "ENTRYPOINT []"]
    else:
        lines = ["FROM scratch", f"COPY {name} /usr/local/bin/{name}", "ENV PATH=/usr/local/bin"]
        if name in {"coredns", "pause"}:
            lines.append(f'ENTRYPOINT ["/usr/local/bin/{name}"]')
    return _tagged(tag, lines, {name: made[name]})


def _install(packages: Iterable[str]) -> str:
    return (
        "RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "
        f"--no-install-recommends {' '.join(packages)} && apt-get clean "
        "&& rm -rf /var/lib/apt/lists/*"
    )


def _image(repository: str, lines: Sequence[str], files: Mapping[str, Path]) -> str:
    """An image of these lines and files, made once."""
    tag = f"{repository}:{_digest(lines, files.values())}"
    return tag if exists(tag) else _tagged(tag, lines, files)


def _tagged(tag: str, lines: Sequence[str], files: Mapping[str, Path]) -> str:
    with tempfile.TemporaryDirectory(dir=state_directory()) as scratch:
        for name, path in files.items():
            shutil.copy(path, Path(scratch) / name)
        (Path(scratch) / "Dockerfile").write_text("\n".join([*lines, ""]))
        docker("build", "--network=host", "--tag", tag, scratch)
    return tag


def _digest(texts: Iterable[str], files: Iterable[Path]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
