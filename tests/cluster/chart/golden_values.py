"""The sets of values whose rendered charts are kept in `golden/`."""

from __future__ import annotations

from typing import Any

VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "gitops": {
        "image": {
            "repository": "registry.example.com:5000/curator/operator",
            "digest": f"sha256:{'ab' * 32}",
        },
        "imagePullSecrets": [{"name": "registry"}],
        "tokenKey": {"existingSecret": "curator-key", "secretKey": "key"},
        "crds": {"install": False},
        "rbac": {"existingClusterSecrets": [{"namespace": "team-a", "name": "shared-ray-token"}]},
        "serviceAccount": {"annotations": {"example.com/role": "curator"}},
        "config": {
            "defaultImage": "registry.example.com:5000/curator/executor:1",
            "rayVersion": "2.60.0",
            "serviceAccounts": ["default", "reader"],
            "logLevel": "DEBUG",
            "workers": 8,
            "pollIntervalSeconds": 2.5,
            "resyncSeconds": 60,
        },
        "uninstallHook": {"enabled": False},
    },
    "all": {
        "watchNamespaces": ["team-a"],
        "crds": {"keep": False},
        "networkPolicy": {
            "enabled": True,
            "apiServer": {"ports": [6443], "cidrs": ["10.0.0.1/32"]},
            "metricsFrom": [
                {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
                    }
                }
            ],
            "heads": {
                "enabled": True,
                "extraIngress": [{"ports": [{"protocol": "TCP", "port": 8080}]}],
            },
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podDisruptionBudget": {"enabled": True},
        "podLabels": {"team": "data"},
        "podAnnotations": {"example.com/note": "yes"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}
                    ]
                }
            }
        },
        "priorityClassName": "system-cluster-critical",
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    },
}
