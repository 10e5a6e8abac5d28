"""Spec to manifests of children. Pure: no clock, no network, no environment."""
