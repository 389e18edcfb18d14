"""The beginning of an XML document, without a parser: enough to tell what it is."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z][\w.\-]*)[\"']")
_MISC = re.compile(r"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>\s*)*", re.S)
_ROOT = re.compile(r"<(?:([^\W\d][\w.\-]*):)?([^\W\d][\w.\-]*)(?=[\s/>])((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)")
_XMLNS = re.compile(r"\bxmlns(?::([\w.\-]+))?\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_FOLLOWED = re.compile(r"/?>\s*<[/!?\w]")
_HTML = re.compile(r"<!doctype\s+html|<html[\s>]", re.I)


@dataclass(frozen=True)
class Prolog:
    """What stands before the content of the first elements."""

    root: str
    """Local name of the root element."""
    namespace: str
    """Its namespace, '' for none."""
    namespaces: frozenset[str]
    """All namespaces declared in the head."""
    has_declaration: bool
    has_markup: bool
    """Another tag follows the first one at once."""
    is_html: bool


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark or the pattern of zero bytes tells ('' for neither), and the mark's bytes."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, len(mark)
    if head[:1] == b"<" and head[1:2] == b"\0":
        return ("utf-16-le", 0) if head[2:4] != b"\0\0" else ("utf-32-le", 0)
    if head[:2] == b"\0<":
        return "utf-16-be", 0
    return ("utf-32-be", 0) if head[:4] == b"\0\0\0<" else ("", 0)


def declared_encoding(head: bytes) -> str | None:
    """The encoding that the XML declaration names; its bytes must be ASCII."""
    found = _DECLARED.match(head)
    return found[1].decode().lower() if found else None


def prolog(head: bytes) -> Prolog | None:
    """The prolog of what may be an XML document; None where it is none."""
    encoding, mark = encoding_of(head)
    text = head[mark:].decode(encoding or "latin-1", "replace")
    start = _MISC.match(text)
    root = _ROOT.match(text, start.end() if start else 0)
    if root is None:
        return None
    bound = {prefix: one or other for prefix, one, other in _XMLNS.findall(text)}
    own = {prefix: one or other for prefix, one, other in _XMLNS.findall(root[3])}
    return Prolog(
        root=root[2],
        namespace=own.get(root[1] or "", ""),
        namespaces=frozenset(bound.values()),
        has_declaration=text.lstrip().startswith("<?xml"),
        has_markup=_FOLLOWED.match(text, root.end()) is not None,
        is_html=_HTML.search(text[:4096]) is not None,
    )
