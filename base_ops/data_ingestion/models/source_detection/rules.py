"""What decides without the model: scheme, magic bytes, host, port, extension, media type, path, in this order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from base_ops.data_ingestion.models.source_detection.classes import (
    CLASSES,
    EXTENSIONS,
    HOSTS,
    MIMES,
    PATHS,
    PORTS,
    SCHEMES,
)
from base_ops.data_ingestion.models.source_detection.clues import Clues

_MAGIC = {b"PAR1": "parquet_file", b"Obj\x01": "avro_file", b"ORC": "orc_file", b"%PDF-": "pdf_file",
          b"\x1f\x8b": "archive", b"PK\x03\x04": "archive", b"SQLite format 3": "sqlite"}  # fmt: skip
_SHAPES = {
    "soap": r"<(\w+:)?Envelope\b",
    "rss_feed": r"<(rss|feed)\b",
    "odata": r"@odata\.",
    "xml_file": r"^\s*<",
}
_SURE, _LIKELY, _MAYBE = 0.95, 0.8, 0.6


def by_rules(clues: Clues) -> tuple[str, float, str]:
    """(class, how sure 0 to 1, what told it); a REST API where an HTTP address tells nothing else."""
    return next(_told(clues), ("rest_api", 0.3, "nothing else is known"))


def _told(clues: Clues) -> Iterator[tuple[str, float, str]]:
    web = clues.scheme in SCHEMES["http"]
    for name, schemes in SCHEMES.items():
        if clues.scheme in schemes and name != "http":
            yield name, _SURE, f"scheme {clues.scheme}"
    for magic, name in _MAGIC.items():
        if clues.sample.startswith(magic):
            yield name, _LIKELY, f"magic bytes of {name}"
    for name in ("google_sheets", "azure_blob", "gcs", "s3"):
        if web and re.search(HOSTS[name], clues.host):
            yield name, _LIKELY, f"host {clues.host}"
    if not web:
        yield from _by_port(clues)
    yield from _by_content(clues)
    for name in ("graphql", "soap", "odata", "rss_feed", "sse"):
        if re.search(PATHS[name], clues.path):
            yield name, _MAYBE, f"path {clues.path}"
    if not clues.host and (not clues.extension or "*" in clues.path or "{" in clues.path):
        yield "local_dir", _LIKELY, "a path on this machine"
    for name, ends in EXTENSIONS.items():
        if clues.extension in ends and name in CLASSES:
            yield name, _LIKELY, f"extension .{clues.extension}"
    for name, pattern in HOSTS.items():
        if name in CLASSES and not web and re.search(pattern, clues.host):
            yield name, _MAYBE, f"host {clues.host}"


def _by_port(clues: Clues) -> Iterator[tuple[str, float, str]]:
    for name, ports in PORTS.items():
        if clues.port in ports and name in CLASSES:
            yield name, _LIKELY, f"port {clues.port}"


def _by_content(clues: Clues) -> Iterator[tuple[str, float, str]]:
    for name, mimes in MIMES.items():
        if clues.mime in mimes and name in CLASSES:
            yield name, _LIKELY, f"content type {clues.mime}"
    for name, pattern in _SHAPES.items():
        if clues.sample and re.search(pattern, clues.text):
            yield name, _MAYBE, f"the sample looks like {name}"
