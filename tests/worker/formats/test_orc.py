"""The ORC reader: exact or refused."""

from __future__ import annotations

import io
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.orc as orc
import pytest

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.orc import FORMAT

STAMP = datetime(2026, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001
TABLE = pa.table(
    {
        "n": [1, None, 3],
        "s": ["a", "é", None],
        "l": [[1], None, [2, 3]],
        "d": pa.array([Decimal("1.25"), None, Decimal("-9.99")], pa.decimal128(38, 2)),
        "day": [date(2026, 1, 2), date(1, 1, 1), None],
        "t": pa.array([STAMP, None, STAMP], pa.timestamp("ns")),
        "z": pa.array([STAMP.replace(tzinfo=UTC), None, None], pa.timestamp("ns", "UTC")),
        "m": pa.array([[("k", 1), ("k", 2)], None, []], pa.map_(pa.string(), pa.int32())),
        "st": [{"a": 1.5}, None, {"a": None}],
        "b": [b"\xff", b"", None],
    }
)


def packed(table: pa.Table, compression: str = "zstd", **options: Any) -> bytes:
    sink = io.BytesIO()
    orc.write_table(table, sink, compression=compression, **options)
    return sink.getvalue()


def read(data: bytes, path: Path | None = None, **spec: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    if path is not None:
        path.write_bytes(data)
    reader = FORMAT.read(ByteSource("x.orc", len(data), lambda: io.BytesIO(data), path), ReadSpec(**spec))
    batches = list(reader.batches())
    frame = pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)])
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected]


@pytest.mark.parametrize("compression", ["uncompressed", "zlib", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("local", [True, False])
def test_values_are_kept(compression: str, local: bool, tmp_path: Path) -> None:
    frame, rejected = read(packed(TABLE, compression), tmp_path / "x" if local else None)
    assert rejected == []
    assert frame[POINTER].to_list() == [1, 2, 3]
    maps = frame.get_column("m").to_list()
    assert maps == [[{"key": "k", "value": 1}, {"key": "k", "value": 2}], None, []]
    assert frame.drop("m", POINTER).to_dict(as_series=False) == TABLE.drop_columns("m").to_pydict()
    assert frame.schema["t"] == pl.Datetime("ns")
    assert frame.schema["z"] == pl.Datetime("ns", "UTC")


def test_many_stripes() -> None:
    dice = random.Random(1)
    table = pa.table({"n": range(100_000), "s": [str(dice.random()) for i in range(100_000)]})
    data = packed(table, stripe_size=64 << 10, batch_size=1000)
    assert orc.ORCFile(io.BytesIO(data)).nstripes > 2
    frame, _ = read(data)
    assert frame["n"].to_list() == list(range(100_000))
    assert frame[POINTER].to_list() == list(range(1, 100_001))


def test_declared_columns() -> None:
    wanted = (ColumnSpec(name="id", source_name="n", type="string", required=True), ColumnSpec(name="s"))
    frame, rejected = read(packed(TABLE), columns=wanted)
    assert frame.rows() == [("1", "a", 1), ("3", None, 3)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(2, "required", "id")]
    with pytest.raises(BadInput, match="no column 'zz'"):
        read(packed(TABLE), columns=(ColumnSpec(name="zz"),))


def test_text_that_is_no_utf8_refuses_its_row() -> None:
    raw = pa.array([b"a", b"\xff"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    frame, rejected = read(packed(pa.table({"s": text})))
    assert (frame["s"].to_list(), [(r.line, r.rule) for r in rejected]) == (["a"], [(2, "encoding")])


def test_timestamps_beyond_nanoseconds_are_refused_by_name() -> None:
    data = packed(pa.table({"t": pa.array([253402214400], pa.timestamp("s")), "n": [1]}))
    with pytest.raises(BadInput, match="1677") as raised:
        read(data)
    assert raised.value.code == "out_of_range"
    assert read(data, columns=(ColumnSpec(name="n"),))[0]["n"].to_list() == [1]


def test_unions_are_refused_by_name() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    with pytest.raises(BadInput, match="column 'u'") as raised:
        read(packed(pa.table({"u": union})))
    assert raised.value.code == "unsupported_type"


def test_a_postscript_without_magic_is_one_of_hive_0_11() -> None:
    whole = packed(TABLE)
    magic = b"\x82\xf4\x03\x03ORC"
    assert whole[-8:-1] == magic
    old = whole[:-8] + bytes([whole[-1] - len(magic)])
    assert read(old)[0].rows() == read(whole)[0].rows()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda b: b"", "empty_object"),
        (lambda b: b"a,b\n1,2\n", "not_this_format"),
        (lambda b: b[: len(b) // 2], "truncated"),
        (lambda b: b[:-40] + bytes(20) + b[-20:], "corrupt"),
    ],
)
def test_damaged_files_are_refused(damage: Any, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(damage(packed(TABLE)))
    assert raised.value.code == code


def test_random_damage_is_never_more_than_bad_input() -> None:
    whole, dice, refused = packed(TABLE), random.Random(4), 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(3, len(data))] = dice.randrange(256)
        try:
            read(bytes(data))[0].write_ipc(io.BytesIO())
        except BadInput:
            refused += 1
    assert refused > 30


def test_sniff() -> None:
    assert FORMAT.sniff(packed(TABLE), "x") > 0.9
    assert FORMAT.sniff(b"ORCHID,PRICE\n1,2\n", "x.csv") < 0.15
    assert FORMAT.sniff(b"a,b\n", "x.orc") == 0.0
