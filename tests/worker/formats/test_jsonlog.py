"""JSON logs: recognised only where sure, their time a timestamp, other lines refused one by one."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect, open_reader
from base_ops.worker.formats.jsonlog import FORMAT

MS = 1531171074631
AT = datetime(2018, 7, 9, 21, 17, 54, 631000, UTC)
ISO = "2018-07-09T21:17:54.631Z"
LOGS: list[tuple[str, dict[str, Any], str]] = [
    ("bunyan", {"name": "a", "hostname": "h", "pid": 1, "level": 30, "msg": "m", "time": ISO, "v": 0}, "time"),
    ("pino", {"level": 30, "time": MS, "pid": 1, "hostname": "h", "msg": "m"}, "time"),
    ("ecs", {"@timestamp": ISO, "log.level": "info", "message": "m", "ecs.version": "1.2.0"}, "@timestamp"),
    ("ecs", {"@timestamp": ISO, "log": {"level": "info"}, "message": "m", "ecs": {"version": "8.0"}}, "@timestamp"),
    ("logstash", {"@timestamp": ISO, "@version": "1", "message": "m", "level": "INFO"}, "@timestamp"),
    ("gelf", {"version": "1.1", "host": "h", "short_message": "m", "timestamp": MS / 1000, "level": 6}, "timestamp"),
    ("docker", {"log": "m\n", "stream": "stdout", "time": ISO}, "time"),
    ("cloudwatch", {"timestamp": MS, "message": "m", "ingestionTime": MS + 5}, "timestamp"),
    ("structlog", {"event": "m", "level": "info", "timestamp": ISO}, "timestamp"),
]


def source(data: bytes) -> ByteSource:
    return ByteSource("x.log", len(data), lambda: io.BytesIO(data))


def lines(*records: dict[str, Any] | str) -> bytes:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records).encode()


@pytest.mark.parametrize(("convention", "record", "time"), LOGS)
def test_conventions(convention: str, record: dict[str, Any], time: str) -> None:
    data = lines(record, record, record)
    assert detect(source(data)).format == "jsonlog"
    reader = open_reader(source(data), ReadSpec())
    frame = pl.concat([b.frame for b in reader.batches()])
    assert reader.findings[0].data == {"convention": convention}
    assert frame.schema == {**reader.schema, "_line": pl.Int64()}
    assert frame[time].to_list() == [AT] * 3
    for key in record.keys() & {"level", "log.level"}:
        assert frame[key].to_list() == [record[key]] * 3


def test_lines_that_are_no_json_are_refused() -> None:
    record = LOGS[1][1]
    data = lines(record, "Traceback (most recent call last):", record, "  boom", record)
    assert detect(source(data)).format == "jsonlog"
    batches = list(open_reader(source(data), ReadSpec()).batches())
    assert [n for b in batches for n in b.frame["_line"]] == [1, 3, 5]
    assert [(r.line, r.rule) for b in batches for r in b.rejected] == [(2, "syntax"), (4, "syntax")]


@pytest.mark.parametrize("time", [-1, 253402300800000, 9223372036854775807])
def test_a_number_that_is_no_time_is_refused(time: int) -> None:
    record = LOGS[1][1]
    batches = list(FORMAT.read(source(lines(record, {**record, "time": time}, record)), ReadSpec()).batches())
    assert [n for b in batches for n in b.frame["_line"]] == [1, 3]
    assert [(r.line, r.rule, r.column) for b in batches for r in b.rejected] == [(2, "type", "time")]


def test_declared_columns_are_not_converted() -> None:
    spec = ReadSpec(columns=(ColumnSpec(name="time", type="int64"),))
    reader = FORMAT.read(source(lines(LOGS[1][1])), spec)
    assert [b.frame["time"].to_list() for b in reader.batches()] == [[MS]]


@pytest.mark.parametrize(
    "record",
    [
        {"a": 1},
        {"timestamp": MS, "message": "m"},
        {"level": "info", "time": MS, "msg": "m"},
        {"event": "click", "level": "3", "timestamp": "yesterday"},
        {"log": "x", "stream": "river", "time": ISO},
        {"version": "2", "host": "h", "short_message": "m", "timestamp": 1},
    ],
)
def test_what_is_not_surely_a_log_stays_ndjson(record: dict[str, Any]) -> None:
    data = lines(record, record, record)
    assert FORMAT.sniff(data, "x.log") == 0.0
    assert detect(source(data)).format == "ndjson"
    with pytest.raises(BadInput) as raised:
        FORMAT.read(source(data), ReadSpec())
    assert raised.value.code == "not_this_format"


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b), max_size=20), st.sampled_from(LOGS))
def test_no_line_is_lost(strangers: list[bytes], log: tuple[str, dict[str, Any], str]) -> None:
    data = lines(log[1]) + b"\n".join(strangers)
    batches = list(FORMAT.read(source(data), ReadSpec()).batches())
    found = sum(b.frame.height + len(b.rejected) for b in batches)
    assert found == 1 + sum(bool(line.strip(b" \t\r")) for line in strangers)
