from __future__ import annotations

import polars as pl
import pytest

from base_ops.worker.engine.plan import fields_of

_TYPES = [
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64),
    *(pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Null, pl.Duration("us"), pl.Categorical()),
    *(pl.Datetime("us"), pl.Datetime("ns", "UTC"), pl.Datetime("ms", "Europe/Zurich"), pl.Enum(["a"])),
    *(pl.Decimal(38, 4), pl.Decimal(5, 0), pl.List(pl.Int64), pl.Struct({"a": pl.Int8, "b": pl.List(pl.String)})),
]


@pytest.mark.parametrize("dtype", _TYPES, ids=str)
def test_type_texts_are_those_of_arrow(dtype: pl.DataType) -> None:
    schema = pl.Schema({"x": dtype})
    arrow = pl.DataFrame(schema=schema).to_arrow().schema
    assert [(f.name, f.type) for f in fields_of(schema)] == [(f.name, str(f.type)) for f in arrow]
