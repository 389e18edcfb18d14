"""One message: its headers and bodies decoded, its attachments described (RFC 5322, 2045 to 2047, 2231)."""

from __future__ import annotations

import email.parser
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC
from email import policy
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from base_ops.worker.formats.records.values import IntText, Refused, to_json

_MAX_HEADER = 1 << 16
_POLICY = policy.compat32.clone(mangle_from_=False)
_MAX_WORK = 8_000_000
"""Lines times possible depth: what the parser has to look at."""
_ADDRESSES = ("from", "sender", "to", "cc", "bcc", "reply_to")
_TEXTS = ("message_id", "subject", "in_reply_to")
_HIGH = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_NESTS = re.compile(rb"boundary[*0-9]*\s*=|message/", re.I)
TYPES = {"date": "timestamp_utc"}
COLUMNS = (
    *("message_id", "date", "subject", *_ADDRESSES, "in_reply_to", "text", "html", "attachments", "headers"),
    "defects",
)


def columns_of(data: bytes, max_parts: int, max_depth: int) -> dict[str, Any]:
    """The columns of one message. Raises Refused."""
    depth = len(_NESTS.findall(data))
    if (data.count(b"\n") + data.count(b"\r")) * max(min(depth, 1000), 1) > _MAX_WORK:
        raise Refused("too_complex", "the message has too many lines and nested parts")
    try:
        message = email.parser.BytesParser(policy=_POLICY).parsebytes(data)
        parts = list(_walk(message, max_parts, max_depth))
        return _columns(message, parts)
    except RecursionError:
        raise Refused("too_deep", f"parts are nested more than {max_depth} deep") from None


def _walk(message: Message, max_parts: int, max_depth: int) -> Iterator[Message]:
    """All parts, outer ones first. An attached message is one part, of the bytes the parser would write."""
    stack, count = [(message, 1)], 0
    while stack:
        part, depth = stack.pop()
        count += 1
        if count > max_parts:
            raise Refused("too_many_parts", f"the message has more than {max_parts} parts")
        if depth > max_depth:
            raise Refused("too_deep", f"parts are nested more than {max_depth} deep")
        yield part
        if part.is_multipart() and part.get_content_maintype() != "message":
            stack.extend((child, depth + 1) for child in reversed(_children(part)))


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _columns(message: Message, parts: list[Message]) -> dict[str, Any]:
    defects = [type(defect).__name__ for part in parts for defect in part.defects]
    headers = [(_clean(name), _unfolded(value, defects)) for name, value in message.raw_items()]
    if not headers:
        raise Refused("no_header", "there is no header field")
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    by_name: dict[str, list[str]] = {}
    for name, text in headers:
        if len(text) > _MAX_HEADER:
            raise Refused("header_too_long", f"a header is longer than {_MAX_HEADER} characters", name[:100])
        by_name.setdefault(name.lower().replace("-", "_"), []).append(text)
    for column in _TEXTS:
        if column in by_name:
            row[column] = _decoded(by_name[column][0], defects)
    for column in _ADDRESSES:
        row[column] = _addresses(by_name.get(column, []), defects)
    if "date" in by_name:
        row["date"] = _date(by_name["date"][0], defects)
    row["headers"] = to_json([[name, _decoded(text, defects)] for name, text in headers])
    attachments = []
    for part in parts:
        kind = part.get_content_type()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            continue
        is_body = part.get_content_disposition() != "attachment" and kind in ("text/plain", "text/html")
        column = "text" if kind == "text/plain" else "html"
        if is_body and row[column] is None and part.get_filename() is None:
            row[column] = _body(part, defects)
        else:
            attachments.append(_attachment(part, kind, defects))
    row["attachments"] = attachments or None
    row["defects"] = ", ".join(dict.fromkeys(defects)) or None
    return row


def _unfolded(value: Any, defects: list[str]) -> str:
    """A header value on one line; bytes above 127, which may not be there, as UTF-8 or latin-1."""
    text = re.sub(r"(\r\n?|\n)[ \t]?", " ", str(value))
    raw = text.encode("utf-8", "surrogateescape")
    if raw.isascii():
        return text
    defects.append("HeaderNotAscii")
    return _charset_text(raw, None, [])


def _decoded(text: str, defects: list[str]) -> str:
    """A text with its encoded words decoded (RFC 2047)."""
    if "=?" not in text:
        return text
    try:
        words = decode_header(text)
    except Exception:  # the library raises several kinds for words that are none
        defects.append("InvalidEncodedWord")
        return text
    made = [w if isinstance(w, str) else _charset_text(w, charset or "utf-8", defects) for w, charset in words]
    return _clean("".join(made))


def _charset_text(data: bytes, charset: str | None, defects: list[str]) -> str:
    """Bytes as text: by their charset, else as UTF-8, else byte by byte (latin-1)."""
    for codec in (charset, "utf-8"):
        try:
            if codec:
                return data.decode(codec)
        except (UnicodeDecodeError, LookupError, ValueError, TypeError):
            defects.append("WrongCharset")
    return data.decode("latin-1")


def _clean(text: str) -> str:
    """Without lone surrogates, in which the parser keeps bytes that are no ASCII."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return (
            _charset_text(text.encode("utf-8", "surrogatepass"), None, []) if _HIGH.search(text) else _unescaped(text)
        )
    return text


def _unescaped(text: str) -> str:
    return _charset_text(text.encode("utf-8", "surrogateescape"), None, [])


def _addresses(texts: list[str], defects: list[str]) -> list[dict[str, Any]] | None:
    found = []
    for name, address in getaddresses(texts):
        if name or address:
            found.append({"name": _decoded(name, defects) or None, "address": address or None})
    if not found and any(text.strip() for text in texts):
        defects.append("InvalidAddress")
    return found or None


def _date(text: str, defects: list[str]) -> str | None:
    try:
        when = parsedate_to_datetime(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        defects.append("InvalidDate")
        return None
    return when.isoformat().replace("+00:00", "Z")


def _payload(part: Message, defects: list[str]) -> bytes:
    """The content, its transfer encoding undone."""
    if part.is_multipart():  # an attached message
        return b"".join(child.as_bytes() for child in _children(part))
    before = len(part.defects)
    data = part.get_payload(decode=True)
    defects += [type(defect).__name__ for defect in part.defects[before:]]
    return data if isinstance(data, bytes) else b""


def _body(part: Message, defects: list[str]) -> str:
    data = _payload(part, defects)
    charset = part.get_param("charset", "us-ascii")
    name = charset[2] if isinstance(charset, tuple) else str(charset)
    text = _charset_text(data, name.strip("\"' "), defects)
    return _clean(text.replace("\r\n", "\n").replace("\r", "\n"))


def _attachment(part: Message, kind: str, defects: list[str]) -> dict[str, Any]:
    data = _payload(part, defects)
    name = part.get_filename()
    return {
        "name": None if name is None else _decoded(_clean(name), defects),
        "content_type": _clean(kind),
        "size": IntText(str(len(data))),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
