"""Odd values of every type: what a sink writes is what other libraries read, or is refused by name.

Our own reader could undo what our writer does wrong, so here fastavro, pyarrow, DuckDB, delta-rs and Python's json and
csv read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks import delta, write_batches
from base_ops.worker.lake.store import Store

TEXTS = ["", "NULL", "007", "\ufeffx", "\r\n", "\n", "\r", "a,b", '""', "'", "\ud7ff\ue000\U0010ffff", "e\u0301", "\\N"]
FLOATS = [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, 1e22, 9007199254740993.0]
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
SINGLES = [struct.unpack("f", struct.pack("f", x))[0] for x in (-0.0, 1e-45, 3.4028234663852886e38, 0.1, 16777217.0)]
DATES = [date(1, 1, 1), date(1582, 10, 10), date(1900, 2, 28), date(1969, 12, 31), date(9999, 12, 31)]
STAMPS = [
    datetime(1, 1, 1),  # noqa: DTZ001
    datetime(1582, 10, 10, 3, 4, 5, 999_000),  # noqa: DTZ001
    datetime(1969, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
    datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
]
ZONED = [s.replace(tzinfo=UTC) for s in STAMPS]


def _integers(dtype: Any, low: int, high: int) -> pl.Series:
    return pl.Series([low, low + 1, 0, 1, high - 1, high], dtype=dtype)


def _decimals(precision: int, scale: int) -> pl.Series:
    most = 10**precision - 1
    numbers = {0, *(s * min(most, n) for n in (1, 2**15, 2**31, 2**63, 2**111, most) for s in (1, -1))}
    return pl.Series(
        [Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)) for n in sorted(numbers)],
        dtype=pl.Decimal(precision, scale),
    )


_Tree = pl.Struct({"l": pl.List(pl.Struct({"x": pl.Decimal(10, 1), "y": pl.Boolean}))})
COLUMNS: dict[str, pl.Series] = {
    **{
        f"int{bits}": _integers(dtype, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for dtype, bits in ((pl.Int8, 8), (pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64), (pl.Int128, 128))
    },
    **{
        f"uint{bits}": _integers(dtype, 0, 2**bits - 1)
        for dtype, bits in ((pl.UInt8, 8), (pl.UInt16, 16), (pl.UInt32, 32), (pl.UInt64, 64), (pl.UInt128, 128))
    },
    **{f"decimal{p},{s}": _decimals(p, s) for p, s in ((1, 0), (1, 1), (5, 2), (19, 3), (38, 0), (38, 10), (38, 38))},
    "float64": pl.Series(FLOATS),
    "float32": pl.Series(SINGLES, dtype=pl.Float32),
    "float16": pl.Series([0.0, -0.0, 65504.0, 0.0999755859375], dtype=pl.Float16),
    "not finite": pl.Series(NOT_FINITE),
    "text": pl.Series(TEXTS),
    "NUL": pl.Series(["a\0b", "\0"]),
    "bytes": pl.Series([b"", b"\0", b"\xff\r\n"]),
    "boolean": pl.Series([True, False]),
    "date": pl.Series(DATES),
    "time": pl.Series([time(0), time(23, 59, 59, 999_999)]),
    "ms": pl.Series([s.replace(microsecond=999_000) for s in STAMPS], dtype=pl.Datetime("ms")),
    "us": pl.Series(STAMPS),
    "utc": pl.Series(ZONED),
    "New York": pl.Series([datetime(2024, 11, 3, h, 30, tzinfo=UTC) for h in range(4, 9)]).dt.convert_time_zone(
        "America/New_York"
    ),
    "seconds from UTC": pl.Series([datetime(1880, 1, 1, tzinfo=UTC)]).dt.convert_time_zone("America/New_York"),
    "duration": pl.Series([timedelta(-1), timedelta(microseconds=1)]),
    "null": pl.Series([None], dtype=pl.Null),
    "categorical": pl.Series(["b", "", "NULL", "\r\n"], dtype=pl.Categorical),
    "categorical NUL": pl.Series(["a\0"], dtype=pl.Categorical),
    "enum": pl.Series(["b", "x,y", ""], dtype=pl.Enum(["x,y", "b", ""])),
    "list": pl.Series([[], [None], [1, None, 2], None], dtype=pl.List(pl.Int64)),
    "lists of lists": pl.Series([[], [[]], [None], [[None], [""], None]], dtype=pl.List(pl.List(pl.String))),
    "array": pl.Series([[Decimal("327.68"), None], None, [None, None]], dtype=pl.Array(pl.Decimal(10, 2), 2)),
    "struct": pl.Series(
        [{"a": 1, "b": ""}, {"a": None, "b": None}, None], dtype=pl.Struct({"a": pl.Int8, "b": pl.String})
    ),
    "tree": pl.Series([{"l": [{"x": Decimal("3276.8"), "y": None}, None]}, {"l": []}, {"l": None}, None], dtype=_Tree),
    "map": pl.Series([{"k": 1}, {}, None], dtype=pl.Map(pl.String, pl.Int64)),
}


def plain(value: Any) -> Any:
    """A value in a form that is equal only where all of it is: signs of zeros, NaN, instants, trailing zeros."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return repr(Decimal(value)) if isinstance(value, Decimal | int) and not isinstance(value, bool) else repr(value)


def _with_pyarrow(path: Path, frame: pl.DataFrame) -> list[Any]:
    return pq.ParquetFile(path).read().column("c").to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]


def _with_duckdb(path: Path, frame: pl.DataFrame) -> list[Any]:
    made = pa.table(
        duckdb.sql("SET TimeZone='UTC'; SELECT c FROM read_parquet($1)", params=[str(path)]).to_arrow_table()
    )
    return made.column("c").to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]


def _ipc(path: Path, frame: pl.DataFrame) -> list[Any]:
    return pa.ipc.open_file(path).read_all().column("c").to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]


def _with_fastavro(path: Path, frame: pl.DataFrame) -> list[Any]:
    with path.open("rb") as file:
        return [row["c"] for row in fastavro.reader(file)]  # type: ignore[index,call-overload]


def _with_delta(path: Path, frame: pl.DataFrame) -> list[Any]:
    delta.publish(path, Store(str(path.parent)), "t", frame.schema)
    table = DeltaTable(str(path.parent / "t"))
    return pa.table(QueryBuilder().register("t", table).execute("SELECT c FROM t")).column("c").to_pylist()  # type: ignore[no-any-return]


OTHERS: list[tuple[str, Callable[[Path, pl.DataFrame], list[Any]]]] = [
    ("parquet", _with_pyarrow),
    ("parquet", _with_duckdb),
    ("arrow", _ipc),
    ("avro", _with_fastavro),
    ("delta", _with_delta),
]
REFUSED = {
    "parquet": {"int128", "uint128"},
    "arrow": {"int128", "uint128"},
    "avro": {"int128", "uint128", "float16", "duration", "map"},
    "delta": {"int128", "uint128", "time", "duration", "null", "map"},
    "json": {"not finite", "bytes", "duration", "map", "seconds from UTC"},
    "csv": {
        *("NUL", "categorical NUL", "bytes", "duration", "seconds from UTC"),
        *("list", "lists of lists", "array", "struct", "tree", "map"),
    },
}
REFUSED["ndjson"] = REFUSED["json"]


def written(column: str, kind: str, path: Path) -> pl.DataFrame | None:
    """The column, twice, with nulls among and a batch of nulls in the end; None where it is rightly refused."""
    values = COLUMNS[column].alias("c")
    nulls = values.clear().extend_constant(None, 3)
    frame = pl.concat([values, nulls, values, nulls, nulls]).to_frame().with_columns(n=pl.int_range(pl.len()))
    frames = (frame[i : i + 3] for i in range(0, frame.height, 3))
    if column not in REFUSED[kind]:
        write_batches(frames, frame.schema, path, kind, WriteSpec())
        return frame
    with pytest.raises((ConfigError, BadInput), match="'c'") as raised:
        write_batches(frames, frame.schema, path, kind, WriteSpec())
    assert raised.value.code in ("unsupported_target_type", "unsupported_target_value")
    return None


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(("kind", "read"), OTHERS)
def test_others_read_what_was_written(
    kind: str, read: Callable[[Path, pl.DataFrame], list[Any]], column: str, tmp_path: Path
) -> None:
    frame = written(column, kind, tmp_path / "x")
    if frame is None or (column == "duration" and read is _with_duckdb):  # a type that DuckDB does not know
        return
    found = read(tmp_path / "x", frame)
    assert plain(found) == plain(frame["c"].to_list())


def test_avro_says_nanoseconds(tmp_path: Path) -> None:
    values = pl.Series("c", [-(2**63) + 1, -1, 0, 2**63 - 1]).cast(pl.Datetime("ns", "UTC"))
    write_batches(iter([values.to_frame()]), values.to_frame().schema, tmp_path / "x", "avro", WriteSpec())
    with (tmp_path / "x").open("rb") as file:
        reader = fastavro.reader(file)
        declared = reader.writer_schema["fields"][0]["type"][1]  # type: ignore[index,call-overload]
        assert declared == {"type": "long", "logicalType": "timestamp-nanos"}
        assert [row["c"] for row in reader] == values.to_physical().to_list()  # type: ignore[index,call-overload]


# -- text: what the text says, by the rules of JSON and ISO 8601


def meant(value: Any, dtype: Any) -> Any:
    """The value that a text (or a JSON value) means in a column of a type."""
    dtype = dtype() if isinstance(dtype, type) else dtype
    if value is None:
        return None
    if isinstance(dtype, pl.List | pl.Array):
        return [meant(v, dtype.inner) for v in value]
    if isinstance(dtype, pl.Struct):
        return {f.name: meant(value[f.name], f.dtype) for f in dtype.fields}
    if dtype.is_integer() or dtype.is_decimal():
        return Decimal(value)
    if dtype in (pl.Float16, pl.Float32):
        code = "e" if dtype == pl.Float16 else "f"
        return struct.unpack(code, struct.pack(code, float(value)))[0]
    if dtype.is_float():
        return float(value)
    if dtype == pl.Boolean:
        return {"true": True, "false": False}.get(value, value)
    if isinstance(dtype, pl.Date | pl.Time | pl.Datetime):
        return {pl.Date: date, pl.Time: time}.get(type(dtype), datetime).fromisoformat(value)
    return value


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("kind", ["json", "ndjson", "csv"])
def test_texts_mean_what_was_written(kind: str, column: str, tmp_path: Path) -> None:
    frame = written(column, kind, tmp_path / "x")
    if frame is None:
        return
    text = (tmp_path / "x").read_bytes().decode()
    dtype = frame.schema["c"]
    if kind == "csv":
        cells = [row[0] for row in csv.reader(io.StringIO(text, newline=""))][1:]
        is_text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
        assert len(re.findall(r"(?m)^,\d+$", text)) == frame["c"].null_count(), "a null is an empty cell, no quotes"
        values: list[Any] = [None if c == "" and not is_text else c for c in cells]
        expected = ["" if v is None and is_text else v for v in frame["c"].to_list()]
    else:
        lines = text if kind == "json" else "[" + ",".join(text.split("\n")[:-1]) + "]"
        values = [row["c"] for row in json.loads(lines, parse_float=Decimal)]
        expected = frame["c"].to_list()
    assert plain([meant(v, dtype) for v in values]) == plain(expected)
