"""What may be edited when: the rules that compare a resource with what it was.

Read by `crd`, which puts them on the root of the CRD. They stand there, and not on the fields,
because the API server skips a rule about a change on a field that appears or goes. Each field is
compared after `has()`; free-form mappings have no type in the API server's language and are
reached through `dyn`, in a list of one, because only a list's size has a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from curator_api.base import bare_type
from curator_api.v1alpha1.cluster import ClusterSpec, WorkerGroup
from curator_api.v1alpha1.resource import PipelineSpec
from curator_api.v1alpha1.status import ENDED, Phase

# Fields of `spec` that apply at any time before the end: they change no work.
LIVE_FIELDS = frozenset(
    {"suspend", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"}
)
LIVE_GROUP_FIELDS = frozenset({"minReplicas", "maxReplicas"})
# After the end only this one has still something to say.
FINISHED_FIELDS = frozenset({"ttlSecondsAfterFinished"})
# Nothing runs then, so that the work itself may be edited.
EDITABLE_PHASES: tuple[Phase, ...] = ("Pending", "Suspended")


@dataclass(frozen=True)
class EditRule:
    """A rule about a change.

    Attributes:
        rule: true where the change is allowed, in the API server's language (CEL).
        message: what is said otherwise.
    """

    rule: str
    message: str


def edit_rules() -> Iterator[EditRule]:
    """The rules, for the root of the resource."""
    phase = "oldSelf.status.phase"
    unknown = f"!has(oldSelf.status) || !has({phase})"
    yield EditRule(
        f"{unknown} || {phase} in [{_listed((*EDITABLE_PHASES, *sorted(ENDED)))}] || ({_work()})",
        "the work cannot be edited while the pipeline is under way: set spec.suspend to true and "
        "wait for status.phase Suspended first. "
        f"{', '.join(sorted(LIVE_FIELDS))} of spec and minReplicas and maxReplicas of worker "
        "groups can be edited at any time before the end; worker groups cannot be added, removed "
        "or put in another order",
    )
    kept = _fields(PipelineSpec, FINISHED_FIELDS)
    same = _all_same("self.spec", "oldSelf.spec", kept)
    yield EditRule(
        f"{unknown} || !({phase} in [{_listed(sorted(ENDED))}]) || ({same} && "
        f"({_ordered('self.spec.stages', 'oldSelf.spec.stages')}) && "
        f"({_groups_ordered()}))",
        "the pipeline has ended: nothing of it but ttlSecondsAfterFinished can be edited; make a "
        "new one",
    )


def _work() -> str:
    """The work is the same: all of `spec` but what applies live."""
    fields = [field for field in _fields(PipelineSpec, LIVE_FIELDS) if field[0] != "cluster"]
    cluster = [field for field in _fields(ClusterSpec, ()) if field[0] != "workerGroups"]
    own, old = "self.spec.cluster", "oldSelf.spec.cluster"
    group = _all_same("g", "o", _fields(WorkerGroup, LIVE_GROUP_FIELDS))
    groups = (
        f"has({own}.workerGroups) == has({old}.workerGroups) && (!has({own}.workerGroups) || "
        f"({own}.workerGroups.map(g, g.name) == {old}.workerGroups.map(o, o.name) && "
        f"{own}.workerGroups.all(g, {old}.workerGroups.exists(o, {group}))))"
    )
    return (
        f"{_all_same('self.spec', 'oldSelf.spec', fields)} && "
        f"({_ordered('self.spec.stages', 'oldSelf.spec.stages')}) && "
        f"has({own}) == has({old}) && (!has({own}) || ({_all_same(own, old, cluster)} && {groups}))"
    )


def _ordered(own: str, old: str) -> str:
    """The names of a list in the same order; lists by name are compared without their order."""
    return f"!has({own}) || {own}.map(s, s.name) == {old}.map(s, s.name)"


def _groups_ordered() -> str:
    own, old = "self.spec.cluster", "oldSelf.spec.cluster"
    return (
        f"!has({own}) || !has({own}.workerGroups) || "
        f"{own}.workerGroups.map(g, g.name) == {old}.workerGroups.map(o, o.name)"
    )


def _fields(model: type[BaseModel], without: Iterable[str]) -> list[tuple[str, bool]]:
    """(name, free-form or not) of each field."""
    return [
        (info.alias or name, _free(info.annotation))
        for name, info in model.model_fields.items()
        if (info.alias or name) not in without
    ]


def _free(kind: Any) -> bool:
    bare = bare_type(kind)
    if get_origin(bare) is list:
        return _free(get_args(bare)[0])
    return get_origin(bare) is dict and get_args(bare)[1] is Any


def _all_same(own: str, old: str, fields: Iterable[tuple[str, bool]]) -> str:
    return " && ".join(_same(own, old, name, free) for name, free in fields)


def _same(own: str, old: str, name: str, free: bool) -> str:
    if not free:
        mine, theirs = f"{own}.{name}", f"{old}.{name}"
        return f"has({mine}) == has({theirs}) && (!has({mine}) || {mine} == {theirs})"
    mine, theirs = f"dyn({own}).{name}", f"dyn({old}).{name}"
    return f"has({mine}) == has({theirs}) && (!has({mine}) || [{mine}] == [{theirs}])"


def _listed(phases: Iterable[str]) -> str:
    return ", ".join(f"'{phase}'" for phase in phases)
