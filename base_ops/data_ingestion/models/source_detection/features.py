"""50 numbers about a source: its URL, its connection, the answer's headers, the sample's shape, size and time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from base_ops.data_ingestion.models.source_detection.classes import (
    CONN_TYPES,
    EXTENSIONS,
    HOSTS,
    MIMES,
    PATHS,
    PORTS,
    SCHEMES,
)
from base_ops.data_ingestion.models.source_detection.clues import Clues

_HOST_GROUPS = {
    "host_database": ("postgresql", "mysql", "oracle", "sqlserver", "mongodb", "cassandra", "redis", "influxdb"),
    "host_cloud": ("s3", "azure_blob", "gcs", "google_sheets", "kinesis", "pubsub"),
    "host_broker": ("kafka", "rabbitmq", "activemq"),
    "host_server": ("ldap", "file_server", "hdfs"),
}
_HOST_FLAGS = ("api", "stream")
_MAGIC = {
    "magic_parquet": (b"PAR1",), "magic_avro": (b"Obj\x01",), "magic_orc": (b"ORC",), "magic_pdf": (b"%PDF-",),
    "magic_packed": (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"),
    "magic_ole": (b"\xd0\xcf\x11\xe0",), "magic_sqlite": (b"SQLite format 3",),
}  # fmt: skip
_WORDS = {
    "says_envelope": r"<(\w+:)?Envelope\b|<(\w+:)?definitions\b",
    "says_feed": r"<(rss|feed|rdf:RDF)\b",
    "says_odata": r"@odata\.|<(\w+:)?Edmx\b",
    "says_data_errors": r'^\s*\{\s*"(data|errors)"\s*:\s*[\[{]',
    "says_paging": r'"(next|next_page|cursor|page|total|count|links|offset|has_more|results|meta)"\s*:',
    "says_event": r"(?m)^(event|id|retry|data): ?",
}
_STAMP = re.compile(
    r"^(?:\d{4}-\d\d-\d\d[ T]\d\d:\d\d|<\d{1,3}>|\w{3} [ \d]\d \d\d:\d\d:\d\d|\S+ \S+ \S+ \[\d\d/\w{3}/\d{4}"
    r"|\[\d{4}-|\d\d:\d\d:\d\d[.,])"
)
FEATURES: tuple[str, ...] = (
    "scheme", "port", "conn_type", "extension", "mime",
    *_HOST_GROUPS, *(f"host_{name}" for name in _HOST_FLAGS), *(f"path_{name}" for name in PATHS),
    "path_pattern", "path_is_folder", "path_is_here", "packed", "query_keys", "several_hosts",
    "header_api", "header_file", "header_store",
    *_MAGIC, *_WORDS,
    "json", "xml", "lines_delimited", "lines_json", "lines_stamped", "lines_equal", "size_log", "updates_log",
)  # fmt: skip
_PACKED = re.compile(r"\.(gz|bz2|xz|zst|lz4)$")


def features_of(clues: Clues) -> NDArray[np.float64]:
    """In the order of FEATURES; 0 where nothing is known."""
    text, path = clues.text, clues.path + (f"?{clues.parts.query.lower()}" if clues.parts.query else "")
    hosts = {name for name, pattern in HOSTS.items() if re.search(pattern, clues.host)}
    found: dict[str, float] = {
        "scheme": _code(SCHEMES, clues.scheme),
        "port": _code(PORTS, clues.port),
        "conn_type": _code(CONN_TYPES, clues.conn_type.lower()),
        "extension": _code(EXTENSIONS, clues.extension),
        "mime": _code(MIMES, clues.mime),
        **{group: _first(names, hosts) for group, names in _HOST_GROUPS.items()},
        **{f"host_{name}": float(name in hosts) for name in _HOST_FLAGS},
        **{f"path_{name}": float(re.search(pattern, path) is not None) for name, pattern in PATHS.items()},
        "path_pattern": float(any(mark in clues.url for mark in "*{")),
        "path_is_folder": float(clues.path.endswith("/")),
        "path_is_here": float(not clues.scheme and not clues.host),
        "packed": float(_PACKED.search(clues.path) is not None),
        "query_keys": float(clues.parts.query.count("=")),
        "several_hosts": float(clues.host.count(",")),
        **_headers(clues),
        **{name: float(clues.sample.startswith(marks)) for name, marks in _MAGIC.items()},
        **{name: float(re.search(pattern, text) is not None) for name, pattern in _WORDS.items()},
        **_shape(text),
        "size_log": math.log10(1 + (clues.size or 0)),
        "updates_log": math.log10(1 + (clues.updates_per_day or 0.0)),
    }
    return np.array([found[name] for name in FEATURES])


def _code(table: Mapping[str, Sequence[object]], value: object) -> float:
    """Number of the row that holds the value, from 2; 1: another value; 0: none."""
    if not value:
        return 0.0
    return next((float(n) for n, values in enumerate(table.values(), 2) if value in values), 1.0)


def _first(names: Sequence[str], found: set[str]) -> float:
    return next((float(n) for n, name in enumerate(names, 1) if name in found), 0.0)


def _headers(clues: Clues) -> dict[str, float]:
    names = set(clues.headers)

    def any_of(*starts: str) -> float:
        return float(any(name.startswith(starts) for name in names))

    return {
        "header_api": any_of("x-ratelimit", "ratelimit", "x-rate-limit", "link", "x-total", "x-next", "x-page"),
        "header_file": any_of("content-disposition", "accept-ranges", "last-modified"),
        "header_store": float(next((n for n, start in enumerate(("x-amz", "x-ms-", "x-goog"), 1) if any_of(start)), 0)),
    }


def _shape(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines()[:40] if line.strip()]
    body = lines[:-1] if len(lines) > 2 else lines
    start = text.lstrip("\ufeff \r\n\t")[:1]
    counts = [max((line.count(mark) for mark in ",;\t|"), default=0) for line in body]
    many = len(body) > 1
    return {
        "json": {"{": 1.0, "[": 2.0}.get(start, 0.0),
        "xml": float(start == "<"),
        "lines_delimited": float(many and min(counts) > 0 and len(set(counts)) == 1),
        "lines_json": float(many and all(line.startswith("{") and line.rstrip().endswith("}") for line in body)),
        "lines_stamped": sum(_STAMP.match(line) is not None for line in body) / max(1, len(body)),
        "lines_equal": float(many and len({len(line) for line in body}) == 1 and len(body[0]) > 20),
    }
