"""The Parquet reader: exact or refused, whatever wrote the file."""

from __future__ import annotations

import base64
import io
import os
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.binary import ParquetOptions
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats import columnar
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.columnar import kept_type
from base_ops.worker.formats.parquet import FORMAT
from base_ops.worker.formats.parquet import reader as parquet_reader


def source_of(path: Path) -> ByteSource:
    return ByteSource(path.name, path.stat().st_size, lambda: path.open("rb"), path)


def read(source: ByteSource, **spec: Any) -> tuple[pl.DataFrame, list[Rejected], Reader]:
    reader = FORMAT.read(source, ReadSpec(**spec))
    batches = list(reader.batches())
    frames = [b.frame for b in batches] or [pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64})]
    frame = pl.concat(frames)
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], reader


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(table: pa.Table, **options: Any) -> ByteSource:
        path = tmp_path / "x.parquet"
        pq.write_table(table, path, **options)
        return source_of(path)

    return write


STAMP = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    ("array", "dtype", "expected"),
    [
        (pa.array([2**64 - 1, None], pa.uint64()), pl.UInt64, [2**64 - 1, None]),
        (pa.array(np.array([1.5, -0.25], np.float16)), pl.Float32, [1.5, -0.25]),
        (pa.array([Decimal(9) * 10**36], pa.decimal128(38, 0)), pl.Decimal(38, 0), [Decimal(9) * 10**36]),
        (pa.array([Decimal("1.25")], pa.decimal256(20, 2)), pl.Decimal(20, 2), [Decimal("1.25")]),
        (pa.array([b"abcd"], pa.binary(4)), pl.Binary, [b"abcd"]),
        (pa.array(["a", "b"]).dictionary_encode(), pl.String, ["a", "b"]),
        (pa.array([STAMP], pa.timestamp("us", "+02:00")), pl.Datetime("us", "UTC"), [STAMP]),
        (pa.array([STAMP], pa.timestamp("us", "Mars/Olympus")), pl.Datetime("us", "UTC"), [STAMP]),
        (pa.array([5], pa.timestamp("s")), pl.Datetime("ms"), [datetime(1970, 1, 1, 0, 0, 5)]),  # noqa: DTZ001
        (pa.array([timedelta(seconds=5)], pa.duration("us")), pl.Duration("us"), [timedelta(seconds=5)]),
        (pa.array([[1], None, []], pa.list_(pa.int64(), -1)), pl.List(pl.Int64), [[1], None, []]),
        (pa.array([{"a": [b"x"]}]), pl.Struct({"a": pl.List(pl.Binary)}), [{"a": [b"x"]}]),
        (
            pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int32())),
            pl.List(pl.Struct({"key": pl.String, "value": pl.Int32})),
            [[{"key": "k", "value": 1}, {"key": "k", "value": 2}]],
        ),
        (pa.nulls(2), pl.Null, [None, None]),
    ],
)
def test_types_are_kept(written: Any, array: pa.Array, dtype: Any, expected: list[Any]) -> None:
    frame, rejected, _ = read(written(pa.table({"c": array})))
    assert rejected == []
    assert frame["c"].dtype == dtype
    assert frame["c"].to_list() == expected


@pytest.mark.parametrize(
    "kind",
    [
        pa.decimal256(39, 0),
        pa.decimal128(5, -2),
        pa.month_day_nano_interval(),
        pa.list_view(pa.int64()),
        pa.run_end_encoded(pa.int32(), pa.int64()),
        pa.dense_union([pa.field("a", pa.int64())]),
        pa.struct([pa.field("a", pa.int64()), pa.field("a", pa.int64())]),
        pa.list_(pa.decimal256(76, 2)),
    ],
)
def test_types_that_cannot_be_kept_are_refused_by_name(kind: pa.DataType) -> None:
    with pytest.raises(BadInput, match="cannot be kept exactly") as raised:
        kept_type(kind, "column 'c'")
    assert raised.value.code == "unsupported_type"


def test_record_numbers_run_over_row_groups_and_batches(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "BATCH_ROWS", 7)
    frame, _, _ = read(written(pa.table({"n": range(100)}), row_group_size=30))
    assert frame["n"].to_list() == list(range(100))
    assert frame[POINTER].to_list() == list(range(1, 101))


def test_names_that_are_taken_get_a_number(written: Any) -> None:
    frame, _, reader = read(written(pa.table([[1], [2], [3]], names=["a", "a", POINTER])))
    assert frame.row(0, named=True) == {"a": 1, "a_2": 2, "_line_2": 3, "_line": 1}
    assert [f.code for f in reader.findings] == ["renamed_column"] * 2


def test_declared_columns_are_cast_exactly_or_their_rows_refused(written: Any) -> None:
    table = pa.table(
        {
            "n": [1, 2**40, 3, 4, 5, 6],
            "f": [1.0, 2.0, 2.5, 4.0, 5.0, 6.0],
            "s": ["1.5", "2", "3", "x", "5", None],
            "b": pa.array([b"a", b"b", b"c", b"d", b"\xff", b"f"]),
            "unread": [1] * 6,
        }
    )
    wanted = (
        ColumnSpec(name="number", source_name="n", type="int32"),
        ColumnSpec(name="f", type="int64"),
        ColumnSpec(name="s", type="decimal(5,2)", required=True),
        ColumnSpec(name="b", type="string"),
    )
    frame, rejected, reader = read(written(table), columns=wanted)
    assert frame.rows() == [(1, 1, Decimal("1.50"), "a", 1)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [
        (2, "type", "number"),
        (3, "type", "f"),
        (4, "type", "s"),
        (5, "type", "b"),
        (6, "required", "s"),
    ]
    assert list(reader.schema) == ["number", "f", "s", "b"]


@pytest.mark.parametrize(
    ("array", "declared", "values"),
    [
        (pa.array([STAMP, None]), "timestamp_utc", [STAMP, None]),
        (pa.array([STAMP.replace(tzinfo=None)]), "timestamp_utc", [STAMP]),
        (pa.array([date(2026, 1, 2)]), "timestamp", [datetime(2026, 1, 2)]),  # noqa: DTZ001
        (pa.array([date(2026, 1, 2)]), "timestamp_utc", [datetime(2026, 1, 2, tzinfo=UTC)]),
        (pa.array([datetime(2026, 1, 2)]), "date", [date(2026, 1, 2)]),  # noqa: DTZ001
        (pa.array([STAMP.replace(tzinfo=None)]), "date", []),
        (pa.array([2**53, 2**53 + 1]), "float64", [float(2**53)]),
        (pa.array([0.1, 0.125]), "decimal(4,2)", [Decimal("0.10")]),
        (pa.array([1, None]), "string", ["1", None]),
        (pa.array([True]), "string", ["true"]),
        (pa.array(["2026-01-02T03:04:05.678901Z", "soon", "2026-01-02T03:04:05.6789011Z"]), "timestamp_utc", [STAMP]),
        (pa.nulls(1), "int32", [None]),
    ],
)
def test_casts(written: Any, array: pa.Array, declared: str, values: list[Any]) -> None:
    frame, rejected, _ = read(written(pa.table({"c": array})), columns=(ColumnSpec(name="c", type=declared),))
    assert frame["c"].to_list() == values
    assert frame.height + len(rejected) == len(array)


@pytest.mark.parametrize(
    ("array", "declared"), [(pa.array([1]), "date"), (pa.array([[1]]), "string"), (pa.array([STAMP]), "timestamp")]
)
def test_impossible_casts_are_a_config_error(written: Any, array: pa.Array, declared: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(written(pa.table({"c": array})), columns=(ColumnSpec(name="c", type=declared),))
    assert raised.value.code == "impossible_cast"


def test_column_that_is_not_there(written: Any) -> None:
    with pytest.raises(BadInput, match="no column 'z'"):
        read(written(pa.table({"c": [1]})), columns=(ColumnSpec(name="z"),))


def text_column(values: list[bytes]) -> pa.Array:
    """Bytes that claim to be text."""
    raw = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), raw.buffers())


def test_text_that_is_no_utf8_refuses_its_row(written: Any) -> None:
    frame, rejected, _ = read(written(pa.table({"s": text_column([b"a", b"\xff", b"\xc3\xa9"])})))
    assert frame.rows() == [("a", 1), ("é", 3)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(2, "encoding", "s")]


def test_dates_beyond_the_calendar_refuse_their_row(written: Any) -> None:
    days = pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())
    stamps = pa.array([-(2**63) + 1, 0], pa.int64()).cast(pa.timestamp("us"))
    frame, rejected, _ = read(written(pa.table({"d": days, "t": stamps, "n": [1, 2]})))
    assert frame.height == 0
    assert [(r.line, r.column) for r in rejected] == [(1, "t"), (2, "d")]


@pytest.mark.parametrize(
    ("stamps", "unit"),
    [
        ([0, 1_000], "us"),
        ([0, 1_001], "ns"),
        ([-(2**62) // 1000 * 1000, None], "us"),
    ],
)
def test_int96_gets_the_unit_that_keeps_it(written: Any, stamps: list[int | None], unit: str) -> None:
    table = pa.table(
        {"t": pa.array(stamps, pa.timestamp("ns")), "l": pa.array([[s] for s in stamps], pa.list_(pa.timestamp("ns")))}
    )
    frame, rejected, _ = read(written(table, use_deprecated_int96_timestamps=True))
    assert rejected == []
    assert frame["t"].dtype == pl.Datetime(unit)
    assert frame["t"].dt.cast_time_unit("ns").to_physical().to_list() == stamps


def test_int96_beyond_nanoseconds_is_read_right(written: Any) -> None:
    table = pa.table({"t": pa.array([253402225200000000], pa.timestamp("us"))})
    frame, rejected, _ = read(written(table, use_deprecated_int96_timestamps=True))
    assert (frame["t"].to_physical().to_list(), rejected) == ([253402225200000000], [])


def test_object_that_is_not_local_is_read(written: Any) -> None:
    path = written(pa.table({"n": [1, 2]})).local
    assert read(ByteSource("x", None, lambda: path.open("rb")))[0]["n"].to_list() == [1, 2]


def test_a_long_text_repeated_often_is_read_in_small_batches(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_reader, "_DECODED_BYTES", 1 << 20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000), pa.array(["x" * 100_000, "é"]))
    source = written(pa.table({"s": texts, "n": range(1000)}))
    reader = FORMAT.read(source, ReadSpec())
    sizes = [batch.frame.height for batch in reader.batches()]
    assert (sum(sizes), max(sizes)) == (1000, 10)


def test_files_made_to_fill_the_memory_are_refused(written: Any) -> None:
    table = pa.table({"s": ["x" * 20_000_000]})
    with pytest.raises(BadInput, match="max_ratio") as raised:
        read(written(table, compression="zstd", use_dictionary=False))
    assert raised.value.code == "too_large"
    assert read(written(table, compression="zstd", use_dictionary=False), max_ratio=1e9)[0].height == 1


@pytest.mark.parametrize(
    ("cut", "code"),
    [
        (lambda b: b"", "empty_object"),
        (lambda b: b[:-1], "truncated"),
        (lambda b: b[: len(b) // 2], "truncated"),
        (lambda b: b[:4], "truncated"),
        (lambda b: b"a,b\n1,2\n", "not_this_format"),
        (lambda b: b"PARE" + b[4:-4] + b"PARE", "encrypted"),
        (lambda b: b[:-8] + b"\xff\xff\xff\x7fPAR1", "corrupt"),
        (lambda b: b[:40] + bytes(40) + b[80:], "wrong_checksum"),
    ],
)
def test_damaged_files_are_refused(written: Any, cut: Any, code: str) -> None:
    source = written(pa.table({"n": list(range(1000))}), write_page_checksum=True)
    source.local.write_bytes(cut(source.local.read_bytes()))
    with pytest.raises(BadInput) as raised:
        read(source, parquet=ParquetOptions(wrong_checksums="refuse"))
    assert raised.value.code == code


def test_random_damage_is_never_more_than_bad_input(written: Any) -> None:
    table = pa.table({"n": list(range(50)), "s": ["é"] * 50, "l": [[1, 2]] * 50, "d": [STAMP] * 50})
    source = written(table, write_page_checksum=True)
    whole, dice = source.local.read_bytes(), random.Random(1)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(4, len(data) - 8)] = dice.randrange(256)
        source.local.write_bytes(data)
        try:
            read(source)[0].write_ipc(io.BytesIO())
        except BadInput:
            refused += 1
    assert refused > 30


def test_sniff() -> None:
    assert FORMAT.sniff(b"PAR1\x15\x04", "x") == 1.0
    assert FORMAT.sniff(b"a,b\n", "x.parquet") == 0.0


@pytest.mark.corpora
def test_parquet_testing() -> None:
    """Of 75 plain files 74 are read, 2 of them with wrong checksums; one unpacks from 4 KB to 2 GB."""
    root = Path(os.environ["BASE_CORPORA"]) / "parquet-testing" / "data"
    outcomes: dict[str, str] = {}
    for path in sorted(root.rglob("*.parquet")):
        try:
            frame, rejected, _ = read(source_of(path))
            rows = (
                sum(
                    pq.ParquetFile(path).metadata.row_group(i).num_rows
                    for i in range(pq.read_metadata(path).num_row_groups)
                )
                if path.name != "incorrect_map_schema.parquet"
                else 1
            )
            assert frame.height + len(rejected) == rows, path.name
            outcomes[path.name] = "read"
        except BadInput as error:
            outcomes[path.name] = error.code
    assert len(outcomes) == 75
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "read"} == {
        "large_string_map.brotli.parquet": "too_large",
    }


@pytest.mark.corpora
@pytest.mark.parametrize(
    "name", ["datapage_v1-corrupt-checksum.parquet", "rle-dict-uncompressed-corrupt-checksum.parquet"]
)
def test_wrong_checksums_are_flagged_or_refused(name: str) -> None:
    path = Path(os.environ["BASE_CORPORA"]) / "parquet-testing" / "data" / name
    with pytest.raises(BadInput) as caught:
        read(source_of(path), parquet=ParquetOptions(wrong_checksums="refuse"))
    assert caught.value.code == "wrong_checksum"
    frame, rejected, reader = read(source_of(path))
    assert rejected == []
    assert [(f.code, f.severity) for f in reader.findings] == [("wrong_checksum", "error")]
    assert frame.drop(POINTER).to_dict(as_series=False) == pq.read_table(path).to_pydict()


class _Keys(encryption.KmsClient):
    def wrap_key(self, key_bytes: bytes, _name: str) -> bytes:
        return base64.b64encode(key_bytes)


def test_an_encrypted_column_is_called_so_and_the_others_are_read(tmp_path: Path) -> None:
    how = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["secret"]}, plaintext_footer=True)
    factory = encryption.CryptoFactory(lambda _: _Keys())
    locks = factory.file_encryption_properties(encryption.KmsConnectionConfig(), how)
    table, path = pa.table({"open": [1, 2], "secret": [3, 4]}), tmp_path / "x.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=locks) as writer:
        writer.write_table(table)
    with pytest.raises(BadInput) as raised:
        read(source_of(path))
    assert (raised.value.code, raised.value.what) == ("encrypted", "x.parquet is encrypted Parquet")
    assert read(source_of(path), columns=(ColumnSpec(name="open"),))[0]["open"].to_list() == [1, 2]


@pytest.mark.corpora
def test_encrypted_files_are_refused_by_name() -> None:
    root = Path(os.environ["BASE_CORPORA"]) / "parquet-testing" / "data"
    codes = set()
    for path in root.rglob("*.encrypted"):
        with pytest.raises(BadInput) as raised:
            read(source_of(path))
        codes.add(raised.value.code)
    assert codes <= {"encrypted", "unsupported_type"}
