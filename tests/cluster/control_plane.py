"""A real Kubernetes API on the loopback: etcd, kube-apiserver, kube-controller-manager.

Used by the fixtures of `tests/cluster`. There are no nodes and no scheduler: what a kubelet would
report is written by `kubelet.py`. Ready in about five seconds; every port is a free one, so that
several can run side by side. Of the controllers only those run on which tests depend: garbage
collection, namespaces, quota, service accounts and roles made of others.

Everything is for one test run on one machine: etcd speaks plain HTTP on the loopback, the API
server makes its own certificate, and the administrator is a random token.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client, config

from tests.cluster import binaries
from tests.cluster.processes import Program, ProgramEnded, eventually, free_port

BINARIES = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"]
# Alone on two cores it takes 4 s; other work on the machine makes it many times that.
READY_WITHIN_S = 60.0
ANSWER_WITHIN_S = 30.0
# A free port may be taken by another program before ours listens on it.
STARTS = 3
CONTROLLERS = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
]


class ControlPlane:
    """The running API; a context manager that ends it.

    Args:
        directory: an empty folder for its state, logs and kubeconfigs.

    Attributes:
        kubeconfig: file that makes its reader the administrator.
        url: address of the API server.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "admin.kubeconfig"
        self.url = ""
        self._authority = directory / "certificates" / "apiserver.crt"
        self._token = secrets.token_urlsafe(32)
        self._programs: dict[str, Program] = {}

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            CannotBuild: a binary has not been built.
            ProgramEnded: one of the programs ended; the message has the end of its log.
            TookTooLong: it is not ready in time.
        """
        self._write_credentials()
        try:
            for attempt in range(1, STARTS + 1):
                try:
                    self._start()
                    break
                except ProgramEnded as error:
                    self._stop()
                    if attempt == STARTS or "address already in use" not in str(error):
                        raise
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and remove its data; the logs stay in the directory."""
        self._stop()

    @cached_property
    def api(self) -> client.ApiClient:
        """A client with the administrator's rights, for the classes of `kubernetes.client`."""
        made: client.ApiClient = config.new_client_from_config(str(self.kubeconfig))
        return made

    def kubectl(self, *arguments: str | Path, given: str | None = None) -> str:
        """What `kubectl` prints, as the administrator.

        Args:
            arguments: after `kubectl`.
            given: its standard input, for `-f -`.

        Raises:
            AssertionError: it failed; the message has what it said.
        """
        ran = self.try_kubectl(*arguments, given=given)
        if ran.returncode:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {ran.stderr.strip()}")
        return ran.stdout

    def try_kubectl(
        self, *arguments: str | Path, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `kubectl` as the administrator, for tests of what is refused."""
        return subprocess.run(
            [binaries.find("kubectl"), "--kubeconfig", self.kubeconfig, *arguments],
            env={**os.environ, "HOME": str(self.directory)},  # its cache of what the API knows
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def install_crds(self, *paths: Path) -> None:
        """Create CustomResourceDefinitions, one a file, and wait until the API serves them.

        The controllers are started anew afterwards: the garbage collector looks for new kinds
        every 30 s only, and would let the children of a deleted object live that long.

        Raises:
            AssertionError: the API server refuses one; the message has what it said.
            TookTooLong: it does not serve them in time.
        """
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        # Created, not applied: KubeRay's are a megabyte each, and applying them takes ten times as
        # long; and as they are in the file, because reading them here would take longer still.
        made = [
            json.loads(self._ask(path, each.read_bytes(), "application/yaml")) for each in paths
        ]
        for spec in (each["spec"] for each in made):
            plural = spec["names"]["plural"]
            for version in (each["name"] for each in spec["versions"] if each["served"]):
                name = f"{spec['group']}/{version}"
                eventually(partial(self._serves, name, plural), f"the API lists {name} {plural}")
        self._programs["kube-controller-manager"].kill()
        self._start_controllers()

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with the rights of a service account, to try roles with."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration=4h")
        path = self.directory / f"{namespace}.{name}.kubeconfig"
        self._write_kubeconfig(path, name, token.strip())
        return path

    def _write_credentials(self) -> None:
        """The administrator's token, and the key that signs the tokens of service accounts."""
        users = f'{self._token},admin,admin,"system:masters"\n'
        _write_private(self.directory / "tokens.csv", users.encode())
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write_private(
            self.directory / "service-accounts.key",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )

    def _start(self) -> None:
        etcd_url = f"http://127.0.0.1:{free_port()}"
        self._run(
            "etcd",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            # One member talks to no other: any port, known to nobody.
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._start_api_server(etcd_url)
        self._start_controllers()
        core = client.CoreV1Api(self.api)
        eventually(
            lambda: core.list_namespaced_service_account("default").items,
            "the default service account",
            READY_WITHIN_S,
        )

    def _start_api_server(self, etcd_url: str) -> None:
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        signing_key = self.directory / "service-accounts.key"
        api_server = self._run(
            "kube-apiserver",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self._authority.parent}",
            f"--etcd-servers={etcd_url}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signing_key}",
            f"--service-account-signing-key-file={signing_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
        )
        api_server.wait_until(self._answers, "ready", READY_WITHIN_S)
        self._write_kubeconfig(self.kubeconfig, "admin", self._token)

    def _start_controllers(self) -> None:
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            f"--service-account-private-key-file={self.directory / 'service-accounts.key'}",
            f"--root-ca-file={self._authority}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def _run(self, name: str, *arguments: str) -> Program:
        program = Program(name, [binaries.find(name), *arguments], self.directory)
        self._programs[name] = program
        return program

    def _stop(self) -> None:
        """End the programs. Asked politely they take 10 s, to save what nobody needs any more."""
        for program in reversed(self._programs.values()):
            program.kill()
        self._programs.clear()
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def _serves(self, version: str, plural: str) -> bool:
        """Whether the API lists a kind of `group/version`."""
        try:
            listed = json.loads(self._ask(f"/apis/{version}"))
        except AssertionError:  # 404: not even the group
            return False
        return plural in {each["name"] for each in listed["resources"]}

    def _answers(self) -> bool:
        """Whether the API server is up; its certificate, its own authority, is there before."""
        try:
            return self._authority.exists() and self._ask("/readyz") == b"ok"
        except (OSError, AssertionError):
            return False

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """Ask the API server, without a client that would read the answer into objects."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        trusting = ssl.create_default_context(cafile=str(self._authority))
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S, context=trusting) as got:
                return bytes(got.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error

    def _write_kubeconfig(self, path: Path, user: str, token: str) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self._authority)}
        text = yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
                "current-context": "test",
            }
        )
        _write_private(path, text.encode())


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_bytes(content)
