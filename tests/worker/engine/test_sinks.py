"""Every target: what is written is read back equal, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal as _assert_frame_equal

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.engine.sinks import SUFFIXES, check_types, delta, format_of, write_batches
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.registry import get_format
from base_ops.worker.lake.store import Store
from base_ops.worker.types import type_name

TYPED = ("parquet", "arrow", "avro", "delta")
TEXTUAL = ("csv", "json", "ndjson")


def assert_frame_equal(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert found.columns == expected.columns
    plain = [f"c{i}" for i in range(found.width)]  # polars takes a name such as ^…$ for a pattern
    found, expected = (pl.DataFrame(dict(zip(plain, f.iter_columns(), strict=True))) for f in (found, expected))
    _assert_frame_equal(found, expected, check_exact=True)


def write(frame: pl.DataFrame, kind: str, path: Path, rows: int = 3, **spec: Any) -> None:
    frames = (frame[i : i + rows] for i in range(0, frame.height, rows))
    write_batches(frames, frame.schema, path, kind, WriteSpec(**spec))


def read(path: Path, kind: str, **spec: Any) -> pl.DataFrame:
    if kind == "delta":
        return read(path, "parquet")
    source = ByteSource(path.name, path.stat().st_size, lambda: path.open("rb"), path)
    reader = get_format(kind).read(source, ReadSpec(**spec))
    batches = list(reader.batches())
    assert [r for b in batches for r in b.rejected] == []
    return pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)]).drop(
        POINTER
    )


# -- any frame there is

_dates = st.dates(date(1000, 1, 1), date(9999, 12, 31))
_stamps = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
_nanos = st.integers(-(2**62), 2**62)
_SCALARS: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    *[
        (kind(), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
        for kind, bits in ((pl.Int8, 8), (pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64))
    ],
    *[
        (kind(), st.integers(0, 2**bits - 1))
        for kind, bits in ((pl.UInt8, 8), (pl.UInt16, 16), (pl.UInt32, 32), (pl.UInt64, 64))
    ],
    (pl.Float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pl.Float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (
        pl.String(),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
        | st.sampled_from(["NULL", "", " a ", '"', "=1+1", "a,b", "\r\n", "{}"]),
    ),
    (pl.Binary(), st.binary(max_size=6)),
    (pl.Boolean(), st.booleans()),
    (pl.Date(), _dates),
    (pl.Time(), st.times()),
    (pl.Datetime("ms"), _stamps.map(lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000))),
    (pl.Datetime("us"), _stamps),
    (pl.Datetime("us", "UTC"), _stamps.map(lambda d: d.replace(tzinfo=UTC))),
    (pl.Datetime("ns", "America/New_York"), st.none()),
    (pl.Duration("us"), st.timedeltas(timedelta(-10_000), timedelta(10_000))),
    (
        pl.Decimal(38, 10),
        st.integers(-(10**38) + 1, 10**38 - 1).map(
            lambda n: Decimal(n).scaleb(-10, None) if abs(n) < 10**27 else Decimal(n % 10**20)
        ),
    ),
    (pl.Decimal(5, 0), st.integers(-99_999, 99_999).map(Decimal)),
    (pl.Null(), st.none()),
]


def _columns(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def struct(parts: list[Any]) -> Any:
        dtype = pl.Struct({f"f {i}": d for i, (d, _) in enumerate(parts)})
        return dtype, st.none() | st.fixed_dictionaries({f"f {i}": v for i, (_, v) in enumerate(parts)})

    lists = inner.map(lambda p: (pl.List(p[0]), st.none() | st.lists(st.none() | p[1], max_size=3)))
    return lists | st.lists(inner, min_size=1, max_size=3).map(struct)


_any_column = st.recursive(st.sampled_from(_SCALARS), _columns, max_leaves=4)


@st.composite
def frames(draw: st.DrawFn, columns: st.SearchStrategy[Any]) -> pl.DataFrame:
    parts = draw(st.lists(columns, min_size=1, max_size=4))
    height = draw(st.integers(0, 7))
    names = draw(
        st.lists(
            st.sampled_from(["a", "b c", "a.b", "1", "é", "^x$", "_line_2", "a_b"]),
            min_size=len(parts),
            max_size=len(parts),
            unique=True,
        )
    )
    made = []
    for name, (dtype, values) in zip(names, parts, strict=True):
        cells = draw(st.lists(st.none() | values, min_size=height, max_size=height))
        made.append(pl.Series("v", cells, dtype=dtype, strict=True).alias(name))
    return pl.DataFrame(made)


def kept_by(kind: str, dtype: Any) -> Any:
    """The type that a column of a type has when it is read back."""
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, pl.List):
        return pl.List(kept_by(kind, dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: kept_by(kind, f.dtype) for f in dtype.fields})
    if kind == "avro":
        narrow = dict.fromkeys((pl.Int8(), pl.Int16(), pl.UInt8(), pl.UInt16()), pl.Int32())
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            return pl.Datetime(dtype.time_unit, "UTC")
        return {**narrow, pl.UInt32(): pl.Int64(), pl.UInt64(): pl.Decimal(20, 0), pl.Null(): pl.Boolean()}.get(
            dtype, dtype
        )
    if kind == "delta":
        if isinstance(dtype, pl.Datetime):
            return pl.Datetime("us", "UTC" if dtype.time_zone else None)
        return {
            pl.UInt8(): pl.Int16(),
            pl.UInt16(): pl.Int32(),
            pl.UInt32(): pl.Int64(),
            pl.UInt64(): pl.Decimal(20, 0),
        }.get(dtype, dtype)
    return dtype


@pytest.mark.parametrize("kind", TYPED)
@settings(max_examples=40)
@given(frame=frames(_any_column))
def test_what_is_written_is_read_back(kind: str, frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sink") / f"x.{kind}"
    try:
        write(frame, kind, path)
    except ConfigError as error:
        assert error.code == "unsupported_target_type"
        assert not path.exists()
        return
    found = read(path, kind)
    if kind == "delta":
        delta.publish(path, Store(str(path.parent)), "table", frame.schema)
        assert_frame_equal(pl.read_delta(str(path.parent / "table")), found)
    expected = pl.DataFrame([s.alias("v").cast(kept_by(kind, s.dtype)).alias(s.name) for s in frame.iter_columns()])
    assert_frame_equal(found, expected)


def test_avro_keeps_decimals_of_every_length_and_sign(tmp_path: Path) -> None:
    """Read by another library; the sign's byte is what encoders forget."""
    numbers = [sign * (2**bits + more) for bits in range(126) for more in (-1, 0, 1) for sign in (1, -1)]
    values = pl.Series("a", [None, *map(Decimal, numbers)], dtype=pl.Decimal(38, 0))
    small = pl.Series("u", [None, *(abs(n) if abs(n) < 2**64 else 0 for n in numbers)], dtype=pl.UInt64)
    frame = pl.DataFrame([values, small]).with_columns(b=pl.struct(x="a", y=pl.lit("t")), c=pl.concat_list("a", "a"))
    frame = frame.with_columns(d=pl.when(pl.col("a") > 0).then(pl.concat_list("b", "b")))
    write(frame, "avro", tmp_path / "x.avro", rows=100)
    with (tmp_path / "x.avro").open("rb") as file:
        assert list(fastavro.reader(file)) == frame.to_dicts()


_VOCABULARY = [
    pair
    for pair in _SCALARS
    if type_name(pair[0])
    in (
        "int64",
        "int32",
        "float64",
        "string",
        "boolean",
        "date",
        "time",
        "timestamp",
        "timestamp_utc",
        "decimal(38,10)",
        "decimal(5,0)",
    )
    and getattr(pair[0], "time_unit", "us") == "us"
    and not isinstance(pair[0], pl.Duration)
]


@pytest.mark.parametrize("kind", TEXTUAL)
@settings(max_examples=40)
@given(frame=frames(st.sampled_from(_VOCABULARY)))
def test_texts_are_read_back_as_declared(
    kind: str, frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sink") / "x"
    write(frame, kind, path)
    if frame.height == 0:
        return
    columns = tuple(ColumnSpec(name=n, type=type_name(d)) for n, d in frame.schema.items())
    flat: dict[str, Any] = {"delimiter": ",", "header": True, "quote": '"'} if kind == "csv" else {"nested": "keep"}
    assert_frame_equal(read(path, kind, columns=columns, **flat), frame)


def as_json(value: Any) -> Any:
    """What a JSON parser that keeps numbers exactly finds."""
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_json(v) for v in value]
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


@pytest.mark.parametrize("kind", ["json", "ndjson"])
@settings(max_examples=40)
@given(
    frame=frames(
        st.recursive(
            st.sampled_from(
                [
                    p
                    for p in _SCALARS
                    if p[0] in (pl.Int64, pl.UInt64, pl.Float64, pl.String, pl.Boolean, pl.Null)
                    or isinstance(p[0], pl.Decimal)
                ]
            ),
            _columns,
            max_leaves=4,
        )
    )
)
def test_json_of_nested_values(kind: str, frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sink") / "x"
    write(frame, kind, path)
    text = path.read_text()
    found = (
        json.loads(text, parse_float=Decimal)
        if kind == "json"
        else [json.loads(t, parse_float=Decimal) for t in text.split("\n")[:-1]]
    )
    assert found == as_json(frame.to_dicts())


# -- what cannot be written


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("csv", pl.List(pl.Int64)),
        ("csv", pl.Struct({"a": pl.Int64})),
        ("csv", pl.Binary()),
        ("csv", pl.Duration("us")),
        ("json", pl.Binary()),
        ("ndjson", pl.List(pl.Struct({"a": pl.Binary}))),
        ("ndjson", pl.Duration("us")),
        ("avro", pl.Duration("us")),
        ("avro", pl.List(pl.Time)),
        ("delta", pl.Time()),
        ("delta", pl.Datetime("ns")),
        ("delta", pl.List(pl.Datetime("ns"))),
        ("delta", pl.Null()),
        ("parquet", pl.Struct([])),
    ],
)
def test_types_are_refused_by_name_before_anything_is_written(kind: str, dtype: pl.DataType, tmp_path: Path) -> None:
    def never() -> Iterator[pl.DataFrame]:
        raise AssertionError("read before the types were checked")
        yield

    with pytest.raises(ConfigError, match="'odd'") as raised:
        write_batches(never(), pl.Schema({"n": pl.Int64(), "odd": dtype}), tmp_path / "x", kind, WriteSpec())
    assert raised.value.code == "unsupported_target_type"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("json", pl.Series([1.0, float("nan")])),
        ("ndjson", pl.Series([float("inf"), None])),
        ("ndjson", pl.Series([[1.0], [None, float("-inf")]])),
        ("ndjson", pl.Series([{"a": [1.0]}, {"a": [float("nan")]}])),
        ("csv", pl.Series(["a\0b"])),
        ("avro", pl.Series([1]).cast(pl.Time)),
    ],
)
def test_values_a_target_cannot_hold_are_refused(kind: str, values: pl.Series, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'c'") as raised:
        write(values.alias("c").to_frame(), kind, tmp_path / "x")
    assert raised.value.code == "unsupported_target_value"


@pytest.mark.parametrize("kind", [*TYPED, *TEXTUAL])
def test_an_error_of_the_source_comes_out_unchanged(kind: str, tmp_path: Path) -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"n": [1]})
        raise BadInput("the file ends in the middle", code="truncated")

    with pytest.raises(BadInput) as raised:
        write_batches(broken(), pl.Schema({"n": pl.Int64()}), tmp_path / "x", kind, WriteSpec())
    assert raised.value.code == "truncated"


# -- each target


@pytest.mark.parametrize("compression", [None, "zstd", "snappy", "gzip", "uncompressed", "lz4"])
@pytest.mark.parametrize("kind", TYPED)
def test_codecs(kind: str, compression: str | None, tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(5000), "s": ["x"] * 5000})
    if kind == "avro" and compression == "lz4":
        with pytest.raises(ConfigError, match="lz4"):
            write(frame, kind, tmp_path / "x", compression=compression)
        return
    write(frame, kind, tmp_path / "x", rows=1000, compression=compression)
    assert_frame_equal(read(tmp_path / "x", kind), frame)


def test_avro_is_read_by_others_and_the_same_every_time(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a.b": [1, None], "a_b": ["x", "é"], "d": [Decimal("1.10"), None]})
    for name in ("1", "2"):
        write(frame, "avro", tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    with (tmp_path / "1").open("rb") as file:
        rows = list(fastavro.reader(file))
    assert rows == [{"a_b_2": 1, "a_b": "x", "d": Decimal("1.10")}, {"a_b_2": None, "a_b": "é", "d": None}]


def test_parquet_row_groups(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write(pl.DataFrame({"n": range(1000)}), "parquet", tmp_path / "x", row_group_rows=300)
    assert [pq.read_metadata(tmp_path / "x").row_group(i).num_rows for i in range(4)] == [300, 300, 300, 100]


def test_a_delta_table_is_replaced_by_a_new_version(tmp_path: Path) -> None:
    table, store = str(tmp_path / "table"), Store(str(tmp_path))
    for rows in ([1, 2], [3]):
        frame = pl.DataFrame({"n": rows})
        write(frame, "delta", tmp_path / "made")
        delta.publish(tmp_path / "made", store, "table", frame.schema)
        assert pl.read_delta(table)["n"].to_list() == rows
    frame = pl.DataFrame({"other": [datetime(2026, 1, 1)]})  # noqa: DTZ001
    write(frame, "delta", tmp_path / "made")
    delta.publish(tmp_path / "made", store, "table", frame.schema)
    assert_frame_equal(pl.read_delta(table), frame)
    assert pl.read_delta(table, version=0)["n"].to_list() == [1, 2]
    assert DeltaTable(table).version() >= 2


def test_csv_of_one_column_has_no_blank_lines(tmp_path: Path) -> None:
    write(pl.DataFrame({"s": ["a", None, "NULL", ""]}), "csv", tmp_path / "x")
    assert (tmp_path / "x").read_text() == '"s"\n"a"\nNULL\n"NULL"\n""\n'


def test_json_of_no_rows_is_an_empty_list(tmp_path: Path) -> None:
    write(pl.DataFrame({"s": []}, schema={"s": pl.String}), "json", tmp_path / "x")
    assert json.loads((tmp_path / "x").read_text()) == []


def test_format_of() -> None:
    assert {format_of(f"x{suffix}", WriteSpec()) for suffix in SUFFIXES} == {*TYPED, *TEXTUAL}
    assert format_of("x.csv", WriteSpec(format="avro")) == "avro"
    with pytest.raises(ConfigError, match="does not tell"):
        format_of("x", WriteSpec())


def test_check_types_names_the_type_inside() -> None:
    from base_ops.worker.engine.sinks import csv

    with pytest.raises(ConfigError, match="List"):
        check_types(csv, pl.Schema({"l": pl.List(pl.Int64)}), "csv")
