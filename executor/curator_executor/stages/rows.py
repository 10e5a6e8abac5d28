"""Turn rows (dicts) into tables that have one schema throughout a file. Called by the JSONL reader.

Types are inferred, and widen as rows are seen: null to anything, whole numbers to fractions, new
fields in nested objects. A value that does not fit is an error that names its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

JSON_TEXT = "json"
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


class UnfitValue(ValueError):
    """A value that cannot stand in its column.

    Attributes:
        row: position of the row.
        why: what is wrong.
    """

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row
        self.why = why


def parse_types(stage: str, types: Mapping[str, str]) -> dict[str, pa.DataType | str]:
    """Types by column from their names.

    Raises:
        ValueError: PyArrow knows no type of that name.
    """
    parsed: dict[str, pa.DataType | str] = {}
    for column, name in types.items():
        if name == JSON_TEXT:
            parsed[column] = JSON_TEXT
            continue
        try:
            parsed[column] = pa.type_for_alias(name)
        except ValueError as error:
            raise ValueError(
                f"{stage}: types[{column!r}] must be a PyArrow type such as string, int64 or "
                f"float64, or {JSON_TEXT} (any value, kept as JSON text), got {name!r}"
            ) from error
    return parsed


class RowTables:
    """Makes tables; remembers the types of the columns so far.

    Args:
        types: types that are given; the other columns are inferred.
    """

    def __init__(self, types: Mapping[str, pa.DataType | str]) -> None:
        self._given = dict(types)
        self._known: dict[str, pa.DataType] = {}

    def table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """A table of the rows; a field that a row lacks is null.

        Raises:
            UnfitValue: a value does not fit its column's type.
        """
        names = dict.fromkeys(self._known)
        for row in rows:
            if row.keys() - names.keys():
                names.update(dict.fromkeys(row))
        return pa.table({n: self._column(n, [row.get(n) for row in rows]) for n in names})

    def _column(self, name: str, values: list[Any]) -> pa.Array:
        given = self._given.get(name)
        if given == JSON_TEXT:
            given = pa.string()
            values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
        known = given or self._known.get(name)
        try:
            array = pa.array(values, type=given)
            if given is None and known is not None and array.type != known:
                known = _widened(known, array.type)
                array = pa.array(values, type=known)
        except (*_UNFIT, UnicodeEncodeError) as error:
            raise _unfit(name, values, known) from error
        if given is None and pa.types.is_null(array.type):
            # Nothing known yet: text, because files of one data set with columns of type null and
            # of another type cannot be read together. Not remembered, so that it may become more.
            self._known.setdefault(name, array.type)
            return array.cast(pa.string())
        self._known[name] = array.type
        return array


def _widened(known: pa.DataType, new: pa.DataType) -> pa.DataType:
    """The type that holds both."""
    both = [pa.schema([("column", known)]), pa.schema([("column", new)])]
    return pa.unify_schemas(both, promote_options="permissive").field(0).type


def _unfit(name: str, values: Sequence[Any], known: pa.DataType | None) -> UnfitValue:
    """Find the value that does not fit."""
    wanted = known
    for row, value in enumerate(values):
        try:
            array = pa.array([value], type=None if wanted is None else wanted)
        except UnicodeEncodeError:
            return UnfitValue(row, f"field {name!r} has half of a surrogate pair, which is no text")
        except _UNFIT as error:
            try:
                if wanted is not None:
                    wanted = _widened(wanted, pa.array([value]).type)
                    continue
            except _UNFIT:
                pass
            return UnfitValue(
                row, f"field {name!r} holds {_shown(value)}, {_instead(wanted, error)}"
            )
        if wanted is None or pa.types.is_null(wanted):
            wanted = array.type
    return UnfitValue(0, f"field {name!r} cannot be made into one column")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _instead(wanted: pa.DataType | None, error: BaseException) -> str:
    if wanted is None or pa.types.is_null(wanted):
        return str(error).splitlines()[0]
    return f"where rows before it hold {wanted}"
