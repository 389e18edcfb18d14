"""The syslog reader: RFC 5424, RFC 3164, counted frames."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import Dribble, read, source_of, survives

from base_ops.core.errors import BadInput
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.syslog import FORMAT, reader

PLAIN = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8"
NESTED = (
    '<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [a@32473 iut="3" eventSource="Appl\\"i\\]c\\\\" x="1" x="2"]'
    '[b@32473 class="high"] An event'
)
OLD = "<34>Oct 11 22:14:15 mymachine su[77]: 'su root' failed"


def one(text: str | bytes, **spec: Any) -> dict[str, Any]:
    outcome = read(FORMAT, text.encode() if isinstance(text, str) else text, **spec)
    assert not outcome.rejected
    return {name: value for name, value in outcome.rows[0].items() if value is not None}


def test_rfc_5424() -> None:
    assert one(PLAIN) == {
        "format": "rfc5424",
        "facility": 4,
        "facility_name": "auth",
        "severity": 2,
        "severity_name": "crit",
        "version": 1,
        "timestamp": datetime(2003, 10, 11, 22, 14, 15, 3000, tzinfo=UTC),
        "host": "mymachine.example.com",
        "app_name": "su",
        "msg_id": "ID47",
        "message": "'su root' failed for lonvick on /dev/pts/8",
    }


def test_structured_data() -> None:
    row = one(NESTED)
    assert json.loads(row["structured_data"]) == {
        "a@32473": {"iut": "3", "eventSource": 'Appl"i]c\\', "x": ["1", "2"]},
        "b@32473": {"class": "high"},
    }
    assert row["message"] == "An event"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<0>1 - - - - - -", {"facility": 0, "severity": 0}),
        ("<191>1 - - - - - -", {"facility": 23, "severity": 7, "facility_name": "local7", "severity_name": "debug"}),
        ("<34>1 - h - - - - ", {"host": "h", "message": ""}),
        (
            "<34>1 2003-08-24T05:14:15.000003-07:00 - - - - - x",
            {"timestamp": datetime(2003, 8, 24, 12, 14, 15, 3, tzinfo=UTC)},
        ),
        ("<34>1 - - - - - - \ufeffhé", {"message": "hé"}),
        ("<34>1 - - - - - [x@1] m", {"structured_data": '{"x@1":{}}', "message": "m"}),
        ('<34>1 - - - - - [x@1 a="\\n"] [m', {"structured_data": '{"x@1":{"a":"\\\\n"}}', "message": "[m"}),
        (
            OLD,
            {
                "format": "rfc3164",
                "timestamp_text": "Oct 11 22:14:15",
                "host": "mymachine",
                "app_name": "su",
                "proc_id": "77",
                "message": "'su root' failed",
            },
        ),
        (OLD[4:], {"format": "rfc3164", "app_name": "su"}),
        ("<34>Oct  1 22:14:15 h no tag here", {"message": "no tag here", "host": "h"}),
        (
            "2024-01-02T03:04:05.5+01:00 h a[1]: m",
            {"timestamp": datetime(2024, 1, 2, 2, 4, 5, 500000, tzinfo=UTC), "message": "m"},
        ),
    ],
)
def test_forms_of_a_message(text: str, expected: dict[str, Any]) -> None:
    row = one(text)
    assert {name: row.get(name) for name in expected} == expected
    assert "timestamp" in expected or "timestamp" not in row


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("nonsense", "syntax"),
        ("<192>1 - - - - - -", "priority"),
        ("<034>1 - - - - - -", "syntax"),
        ("<34>0 - - - - - -", "syntax"),
        ("<34>1 2003-10-11t22:14:15Z - - - - -", "syntax"),
        ("<34>1 2003-10-11T22:14:15.1234567Z - - - - -", "syntax"),
        ("<34>1 2003-02-30T22:14:15Z - - - - -", "type"),
        ("<34>1 - - - - - [x@1 a=b]", "syntax"),
        ("<34>1 - - - - - [x@1][x@1]", "structured_data"),
        ("<34>1 - - - - - [x@1", "syntax"),
        ("<34>Abc 11 22:14:15 h m", "type"),
        ("<34>1 - - - - - - \udcff", "encoding"),
        ("x" * 2000, "record_too_long"),
    ],
)
def test_a_bad_message_is_refused_and_its_neighbours_are_kept(text: str, rule: str) -> None:
    bad = text.encode("utf-8", "surrogateescape")
    outcome = read(FORMAT, PLAIN.encode() + b"\r\n" + bad + b"\n\n" + OLD.encode(), max_record_bytes=1000)
    assert outcome.faults == [(2, rule)] and outcome.lines == [1, 4]
    start = len(PLAIN) + 2
    assert (outcome.rejected[0].byte_start, outcome.rejected[0].byte_end) == (start, start + len(bad))


def test_the_year_of_old_messages_runs_on() -> None:
    stamps = ["Dec 30 10:00:00", "Dec 31 23:59:59", "Jan  1 00:00:01", "Dec 31 23:59:59", "Jan  2 00:00:00"]
    data = "".join(f"<34>{stamp} h m\n" for stamp in stamps).encode()
    outcome = read(FORMAT, data, syslog={"year": 2023, "utc_offset_minutes": 60})
    assert [row["timestamp"].year for row in outcome.rows] == [2023, 2023, 2023, 2023, 2024]
    assert outcome.rows[1]["timestamp"] == datetime(2023, 12, 31, 22, 59, 59, tzinfo=UTC)
    assert outcome.rows[4]["timestamp"] == datetime(2024, 1, 1, 23, tzinfo=UTC)
    assert read(FORMAT, b"<34>Feb 28 00:00:00 h m\n<34>Feb 29 00:00:00 h m\n", syslog={"year": 2023}).faults == [
        (2, "type")
    ]


def framed(*texts: str) -> bytes:
    return b"".join(b"%d %s" % (len(text.encode()), text.encode()) for text in texts)


def test_counted_frames() -> None:
    outcome = read(FORMAT, framed(PLAIN, "<34>1 - h - - - - two\nlines é", NESTED))
    assert outcome.lines == [1, 2, 3] and not outcome.rejected
    assert outcome.rows[1]["message"] == "two\nlines é"


@pytest.mark.parametrize(
    ("bad", "rule"),
    [(b"junk ", "framing"), (b"5 <34>1 - - - - - - long", "syntax"), (b"5000 <34>1 -", "record_too_long")],
)
def test_a_bad_frame_is_refused_and_the_next_is_found(bad: bytes, rule: str) -> None:
    outcome = read(FORMAT, framed(PLAIN) + bad + framed(OLD, OLD), max_record_bytes=1000)
    assert outcome.rejected[0].rule == rule
    assert [row["message"] for row in outcome.rows][-1] == "'su root' failed"


def test_a_cut_off_frame_is_refused() -> None:
    assert read(FORMAT, framed(PLAIN, PLAIN)[:-5]).faults == [(2, "framing")]


@pytest.mark.parametrize(
    "data", [framed(PLAIN, NESTED, OLD) * 3 + b"junk" + framed(OLD), "\n".join([PLAIN, "x", OLD, NESTED] * 5).encode()]
)
@pytest.mark.parametrize("size", [1, 37, 500])
def test_places_do_not_depend_on_how_bytes_come(data: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(FORMAT, data)
    monkeypatch.setattr(reader, "_BLOCK_BYTES", size)
    again = read(FORMAT, data, Dribble)
    assert again.frame.equals(whole.frame) and again.rejected == whole.rejected


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\n\n"])
def test_what_is_no_syslog_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        read(FORMAT, data)


def test_detection() -> None:
    for data in (PLAIN, f"{PLAIN}\n{OLD}\n{NESTED}\n", f"{OLD}\n" * 5, f"{OLD[4:]}\n" * 5):
        assert detect(source_of(data.encode(), "messages")).format == "syslog"
    assert detect(source_of(framed(PLAIN, OLD), "messages")).format == "syslog"


NAME = st.text("abcXYZ019.-@", min_size=1, max_size=12).filter(lambda text: text != "-")
PARAMS = st.dictionaries(
    NAME, st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"), max_size=10), max_size=3
)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 191),
            NAME,
            st.dictionaries(NAME, PARAMS, max_size=3),
            st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_counted_messages_come_back(rows: list[Any]) -> None:
    texts = []
    for pri, host, data, message in rows:
        elements = "".join(
            f"[{n}{''.join(f' {k}={chr(34)}{escaped(v)}{chr(34)}' for k, v in p.items())}]" for n, p in data.items()
        )
        texts.append(f"<{pri}>1 - {host} - - - {elements or '-'} \ufeff{message}")
    outcome = read(FORMAT, framed(*texts))
    assert not outcome.rejected
    for row, (pri, host, data, message) in zip(outcome.rows, rows, strict=True):
        assert (row["facility"] * 8 + row["severity"], row["host"], row["message"]) == (pri, host, message)
        assert json.loads(row["structured_data"] or "{}") == data


@settings(max_examples=80)
@given(st.data())
def test_mutated_messages_are_survived(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([framed(PLAIN, NESTED, OLD), f"{PLAIN}\n{NESTED}\n{OLD}\n".encode()])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
    survives(FORMAT, bytes(whole))


def test_hostile_structured_data_is_read_in_no_time() -> None:
    for text in (
        '<34>1 - - - - - [x a="' + "\\" * 300_000,
        "<34>1 - - - - - " + "[x]" * 100_000,
        "<34>1 - - - - - " + '[x a="' * 50_000,
    ):
        outcome = read(FORMAT, PLAIN.encode() + b"\n" + text.encode())
        assert len(outcome.rows) + len(outcome.rejected) == 2
