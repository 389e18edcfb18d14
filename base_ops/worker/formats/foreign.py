"""Formats that are none of ours but can be named, so that a refusal says what arrived instead."""

from __future__ import annotations

import re

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a Linux program"),
    (b"MZ", "a Windows program"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file, but no workbook (.doc, .msg, .ppt?)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"CDF\x01", "a NetCDF file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x9d", "a file packed by compress (.Z)"),
    (b"-----BEGIN PGP", "a PGP message"),
    (b"PK\x03\x04", "a zip archive that is an office document"),
)
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype\s+html|<html[\s>])", re.I)


def is_page(head: bytes) -> bool:
    """Whether it is an HTML page: no data, but what a server says instead of it."""
    return _HTML.match(head) is not None


def looks_like(head: bytes) -> str:
    """What the first bytes say of an object, '' where they say nothing."""
    if is_page(head):
        return "an HTML page"
    return next((what for magic, what in _MAGIC if head.startswith(magic)), "")
