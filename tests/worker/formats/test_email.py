"""The e-mail reader: headers, bodies and attachments of single messages and of mbox files."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import Dribble, read, source_of, survives

from base_ops.core.errors import BadInput
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.email import FORMAT, reader

SIMPLE = (
    b'From: =?utf-8?q?J=C3=BCrgen?= <j@x.de>\nTo: z@y.com, "Doe, John" <d@y.com>\nSubject: =?ISO-8859-1?B?SWYgeW91?=\n'
    b" =?ISO-8859-2?B?IHJlYWQ=?=\nDate: Fri, 02 Jan 2026 03:04:05 +0100\nMessage-ID: <1@x>\n\nHello\nWorld\n"
)
MIXED = (
    b"From: a@b.c\nSubject: s\nDate: Fri, 2 Jan 2026 03:04:05 -0000\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/mixed; boundary="bb"\n\npreamble\n--bb\nContent-Type: text/plain; charset=iso-8859-1\n'
    b"Content-Transfer-Encoding: quoted-printable\n\nHall=F6chen=\n!\n--bb\nContent-Type: text/html\n\n<b>x</b>\n--bb\n"
    b"Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%e2%82%ac.pdf\n"
    b"Content-Transfer-Encoding: base64\n\naGVsbG8=\n--bb--\nepilogue\n"
)


def one(data: bytes, **spec: Any) -> dict[str, Any]:
    outcome = read(FORMAT, data, **spec)
    assert not outcome.rejected and outcome.lines == [1]
    return {name: value for name, value in outcome.rows[0].items() if value is not None}


def test_a_simple_message() -> None:
    row = one(SIMPLE)
    assert row["from"] == [{"name": "Jürgen", "address": "j@x.de"}]
    assert row["to"] == [{"name": None, "address": "z@y.com"}, {"name": "Doe, John", "address": "d@y.com"}]
    assert (row["subject"], row["message_id"], row["text"]) == ("If you read", "<1@x>", "Hello\nWorld\n")
    assert row["date"] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert json.loads(row["headers"])[1] == ["To", 'z@y.com, "Doe, John" <d@y.com>']
    assert "defects" not in row and "attachments" not in row


@pytest.mark.parametrize("newline", [b"\r\n", b"\r", b"\n"])
def test_line_ends_do_not_matter(newline: bytes) -> None:
    assert one(SIMPLE.replace(b"\n", newline)) == one(SIMPLE)


def test_bodies_and_attachments() -> None:
    row = one(MIXED)
    assert (row["text"], row["html"]) == ("Hallöchen!", "<b>x</b>")
    expected = {
        "name": "€.pdf",
        "content_type": "application/pdf",
        "size": 5,
        "sha256": hashlib.sha256(b"hello").hexdigest(),
    }
    assert row["attachments"] == [expected]
    assert row["date"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "defect"),
    [
        (b"Subject: x\nDate: someday\n\nb", "InvalidDate"),
        (b"Subject: x\nDate: Fri, 40 Jan 2026 03:04:05 +0000\n\nb", "InvalidDate"),
        (b"Subject: caf\xe9\n\nb", "HeaderNotAscii"),
        (b"Subject: x\nContent-Type: text/plain; charset=utf-8\n\ncaf\xe9", "WrongCharset"),
        (b"Subject: x\nContent-Type: text/plain; charset=nonsense\n\ncaf\xe9", "WrongCharset"),
        (b"Subject: x\nContent-Type: multipart/mixed\n\nb", "NoBoundaryInMultipartDefect"),
        (b"Subject: x\nno colon here\n\nb", "MissingHeaderBodySeparatorDefect"),
        (b"Subject: x\nContent-Transfer-Encoding: base64\n\n!!!!", "InvalidBase64CharactersDefect"),
        (b"Subject: =?nonsense?q?x=E9?=\n\nb", "WrongCharset"),
    ],
)
def test_what_is_malformed_is_named(data: bytes, defect: str) -> None:
    assert defect in one(data)["defects"]


def test_text_in_the_wrong_charset_is_not_lost() -> None:
    assert one(b"Subject: caf\xe9\n\nb")["subject"] == "café"
    assert one(b"Subject: caf\xc3\xa9\n\nb")["subject"] == "café"
    assert one(b"Subject: x\nContent-Type: text/plain; charset=utf-8\n\ncaf\xe9")["text"] == "café"


def test_an_attached_message_is_an_attachment() -> None:
    data = b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nFrom body\n--b--\n"
    inner = b"Subject: inner\n\nFrom body"
    attachment = one(data)["attachments"][0]
    assert (attachment["content_type"], attachment["size"]) == ("message/rfc822", len(inner))
    assert attachment["sha256"] == hashlib.sha256(inner).hexdigest()


def mbox(*messages: bytes) -> bytes:
    return b"".join(
        b"From me@x.de Fri Jan  2 03:04:05 2026\n" + m + (b"\n" if m.endswith(b"\n") else b"\n\n") for m in messages
    )


def test_mbox() -> None:
    body = b"Subject: two\n\n>From quoted\n>>From twice\nFrom the start, in 2026, no blank line before\n"
    data = mbox(SIMPLE, body, MIXED)
    outcome = read(FORMAT, data)
    assert [row["subject"] for row in outcome.rows] == ["If you read", "two", "s"]
    assert outcome.rows[1]["text"] == "From quoted\n>From twice\nFrom the start, in 2026, no blank line before\n\n"
    for number in outcome.lines:
        assert data.split(b"\n")[number - 1].startswith(b"From me")
    assert len({*outcome.lines}) == 3


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 60, 1000])
def test_places_do_not_depend_on_how_bytes_come(size: int, newline: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mbox(SIMPLE, b"no header\n", MIXED, SIMPLE).replace(b"\n", newline)
    whole = read(FORMAT, data)
    monkeypatch.setattr(reader, "_BLOCK_BYTES", size)
    again = read(FORMAT, data, Dribble)
    assert again.frame.equals(whole.frame) and again.rejected == whole.rejected
    assert [r.rule for r in whole.rejected] == ["no_header"] and len(whole.rows) == 3


def nested(depth: int) -> bytes:
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth))
    return b"Subject: x\n" + head + b"\ninnermost\n"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (nested(30), "too_deep"),
        (nested(1500), "too_deep"),
        (nested(5000), "too_complex"),
        (b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 2000, "too_many_parts"),
        (b"Subject: x\n\n" + b"x" * 3000, "record_too_long"),
        (b"Subject: " + b"x" * 70_000 + b"\n\nb", "header_too_long"),
        (nested(600) + b"x\n" * 200_000, "too_complex"),
        (b"To: " + b"(" * 50_000 + b"\n\nb", "too_deep"),
    ],
)
def test_hostile_messages_are_refused_and_their_neighbours_are_read(data: bytes, rule: str) -> None:
    limit = 2000 if rule == "record_too_long" else 1 << 26
    outcome = read(FORMAT, mbox(SIMPLE, data, SIMPLE), email={"max_message_bytes": limit})
    assert [r.rule for r in outcome.rejected] == [rule]
    assert len(outcome.rows) == 2


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\njust text\n", b"From x\n"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        read(FORMAT, data)


def test_a_single_message_is_refused_by_name() -> None:
    with pytest.raises(BadInput) as refused:
        read(FORMAT, nested(30))
    assert refused.value.code == "too_deep"


def test_detection() -> None:
    for data in (SIMPLE, MIXED, mbox(SIMPLE, MIXED), b"Received: from a\n by b\n" + SIMPLE):
        assert detect(source_of(data, "message")).format == "email"
    assert detect(source_of(b"Subject: x\nTo: y\n\nb", "m.eml")).format == "email"


WORDS = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=30)
    .map(str.strip)
    .filter(bool)
)
BODY = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0"),
    max_size=80,
)


@settings(max_examples=60)
@given(st.lists(st.tuples(WORDS, WORDS, BODY, st.lists(st.binary(max_size=30), max_size=3)), min_size=1, max_size=4))
def test_messages_come_back(rows: list[tuple[str, str, str, list[bytes]]]) -> None:
    made = []
    for subject, name, body, files in rows:
        message = EmailMessage()
        message["Subject"], message["From"] = subject, Address(name, "a", "b.c")
        message["Date"] = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        message.set_content(body, cte="base64")
        for number, content in enumerate(files):
            message.add_attachment(content, maintype="application", subtype="x", filename=f"{number}.bin")
        made.append(message.as_bytes())
    outcome = read(FORMAT, mbox(*made))
    assert not outcome.rejected
    for row, (subject, name, body, files) in zip(outcome.rows, rows, strict=True):
        assert row["text"] == (body if body.endswith("\n") else body + "\n")
        assert (" ".join(row["subject"].split()), " ".join(row["from"][0]["name"].split())) == (
            " ".join(subject.split()),
            " ".join(name.split()),
        )
        assert [f["sha256"] for f in row["attachments"] or []] == [
            hashlib.sha256(content).hexdigest() for content in files
        ]


@settings(max_examples=120)
@given(st.data())
def test_mutated_messages_are_survived(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([SIMPLE, MIXED, mbox(SIMPLE, MIXED)])))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 6))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"=?", b"?=", b"\n--bb", b"\n\nFrom "])
        )
    survives(FORMAT, bytes(whole))


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    survives(FORMAT, data)
    survives(FORMAT, b"Subject: x\nFrom: " + data)
    survives(FORMAT, b"Content-Type: " + data + b"\n\n" + base64.b64encode(data))
