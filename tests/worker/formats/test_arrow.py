"""The Arrow IPC reader: file and stream, exact or refused."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
import pytest

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Rejected
from base_ops.worker.formats.arrow import FORMAT
from base_ops.worker.formats.base import ByteSource

TABLE = pa.table(
    {
        "n": [1, None, 3],
        "s": ["a", "é", None],
        "l": [[1], None, [2, 3]],
        "c": pa.array(["x", "y", "x"]).dictionary_encode(),
        "m": pa.array([[("k", 1), ("k", 2)], None, []], pa.map_(pa.string(), pa.int32())),
    }
)


def packed(table: pa.Table, form: str, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    opener = ipc.new_file if form == "file" else ipc.new_stream
    with opener(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
        writer.write_table(table)
    return sink.getvalue()


def read(data: bytes, path: Path | None = None, **spec: Any) -> tuple[pl.DataFrame, list[Rejected], list[str]]:
    if path is not None:
        path.write_bytes(data)
    reader = FORMAT.read(ByteSource("x.arrow", len(data), lambda: io.BytesIO(data), path), ReadSpec(**spec))
    batches = list(reader.batches())
    frame = pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)])
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], [f.code for f in reader.findings]


@pytest.mark.parametrize("form", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("local", [True, False])
def test_both_forms_are_read(form: str, compression: str | None, local: bool, tmp_path: Path) -> None:
    frame, rejected, findings = read(packed(TABLE, form, compression), tmp_path / "x" if local else None)
    assert (rejected, findings) == ([], [])
    assert frame[POINTER].to_list() == [1, 2, 3, 4, 5, 6]
    assert frame["n"].to_list() == [1, None, 3] * 2
    assert frame["s"].to_list() == ["a", "é", None] * 2
    assert frame["l"].to_list() == [[1], None, [2, 3]] * 2
    assert frame["c"].to_list() == ["x", "y", "x"] * 2
    assert frame["m"].to_list()[0] == [{"key": "k", "value": 1}, {"key": "k", "value": 2}]


def test_declared_columns_and_bad_cells() -> None:
    wanted = (ColumnSpec(name="id", source_name="n", type="string", required=True), ColumnSpec(name="s"))
    frame, rejected, _ = read(packed(TABLE, "stream"), columns=wanted)
    assert frame.rows() == [("1", "a", 1), ("3", None, 3), ("1", "a", 4), ("3", None, 6)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(2, "required", "id"), (5, "required", "id")]


def test_a_column_may_take_the_name_of_another() -> None:
    wanted = (ColumnSpec(name="s", source_name="n"),)
    frame, _, _ = read(packed(TABLE, "stream"), columns=wanted)
    assert frame.columns == ["s", POINTER]
    assert frame["s"].to_list()[:3] == [1, None, 3]


def test_seconds_that_would_wrap_are_refused() -> None:
    table = pa.table({"t": pa.array([2**62], pa.timestamp("s"))})
    with pytest.raises(BadInput) as raised:
        read(packed(table, "file"))
    assert (raised.value.code, raised.value.where) == ("unsupported_type", "x.arrow, column 't'")
    assert raised.value.found == "a value of column 't' that is beyond timestamp[ms]"


def test_dictionaries_of_lists_and_structs_are_their_values() -> None:
    texts = pa.array(["x", None, "y"]).dictionary_encode()
    lists = pa.ListArray.from_arrays([0, 2, 2, 3], texts)
    structs = pa.StructArray.from_arrays([texts, pa.array([1, 2, 3])], ["s", "n"])
    codes = pa.array([2, None, 0, 0], pa.int8())
    columns = {"l": pa.DictionaryArray.from_arrays(codes, lists), "s": pa.DictionaryArray.from_arrays(codes, structs)}
    frame, rejected, _ = read(packed(pa.table(columns), "stream"))
    assert rejected == []
    assert frame["l"].to_list() == [["y"], None, ["x", None], ["x", None]] * 2
    assert frame["s"].to_list() == [{"s": "y", "n": 3}, None, {"s": "x", "n": 1}, {"s": "x", "n": 1}] * 2


def test_what_arrow_cannot_cast_is_not_called_damage() -> None:
    lists = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([["x"]]))
    with pytest.raises(BadInput) as raised:
        read(packed(pa.table({"l": pa.ListArray.from_arrays([0, 1], lists)}), "stream"))
    assert raised.value.code == "unsupported"
    assert "Unsupported cast" in raised.value.found


@pytest.mark.parametrize("interval", ["month_interval", "day_time_interval", "month_day_nano_interval"])
@pytest.mark.parametrize("nested", [False, True])
def test_intervals_are_refused_by_name(interval: str, nested: bool) -> None:
    with pytest.raises(BadInput) as raised:
        read(_with_interval(interval, nested))
    assert (raised.value.code, raised.value.where) == ("unsupported_type", "x.arrow, column 'i'")


def _with_interval(interval: str, nested: bool) -> bytes:
    """A stream with a type that pyarrow reads but cannot name: the unit of its own interval, changed to that one."""
    own = pa.month_day_nano_interval()
    data = packed(pa.schema([pa.field("i", pa.list_(own) if nested else own)]).empty_table(), "stream")
    for place in range(8, len(data)):
        for unit in (0, 1, 2):
            changed = data[:place] + bytes([unit]) + data[place + 1 :]
            with contextlib.suppress(pa.ArrowException, OSError):
                if data[place] == 2 and interval in str(ipc.open_stream(changed).schema.field("i").type):
                    return changed
    raise AssertionError(f"pyarrow knows no {interval}")


@pytest.mark.parametrize("form", ["file", "stream"])
def test_damaged_objects_are_refused(form: str) -> None:
    whole = packed(TABLE, form)
    for data, code in [
        (b"", "empty_object"),
        (b"a,b\n1,2\n", "not_this_format"),
        (whole[: len(whole) // 2], "truncated"),
    ]:
        with pytest.raises(BadInput) as raised:
            read(data)
        assert raised.value.code == code


@pytest.mark.parametrize("form", ["file", "stream"])
def test_object_cut_anywhere_is_refused_or_told(form: str) -> None:
    whole = packed(TABLE, form)
    for end in range(8, len(whole), 8):
        try:
            assert read(whole[:end])[2] == ["no_end_marker"]
        except BadInput as error:
            assert error.code == "truncated"


def test_stream_without_end_marker_is_told() -> None:
    assert read(packed(TABLE, "stream")[:-8])[2] == ["no_end_marker"]


@pytest.mark.parametrize("form", ["file", "stream"])
def test_random_damage_is_never_more_than_bad_input(form: str) -> None:
    whole, dice = packed(TABLE, form), random.Random(2)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(8, len(data))] = dice.randrange(256)
        try:
            read(bytes(data))[0].write_ipc(io.BytesIO())
        except BadInput:
            refused += 1
    assert refused > 30


def test_sniff() -> None:
    assert FORMAT.sniff(packed(TABLE, "file"), "x") == 1.0
    assert FORMAT.sniff(packed(TABLE, "stream"), "x") >= 0.8
    assert FORMAT.sniff(b"\xff\xff\xff\xff\x01", "x.arrow") == 0.0
    assert FORMAT.sniff(b"a,b\n1,2\n", "x.arrow") == 0.0
