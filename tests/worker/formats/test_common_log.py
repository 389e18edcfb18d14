"""The reader of web server logs: every line by its parts, or refused."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import Dribble, read, source_of, survives

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.formats import common_log
from base_ops.worker.formats.common_log import FORMAT
from base_ops.worker.formats.detect import detect

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'
COMBINED = COMMON + ' "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"'


def line(text: str) -> dict[str, Any]:
    outcome = read(FORMAT, f"{COMMON}\n{text}\n{COMMON}".encode())
    assert not outcome.rejected and outcome.lines == [1, 2, 3]
    return outcome.rows[1]


def test_combined() -> None:
    assert line(COMBINED) == {
        "host": "127.0.0.1",
        "ident": None,
        "user": "frank",
        "time": datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC),
        "method": "GET",
        "path": "/apache_pb.gif",
        "protocol": "HTTP/1.0",
        "request": None,
        "status": 200,
        "bytes": 2326,
        "referer": "http://www.example.com/start.html",
        "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COMMON, {"referer": None, "user_agent": None}),
        (COMMON + "\r", {"bytes": 2326}),
        (COMMON.replace("2326", "-"), {"bytes": None, "status": 200}),
        (COMMON.replace("2326", "0"), {"bytes": 0}),
        (COMMON.replace("2326", "9223372036854775807"), {"bytes": 2**63 - 1}),
        (COMBINED.replace("(Win98", '\\"x\\" \\\\'), {"user_agent": 'Mozilla/4.08 [en] \\"x\\" \\\\; I ;Nav)'}),
        (COMMON + ' "-" "-"', {"referer": None, "user_agent": None}),
        (COMMON + ' "" ""', {"referer": "", "user_agent": ""}),
        (COMMON.replace("GET /apache_pb.gif HTTP/1.0", "-"), {"method": None, "request": None, "status": 200}),
        (COMMON.replace("GET /apache_pb.gif HTTP/1.0", ""), {"method": None, "request": ""}),
        (COMMON.replace("/apache_pb.gif", "/a b"), {"method": None, "path": None, "request": "GET /a b HTTP/1.0"}),
        (COMMON.replace(" HTTP/1.0", ""), {"request": "GET /apache_pb.gif"}),
        (COMMON.replace("GET", "M-SEARCH"), {"method": "M-SEARCH", "path": "/apache_pb.gif", "request": None}),
        (COMMON.replace("GET /apache_pb.gif HTTP/1.0", "\\x16\\x03\\x01"), {"request": "\\x16\\x03\\x01"}),
        (COMMON.replace("gif HTTP", 'gif\\" HTTP'), {"path": '/apache_pb.gif\\"', "protocol": "HTTP/1.0"}),
        (COMMON.replace("frank", "Frank van Dyk"), {"user": "Frank van Dyk"}),
        (COMMON.replace("frank", '"frank"'), {"user": '"frank"'}),
        (COMMON.replace("127.0.0.1", "2001:db8::1"), {"host": "2001:db8::1"}),
        (COMMON.replace("-0700", "+0530"), {"time": datetime(2000, 10, 10, 8, 25, 36, tzinfo=UTC)}),
        (COMMON.replace("/apache_pb.gif", "/ümläut/😀"), {"path": "/ümläut/😀"}),
    ],
)
def test_forms_of_a_line(text: str, expected: dict[str, Any]) -> None:
    row = line(text)
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("nonsense", "syntax"),
        (COMMON + " more", "syntax"),
        (COMMON + ' "only one"', "syntax"),
        (COMMON[:-6], "syntax"),
        (COMMON.replace("200", "20"), "syntax"),
        (COMMON.replace("10/Oct", "31/Feb"), "type"),
        (COMMON.replace("13:55:36", "13:55:60"), "type"),
        (COMMON.replace("/2000", "/20"), "type"),
        (COMMON.replace("2326", "9223372036854775808"), "type"),
        (COMMON.replace("GET", 'GET "x"'), "syntax"),
        ("x" * 2000, "record_too_long"),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_are_kept(text: str, rule: str) -> None:
    data = f"{COMMON}\n{text}\n\n{COMBINED}\n".encode()
    outcome = read(FORMAT, data, max_record_bytes=1000)
    assert outcome.faults == [(2, rule)] and outcome.lines == [1, 4]
    start = len(COMMON) + 1
    assert (outcome.rejected[0].byte_start, outcome.rejected[0].byte_end) == (start, start + len(text))


def test_bytes_that_are_no_text_are_refused() -> None:
    bad = COMMON.encode().replace(b"frank", b"fr\xff")
    outcome = read(FORMAT, b"\n".join([COMMON.encode(), bad, COMBINED.encode()]))
    assert outcome.faults == [(2, "encoding")] and outcome.lines == [1, 3]
    assert read(FORMAT, bad, encoding="latin-1").rows[0]["user"] == "frÿ"


def test_comments_skipped_lines_and_a_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf" + COMMON.encode() + b"\n# note\n \n" + COMBINED.encode() + b"\n"
    assert read(FORMAT, data, comment="#").lines == [1, 4]
    assert read(FORMAT, data, comment="#", skip_lines=1).lines == [4]
    assert read(FORMAT, data).faults == [(2, "syntax")]


def test_columns_can_be_declared() -> None:
    outcome = read(
        FORMAT,
        f"{COMMON}\n{COMBINED}\n".encode(),
        columns=[{"name": "ip", "source_name": "host"}, {"name": "referer", "required": True}],
    )
    assert outcome.rows == [{"ip": "127.0.0.1", "referer": "http://www.example.com/start.html"}]
    assert outcome.faults == [(1, "required")]
    with pytest.raises(BadInput, match="no column"):
        read(FORMAT, COMMON.encode(), columns=[{"name": "nothing"}])


@pytest.mark.parametrize("data", [b"", b"\n \n", b"hello\nworld\n", b"a,b\n1,2\n"])
def test_what_is_no_log_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        read(FORMAT, data)


@pytest.mark.parametrize("encoding", ["utf-16", "nonsense", "hex", "base64"])
def test_impossible_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(ConfigError):
        read(FORMAT, COMMON.encode(), encoding=encoding)


def test_places_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "\n".join([COMMON, "bad", COMBINED, "", COMMON.replace("frank", "a b")] * 40).encode()
    whole = read(FORMAT, data)
    from base_ops.worker.formats.common_log import reader

    monkeypatch.setattr(reader, "_BLOCK_BYTES", 500)
    again = read(FORMAT, data, Dribble)
    assert again.frame.equals(whole.frame) and again.rejected == whole.rejected
    assert whole.faults == [(5 * n + 2, "syntax") for n in range(40)]


def test_detection() -> None:
    for data in (COMMON, COMBINED, f"{COMMON}\n{COMBINED}\n" * 9):
        assert detect(source_of(data.encode(), "access")).format == "common_log"
    assert common_log.FORMAT.sniff(b"a - b [x] c", "access.clf") == 0


WORD = st.text(
    st.characters(exclude_characters=' "[]\\\r\n', exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
    min_size=1,
    max_size=10,
).filter(lambda t: t != "-")
QUOTED = st.text(st.characters(exclude_characters='"\\\r\n', exclude_categories=("Cs", "Cc")), max_size=20).filter(
    lambda t: t != "-"
)
ROW = st.tuples(
    WORD,
    WORD,
    WORD,
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    WORD,
    st.integers(100, 999),
    st.integers(0, 10**12),
    QUOTED,
    QUOTED,
)


@settings(max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_lines_come_back(rows: list[Any]) -> None:
    text = ""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    for host, ident, user, when, path, status, size, referer, agent in rows:
        stamp = f"{when.day:02d}/{months[when.month - 1]}/{when:%Y:%H:%M:%S} +0000"
        text += f'{host} {ident} {user} [{stamp}] "GET {path} HTTP/1.1" {status} {size} "{referer}" "{agent}"\n'
    outcome = read(FORMAT, text.encode())
    assert not outcome.rejected and outcome.lines == list(range(1, len(rows) + 1))
    names = ("host", "ident", "user", "time", "path", "status", "bytes", "referer", "user_agent")
    expected = [(*r[:3], r[3].replace(microsecond=0, tzinfo=UTC), *r[4:]) for r in rows]
    assert [tuple(row[n] for n in names) for row in outcome.rows] == expected


@settings(max_examples=80)
@given(st.data())
def test_mutated_logs_are_survived(data: st.DataObject) -> None:
    whole = bytearray(f"{COMMON}\n{COMBINED}\n{COMBINED}\n".encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
    outcome = survives(FORMAT, bytes(whole))
    if outcome is not None:
        lines = [line for line in bytes(whole).split(b"\n") if line.strip()]
        assert len(outcome.rows) + len(outcome.rejected) == len(lines)


def test_hostile_lines_are_read_in_no_time() -> None:
    hostile = (' "' * 200_000 + "\n" + '\\"' * 200_000 + "\n" + "[" * 400_000 + "\n").encode()
    data = COMMON.encode() + b"\n" + hostile
    outcome = read(FORMAT, data, io.BytesIO)
    assert outcome.lines == [1] and len(outcome.rejected) == 3
