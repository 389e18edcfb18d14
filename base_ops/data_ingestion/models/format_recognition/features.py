"""What the model sees of an object: numbers taken of its first 64 KiB. The name is none of them, since names lie.

Text in UTF-16 or UTF-32 is looked at as UTF-8, so that the encoding does not hide the structure.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from base_ops.data_ingestion.models.format_recognition.wire import msgpack_share, protobuf_share

HEAD_BYTES = 1 << 16
_TEXT_BYTES = 1 << 14
_LINES = 100
_LINE_BYTES = 1000

_MAGIC = {
    "gzip": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18",
    "zip": b"PK\x03\x04", "ole": b"\xd0\xcf\x11\xe0", "tiff_le": b"II", "tiff_be": b"MM\0", "parquet": b"PAR",
    "orc": b"ORC", "arrow": b"ARROW1", "stream": b"\xff\xff\xff\xff", "avro": b"Obj\x01", "pdf": b"%PDF",
}  # fmt: skip
_DELIMITERS = {"comma": b",", "semicolon": b";", "tab": b"\t", "pipe": b"|", "caret": b"^", "tilde": b"~",
               "colon": b":", "space": b" ", "soh": b"\x01"}  # fmt: skip
_SIGNS = b"{}[]<>()=:\"',;|/\\#&@.-_+*$%!?~^`"
_CLASSES = {
    "letters": b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digits": b"0123456789",
    "blank": b" \t",
    "line_ends": b"\r\n",
    "nul": b"\0",
    "control": bytes(b for b in range(1, 32) if b not in b"\t\r\n"),
    "high": bytes(range(128, 256)),
    "ebcdic": bytes([0x40, *range(0x81, 0x8A), *range(0x91, 0x9A), *range(0xA2, 0xAA), *range(0xC1, 0xCA),
                     *range(0xD1, 0xDA), *range(0xE2, 0xEA), *range(0xF0, 0xFA)]),
}  # fmt: skip
_LINE = {
    "object": rb"\s*\{.*\}\s*$",
    "brace": rb"\s*[{}]",
    "bracket": rb"\s*[\[\]]",
    "tag": rb"\s*<[A-Za-z/!?]",
    "comment": rb"\s*#",
    "item": rb"\s*- ",
    "dashes": rb"---",
    "pair": rb"\s*[\"']?[\w./\- ]{1,60}[\"']?:(?:\s|$)",
    "json_pair": rb'\s*"[^"]*"\s*:',
    "equals": rb"\s*[\w.\-\"]{1,60}\s*=",
    "typed": rb"\s*[\w.\-\"]{1,60}\s*=\s*(?:[\"'\[{]|[+-]?\d[\d.:TZ+_eE-]*\s*(?:#|$)|true\b|false\b)",
    "section": rb"\s*\[{1,2}[\w.\"\- ]+\]{1,2}\s*(?:#|$)",
    "field": rb"[A-Z][A-Za-z\-]{1,40}: \S",
    "indent": rb"[ \t]+\S",
    "priority": rb"(?:\d+ )?<\d{1,3}>",
    "bsd_time": rb"(?:<\d+>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
    "iso_time": rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d",
    "access": rb"\S+ \S+ .{1,40}\[\d\d?/[A-Z][a-z]{2}/\d{4}:",
    "tag_field": rb":\d\d[A-Z]?:",
    "block": rb"\{[1-5]:",
    "fix": rb".{0,80}?8=FIXT?\.\d",
    "statement": rb"(?i)\s*(?:insert|create|drop|alter|set|copy|update|begin|commit|lock|unlock|values|use|replace)\b",
    "sql_comment": rb"\s*(?:--|/\*)",
    "tuple": rb"\s*\(.*\)[,;]\s*$",
    "quoted": rb"\s*\"",
    "number_first": rb"\s*[+-]?\d",
    "prose": rb"(?=[^,;|\t]*$)(?:\S+ ){5,}\S+$|.*\w{2,} \w{2,} \w{2,}.*[.:,?!]$",
    "blank": rb"\s*$",
    "one_word": rb"\S+$",
}
_INSIDE = {
    "db2_stamp": rb"\b\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d",
    "db2_number": rb"(?:^|,)[+-]\d{2,}\.\d*(?=,|\r?$)",
    "json_key": rb'"\w+"\s*:\s',
    "xml_end": rb"</",
    "fix_tag": rb"[\x01|^]\d{1,4}=",
    "aligned": rb"\S {2,}\S",
}
_WORDS = (
    b"<?xml", b"xmlns", b"Envelope", b"schemas.xmlsoap.org", b"soap-envelope", b"<FIXML", b"fixprotocol.org", b"FpML",
    b"fpml.org", b"iso:20022", b"<Document", b'"jsonapi"', b'"data"', b'"attributes"', b'"relationships"', b'"type"',
    b'"id"', b'"errors"', b'"level"', b'"severity"', b'"message"', b'"msg"', b'"timestamp"', b'"@timestamp"', b'"time"',
    b'"ts"', b'"log"', b'"ecs', b'"@version"', b'"hostname"', b'"pid"', b'"short_message"', b'"stream"',
    b'"ingestionTime"', b'"event"', b"INSERT INTO", b"CREATE TABLE", b"VALUES", b"COPY ", b":20:", b":60F:",
    b":61:", b":32A:", b"8=FIX", b"35=", b"10=", b"PAR1", b"ORC", b"ARROW1", b"avro.schema", b"xl/", b"word/",
    b"[Content_Types]", b"W\0o\0r\0k\0b\0o\0o\0k\0", b"B\0o\0o\0k\0", b"W\0o\0r\0d\0", b"%PDF", b" obj", b"PK\x03\x04",
    b"ustar", b"From:", b"Subject:", b"Message-ID", b"Received:", b"MIME-Version", b"From ", b"%YAML", b" HTTP/1",
    b"GET ", b"<html", b"def ", b"import ", b"return ", b"function", b"{% ", b"${",
)  # fmt: skip

FEATURES: tuple[str, ...] = (
    *(f"magic_{name}" for name in _MAGIC),
    "magic_tar",
    *(f"bytes_{i:02x}" for i in range(0, 256, 8)),
    *(f"share_{name}" for name in _CLASSES),
    *(f"share_{chr(sign)}" for sign in _SIGNS),
    "entropy", "wide", "utf8", "first_sign", "last_sign", "msgpack", "protobuf", "json_tokens",
    "json_lines", "json_api", "lines", "line_bytes", "line_spread", "line_same", "words_per_line",
    *(f"{what}_{name}" for name in _DELIMITERS for what in ("count", "same", "mean")),
    *(f"line_{name}" for name in _LINE),
    *(f"in_{name}" for name in _INSIDE),
    *(f"word_{word.decode().strip(chr(0)).replace(chr(0), '')}" for word in _WORDS),
)  # fmt: skip

_LINE_PATTERNS = [re.compile(pattern) for pattern in _LINE.values()]
_INSIDE_PATTERNS = [re.compile(pattern, re.M) for pattern in _INSIDE.values()]
_JSON_TOKENS = re.compile(rb'(?:\s*(?:"(?:[^"\\]|\\.)*+"|-?\d[\d.eE+-]*+|true|false|null|[\[\]{},:]))*+\s*')
_JSON_API = re.compile(rb'\s*\{\s*"(?:jsonapi|data|links|included|meta|errors)"\s*:\s*[\[{]')
_IN_QUOTES = re.compile(rb'"[^"\n]*"')


def features_of(head: bytes) -> NDArray[np.float64]:
    """The features of an object that begins with `head`, in the order of FEATURES; 0 where there is nothing to see."""
    head = head[:HEAD_BYTES]
    text, wide = _narrow(head)
    values = [float(head.startswith(magic)) for magic in _MAGIC.values()] + [float(head[257:262] == b"ustar")]
    counts = np.bincount(np.frombuffer(head, np.uint8), minlength=256) / max(1, len(head))
    values += counts.reshape(32, 8).sum(axis=1).tolist()
    narrow = np.bincount(np.frombuffer(text, np.uint8), minlength=256) / max(1, len(text))
    values += [float(narrow[list(members)].sum()) for members in _CLASSES.values()]
    values += narrow[list(_SIGNS)].tolist()
    some = counts[counts > 0]
    stripped = text.strip()
    values += [
        float(-(some * np.log2(some)).sum()), float(wide), _utf8(text),
        float(stripped[0]) if stripped else -1.0, float(stripped[-1]) if stripped else -1.0,
        msgpack_share(head), protobuf_share(head), *_json_features(text[:_TEXT_BYTES]),
    ]  # fmt: skip
    values += _line_features(text[:_TEXT_BYTES])
    values += [float(min(5, text.count(word))) for word in _WORDS]
    return np.array(values)


def _narrow(head: bytes) -> tuple[bytes, int]:
    """The text as UTF-8, and how many bytes a character had."""
    if head.startswith(b"\xef\xbb\xbf"):
        return head[3:], 1
    for mark, encoding, width in ((b"\xff\xfe\0\0", "utf-32-le", 4), (b"\0\0\xfe\xff", "utf-32-be", 4),
                                  (b"\xff\xfe", "utf-16-le", 2), (b"\xfe\xff", "utf-16-be", 2)):  # fmt: skip
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace").encode(errors="replace"), width
    probe = head[:4096]
    if len(probe) > 3:
        even, odd = (probe[i::2].count(0) / (len(probe) / 2) for i in (0, 1))
        if max(even, odd) > 0.6 and min(even, odd) < 0.05:
            encoding = "utf-16-be" if even > odd else "utf-16-le"
            return head.decode(encoding, "replace").encode(errors="replace"), 2
    return head, 1


def _utf8(text: bytes) -> float:
    """1 for UTF-8 with characters beyond ASCII, 0.5 for ASCII, 0 for neither; the end may be cut."""
    if text.isascii():
        return 0.5
    try:
        text[:-3].decode()
    except UnicodeDecodeError:
        return 0.0
    return 1.0


def _json_features(text: bytes) -> list[float]:
    """How far the text can be cut into JSON's tokens, the share of lines that are objects, and a look at JSON:API."""
    tokens = _JSON_TOKENS.match(text[:4096])
    lines = [line for line in text.split(b"\n", 20)[:20] if line.strip()]
    lines = lines[:-1] if len(lines) > 1 else lines
    objects = sum(_is_object(line) for line in lines)
    end = tokens.end() if tokens else 0
    return [end / max(1, min(len(text), 4096)), objects / max(1, len(lines)), float(_JSON_API.match(text) is not None)]


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line_features(text: bytes) -> list[float]:
    lines = [line[:_LINE_BYTES] for line in re.split(rb"\r\n|\n|\r", text)[: _LINES + 1]]
    if len(lines) > 2:
        lines.pop()  # it may be cut off
    full = [line for line in lines if line.strip()]
    if not full:
        return [0.0] * (5 + 3 * len(_DELIMITERS) + len(_LINE) + len(_INSIDE))
    lengths = np.array([len(line) for line in full], float)
    same = Counter(lengths.tolist()).most_common(1)[0][1] / len(full)
    words = sum(len(line.split()) for line in full) / len(full)
    values = [float(len(full)), float(lengths.mean()), float(lengths.std() / lengths.mean()), same, words]
    bare = [_IN_QUOTES.sub(b"", line) for line in full]
    for delimiter in _DELIMITERS.values():
        counts = [line.count(delimiter) for line in bare]
        modal, often = Counter(counts).most_common(1)[0]
        values += [float(modal), often / len(full) if modal else 0.0, sum(counts) / len(full)]
    values += [sum(pattern.match(line) is not None for line in lines) / len(lines) for pattern in _LINE_PATTERNS]
    joined = b"\n".join(full)
    values += [min(9.0, len(pattern.findall(joined)) / len(full)) for pattern in _INSIDE_PATTERNS]
    return values
