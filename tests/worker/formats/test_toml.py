"""TOML: arrays of tables are records, native types are kept, and hostile documents are refused at once."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.toml import FORMAT, reader


def open_bytes(data: bytes, **spec: Any) -> Reader:
    return FORMAT.read(ByteSource("x.toml", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))


def read(text: str, **spec: Any) -> tuple[list[dict[str, Any]], Reader]:
    found = open_bytes(text.encode(), **spec)
    batches = list(found.batches())
    assert [r for b in batches for r in b.rejected] == []
    return [row for b in batches for row in b.frame.drop("_line").to_dicts()], found


@pytest.mark.parametrize(
    ("text", "spec", "rows", "codes"),
    [
        ("[[p]]\na=1\n[[p]]\na=2\n", {}, [{"a": 1}, {"a": 2}], []),
        ("v=3\n[[p]]\na=1\n[p.sub]\nb='x'", {}, [{"a": 1, "sub.b": "x"}], ["outside_records"]),
        ("a=1\n[t]\nb=2", {}, [{"a": 1, "t.b": 2}], []),
        ("[[p]]\na=1\n[[q]]\nb=1", {}, [{"p": [{"a": 1}], "q": [{"b": 1}]}], ["several_lists"]),
        ("[[p]]\na=1\n[[q]]\nb=1", {"records": "q"}, [{"b": 1}], []),
        ("[x.y]\nl=[{a=1},{a=2}]", {"records": "x.y.l"}, [{"a": 1}, {"a": 2}], []),
        ("[x.y]\na=1", {"records": "x.y"}, [{"a": 1}], []),
        ("\ufeffa=1", {}, [{"a": 1}], []),
    ],
)
def test_records(text: str, spec: dict[str, Any], rows: list[dict[str, Any]], codes: list[str]) -> None:
    found, opened = read(text, **spec)
    assert (found, [f.code for f in opened.findings]) == (rows, codes)


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("1_000", pl.Int64(), 1000),
        ("0xff", pl.Int64(), 255),
        ("99999999999999999999", pl.Decimal(38, 0), Decimal(99999999999999999999)),
        ("+1_0.5e1", pl.Float64(), 105.0),
        ("-0.0", pl.Float64(), 0.0),
        ("-inf", pl.Float64(), float("-inf")),
        ("true", pl.Boolean(), True),
        ("1979-05-27", pl.Date(), date(1979, 5, 27)),
        ("07:32:00.5", pl.Time(), time(7, 32, 0, 500_000)),
        ("1979-05-27 07:32:00", pl.Datetime("us"), datetime(1979, 5, 27, 7, 32)),  # noqa: DTZ001
        ("1979-05-27T00:32:00.999999-07:00", pl.Datetime("us", "UTC"), datetime(1979, 5, 27, 7, 32, 0, 999_999, UTC)),
        ("1979-05-27T07:32:00.123456000Z", pl.Datetime("us", "UTC"), datetime(1979, 5, 27, 7, 32, 0, 123_456, UTC)),
        ('"1979-05-27"', pl.String(), "1979-05-27"),
        ('"07:32:00.1234567"', pl.String(), "07:32:00.1234567"),
        ('"a\\u0000b"', pl.String(), "a\0b"),
        ('"no"', pl.String(), "no"),
    ],
)
def test_values_are_of_their_own_type(text: str, dtype: pl.DataType, value: Any) -> None:
    rows, opened = read(f"v = {text} # 07:32:00.1234567\n")
    assert (dict(opened.schema), rows) == ({"v": dtype}, [{"v": value}])


def test_nan_is_kept() -> None:
    assert str(read("v=nan")[0][0]["v"]) == "nan"


def test_texts_beside_dates_stay_text() -> None:
    rows, opened = read('[[p]]\nd=2020-01-01\n[[p]]\nd="2020-01-02"')
    assert (dict(opened.schema), [r["d"] for r in rows]) == ({"d": pl.String()}, ["2020-01-01", "2020-01-02"])


@pytest.mark.parametrize(
    ("data", "spec", "code"),
    [
        (b" \n", {}, "empty_object"),
        (b"a=1\na=2", {}, "not_this_format"),
        (b"a=", {}, "not_this_format"),
        (b'a="\xff"', {}, "not_this_format"),
        (b"a=" + b"1" * 5000, {}, "not_this_format"),
        (b"a=" + b"[" * 1_000_000, {}, "too_deep"),
        (b"a=" + b"[" * 150 + b"]" * 150, {}, "too_deep"),
        (b"a." * 1_000_000 + b"a=1", {}, "too_deep"),
        (b"a=07:32:00.1234567", {}, "too_fine"),
        (b'a=07:32:00.1234567\nb="07:32:00.12345"', {}, "too_fine"),
        (b"a=1", {"records": "b"}, "records_not_found"),
        (b"a=1", {"records": "a.b"}, "records_not_found"),
    ],
)
def test_what_cannot_be_used_is_refused(data: bytes, spec: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as raised:
        open_bytes(data, **spec)
    assert raised.value.code == code


@pytest.mark.parametrize("known", [True, False])
def test_size_is_bounded(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_BYTES", 10)
    with pytest.raises(BadInput) as raised:
        FORMAT.read(ByteSource("x", 20 if known else None, lambda: io.BytesIO(b"a=1\n" * 5)), ReadSpec())
    assert raised.value.code == "too_large"


@pytest.mark.parametrize(
    ("head", "name", "low", "high"),
    [
        (b'[package]\nname = "x"\n', "x", 0.8, 1.0),
        (b'a = 1\nb = "x"\n', "Cargo.toml", 0.9, 1.0),
        (b"[section]\nkey = some text\n", "x.ini", 0.0, 0.1),
        (b"[1, 2]", "x.json", 0.0, 0.0),
        (b'{"a": 1}', "x", 0.0, 0.0),
        (b"a,b\n1,2\n", "x.csv", 0.0, 0.0),
        (b"a: 1\nb: 2\n", "x", 0.0, 0.0),
    ],
)
def test_sniff(head: bytes, name: str, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, name) <= high


@given(st.binary(max_size=200) | st.text("[]{}=.\"'\n#a1-:T, ", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for batch in open_bytes(data).batches():
            assert batch.frame.width
    except (BadInput, ConfigError) as error:
        assert error.code
