"""Tags as they stand in the bytes: where one may begin, where it ends, and where the end tag of an element lies.

None of this decides what is well-formed; it finds places for the parser to stop at.
"""

from __future__ import annotations

import re
from functools import lru_cache

SPACES = re.compile(rb"[ \t\r\n]*+")
NEXT = re.compile(rb"<([^\s<>/!?&;=\"'][^\s<>/=\"']*+)(?=[\s/>])")
"""The beginning of what may be a start tag, and its name."""
TAG = re.compile(rb"</?(?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+>")
"""A whole tag; it cannot reach beyond the next `<`."""
_UNCLOSED = (b"<!--", b"<![CDATA[", b"<?")


def end_of_element(data: bytes, start: int, name: bytes) -> int | None:
    """Where the element that begins at `start` ends; None where more data must tell."""
    tag = TAG.match(data, start)
    if tag is None:
        return None
    if tag[0].endswith(b"/>"):
        return tag.end()
    close = b"</" + name + b">"
    end = data.find(close, tag.end())
    if end >= 0 and not any(data.find(mark, tag.end(), end) >= 0 for mark in (b"<!", b"<?", b"<" + name)):
        return end + len(close)
    depth = 1
    for found in _tokens(name).finditer(data, tag.end()):
        token = found[0]
        if token in _UNCLOSED:
            return None
        if token.startswith(b"</"):
            depth -= 1
            if depth == 0:
                return found.end()
        elif token[1:2] not in (b"!", b"?") and not token.endswith(b"/>"):
            depth += 1
    return None


@lru_cache(maxsize=64)
def _tokens(name: bytes) -> re.Pattern[bytes]:
    """Comments, CDATA sections and processing instructions, each whole or its beginning; the tags of this name."""
    quoted = re.escape(name)
    return re.compile(
        rb"<!--(?:.*?-->)?|<!\[CDATA\[(?:.*?\]\]>)?|<\?(?:.*?\?>)?|</" + quoted + rb"[ \t\r\n]*>"
        rb"|<" + quoted + rb"(?=[\s/>])(?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+>",
        re.S,
    )
