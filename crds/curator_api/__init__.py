"""The contract between users, executor and operator: the resource, its status, its progress."""

from curator_api.received import parse_resource, parse_status

__all__ = ["parse_resource", "parse_status"]
