"""Which simulated Ray head listens, and with which token: as the pods say that KubeRay made.

Used by the `ray_heads` fixture. A head listens while the stand-in for the kubelet says that its
containers run, and wants the token that its pod gets from a Secret.
"""

from __future__ import annotations

import base64

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.kubelet import Kubelet
from tests.cluster.pod_status import Json
from tests.cluster.ray_heads import Container


class HeadContainers:
    """Answers for `RayHeads`; remembers the Secrets that it has read.

    Args:
        api: a client with the administrator's rights.
        kubelet: whose pods run.
    """

    def __init__(self, api: client.ApiClient, kubelet: Kubelet) -> None:
        self._core = client.CoreV1Api(api)
        self._kubelet = kubelet
        self._tokens: dict[tuple[str, str, str], str] = {}

    def __call__(self, namespace: str, cluster: str) -> Container | None:
        """The running container of a cluster's head; None while there is none."""
        pod = self._kubelet.head(namespace, cluster)
        if pod is None:
            return None
        token = self._token(pod)
        if token is None:
            return None
        return Container(pod["status"]["containerStatuses"][0]["containerID"], token)

    def _token(self, pod: Json) -> str | None:
        """The token in the container's environment, "" if it has none.

        None where its Secret is missing: then a kubelet does not start the container.
        """
        variables = {each["name"]: each for each in pod["spec"]["containers"][0].get("env", [])}
        variable = variables.get("RAY_AUTH_TOKEN")
        if variable is None:
            return ""
        source = variable["valueFrom"]["secretKeyRef"]
        key = (pod["metadata"]["namespace"], source["name"], source["key"])
        if key not in self._tokens:
            try:
                secret = self._core.read_namespaced_secret(source["name"], key[0])
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
            self._tokens[key] = base64.b64decode((secret.data or {})[source["key"]]).decode()
        return self._tokens[key]
