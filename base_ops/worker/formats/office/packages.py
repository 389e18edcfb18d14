"""Telling an office document by its first bytes. Imports nothing heavy: every object is asked."""

from __future__ import annotations

import re
from functools import lru_cache

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"


def package_likelihood(head: bytes, folder: str, *, by_name: bool) -> float:
    """How sure it is, 0 to 1, that an object is a package (ECMA-376) whose parts lie in `folder`, e.g. xl.

    By the names of its first parts; one with a password is an OLE file, and only named so.
    """
    if head.startswith(_OLE):
        return 0.2 if by_name else 0.0
    if not head.startswith(_ZIP):
        return 0.0
    parts = {found.lower() for found in _part(folder).findall(head)}
    if parts & {f"{folder}/".encode(), f"{folder}\\".encode()}:
        return 1.0
    return (0.9 if by_name else 0.1) if parts else 0.0


@lru_cache
def _part(folder: str) -> re.Pattern[bytes]:
    names = rb"%s[/\\]|\[Content_Types\]\.xml|_rels/|docProps/" % folder.encode()
    return re.compile(rb"PK\x03\x04.{26}(%s)" % names, re.S | re.I)
