"""The scalar values inside a column, and what about them no text can hold."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

ODD_OFFSET = "a moment whose zone was a number of seconds away from UTC, no whole minutes,"


def leaves(values: pl.Series) -> Iterator[pl.Series]:
    """A column's scalars, at any depth."""
    values = values.alias("v")  # polars takes a name such as ^…$ for a pattern
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if isinstance(values.dtype, pl.List):
        yield from leaves(values.drop_nulls().list.explode(empty_as_null=False))
    elif isinstance(values.dtype, pl.Struct):
        for field in values.dtype.fields:
            yield from leaves(values.struct.field(field.name))
    else:
        yield values


def unwritable_offset(values: pl.Series) -> bool:
    """Whether a moment's offset from UTC has seconds, as zones had before they were unified.

    ISO 8601 offsets end at minutes: polars leaves the seconds out, and so names another moment.
    """
    return any(_has_seconds(leaf) for leaf in leaves(values) if isinstance(leaf.dtype, pl.Datetime))


def _has_seconds(moments: pl.Series) -> bool:
    zone = moments.dtype.time_zone  # type: ignore[attr-defined]
    if zone in (None, "UTC"):
        return False
    offsets = moments.dt.base_utc_offset() + moments.dt.dst_offset()
    return bool((offsets.dt.total_seconds() % 60 != 0).any())
