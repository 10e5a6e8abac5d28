"""Spec to manifests of children. Pure: no clock, no network, no environment.

`reconcile` decides when something is made; what it looks like is decided here. Everything that is
public is imported from this package.
"""

from curator_operator.desired.attempt import PipelineIdentity
from curator_operator.desired.children import config_map, token, token_secret, with_token
from curator_operator.desired.errors import DesiredError
from curator_operator.desired.job import Package, driver_port, package, submission
from curator_operator.desired.manifest import manifest_of, work_hash
from curator_operator.desired.raycluster import raycluster
from curator_operator.desired.replicas import replica_patch

__all__ = [
    "DesiredError",
    "Package",
    "PipelineIdentity",
    "config_map",
    "driver_port",
    "manifest_of",
    "package",
    "raycluster",
    "replica_patch",
    "submission",
    "token",
    "token_secret",
    "with_token",
    "work_hash",
]
