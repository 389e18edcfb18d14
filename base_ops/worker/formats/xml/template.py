"""Records that are written as the first ones were, read by one pattern each: several times as fast as the parser.

The pattern holds the start tags, attributes and end tags in their order, each exactly; between them no markup, no
character that XML forbids, and no references but the predefined five. So whatever it matches is well-formed, and means
what the parser would say; whatever it does not match goes to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.formats.xml.grid import Found, Grid, Skeleton
from base_ops.worker.formats.xml.handlers import Frame
from base_ops.worker.formats.xml.names import Node

_SPACE = rb"[ \t\r\n]"
_SPACES = re.compile(rb"[ \t\r\n]*+")
_REFERENCE = rb"&(?:amp|lt|gt|quot|apos);"
_FOREIGN = (b"]]>", b"\xef\xbf\xbe", b"\xef\xbf\xbf")
"""What text must not hold, and the pattern does not look for."""
_PATIENCE = 200
_MAX_GROUPS = 500
_LEAST_WINDOW = 256
"""Records looked at together at first."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 256, 1 << 16
"""Records read one by one where too few are alike."""
Cells = list[tuple[bytes | None, ...]]


@dataclass(frozen=True)
class Read:
    """Consecutive records: the texts of all groups record by record (`cells`), or of those that are there by group."""

    cells: Cells | None
    texts: dict[int, pl.Series]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def _slot(but: bytes, group: bytes) -> bytes:
    plain = rb"[^\x00-\x08\x0a-\x1f<&" + but + rb"]*+"
    return group + plain + rb"(?:" + _REFERENCE + plain + rb")*+)"


class Template:
    """The pattern of records of one element.

    Args:
        node: the element.
        frame: the innermost open element around them.
        columns: column by path of keys, of the texts that are wanted.
        is_closed: what has no column is not wanted; else a record that holds it goes to the parser.
        empty_is_null: an empty element means the same as none.
    """

    def __init__(
        self,
        node: Node,
        parent: Node | None,
        scope: Mapping[str | None, str | None],
        columns: Mapping[tuple[str, ...], str],
        *,
        is_closed: bool,
        empty_is_null: bool,
    ) -> None:
        self.columns: list[str] = []
        """Of the groups, in order."""
        self.node = node
        self._parent, self._scope = parent, dict(scope)
        self._wanted, self._is_closed, self._empty_is_null = columns, is_closed, empty_is_null
        pattern = self._element(node, (), is_record=True)
        self._match = re.compile(pattern).match if pattern and 0 < len(self.columns) <= _MAX_GROUPS else None
        self._hits = self._misses = 0
        self._grid: Grid | None = None
        self._window, self._pause, self._patience = _LEAST_WINDOW, 0, _SHORTEST_PAUSE
        self._checked: bytes | None = None
        self._is_clean = False

    def fits(self, frame: Frame | None, data: bytes) -> bool:
        """Whether the records inside of `frame` mean what the template says, and pay to be tried."""
        if self._match is None or frame is None or self._misses > _PATIENCE + self._hits:
            return False
        if frame.node is not self._parent or frame.scope != self._scope:
            return False
        if self._checked is not data:
            marks = _FOREIGN[:1] if data.isascii() else _FOREIGN
            self._checked, self._is_clean = data, not any(mark in data for mark in marks)
        return self._is_clean

    def read(self, data: bytes, at: int, max_bytes: int) -> Read | None:
        """Some of the records from `at` on that the pattern matches; None where there is none."""
        assert self._match is not None
        space = _SPACES.match(data, at)
        found = self._match(data, space.end() if space else at)
        if found is None or found.end() - found.start() > max_bytes:
            self._misses += 1
            return None
        if self._pause <= 0 and (alike := self._alike(data, found, max_bytes)) is not None:
            self._hits += len(alike.starts)
            return Read(None, alike.texts, alike.starts, alike.ends)
        return self._one_by_one(data, found, max_bytes)

    def _alike(self, data: bytes, found: re.Match[bytes], max_bytes: int) -> Found | None:
        """The records written exactly like `found`, where there are so many that looking for them pays."""
        if self._grid is None or self._grid.data is not data:
            self._grid = Grid(data)
        alike = self._grid.read(Skeleton.of(found), found.start(), self._window, max_bytes)
        count = len(alike.starts) if alike is not None else 0
        if count < _LEAST_WINDOW // 4:
            self._patience = min(self._patience * 2, _LONGEST_PAUSE)
            self._pause, self._window = self._patience, _LEAST_WINDOW
        else:
            self._patience = _SHORTEST_PAUSE
            self._window = self._window * 4 if count == self._window else max(count, _LEAST_WINDOW)
        return alike

    def _one_by_one(self, data: bytes, found: re.Match[bytes] | None, max_bytes: int) -> Read:
        match, most = self._match, max(self._pause, 1)
        assert match is not None
        cells: Cells = []
        starts: list[int] = []
        end = 0
        while found is not None and found.end() - found.start() <= max_bytes and len(cells) < most:
            cells.append(found.groups())
            starts.append(found.start())
            end = found.end()
            found = match(data, end)
        self._hits += len(cells)
        self._pause -= len(cells)
        return Read(cells, {}, np.array(starts, np.int64), np.array([*starts[1:], end], np.int64))

    # -- the pattern

    def _element(self, node: Node, path: tuple[str, ...], *, is_record: bool = False) -> bytes | None:
        """None where the element cannot stand in the pattern. `path` leads to the object that its parent is."""
        if (node.is_mixed or node.is_list) and not is_record:
            return None
        mark = len(self.columns)
        here = () if is_record else (*path, node.key)
        attributes = self._attributes(node, path, here, is_record)
        inner: bytes | None = b""
        if node.is_branch:
            inner = _SPACE + b"*+" + b"".join(self._child(child, node, here) for child in node.order)
        elif node.seen.has_text or not node.attributes:
            inner = self._group((node.local,) if is_record else here, b"")
        if inner is None or (is_record and node.is_mixed):
            del self.columns[mark:]
            return None
        raw = re.escape(node.raw.encode())
        closed = b">" + inner + b"</" + raw + b">"
        body = b"(?:" + closed + b"|/>)" if self._empty_is_null else closed
        return b"<" + raw + attributes + _SPACE + b"*+" + body + _SPACE + b"*+"

    def _child(self, child: Node, node: Node, path: tuple[str, ...]) -> bytes:
        made = self._element(child, path)
        if made is None:
            return b""
        return made if child.seen.count == node.seen.count else b"(?:" + made + b")?+"

    def _attributes(self, node: Node, path: tuple[str, ...], here: tuple[str, ...], is_record: bool) -> bytes:
        parts = []
        for attribute in node.attributes.values():
            if attribute.is_nil or attribute.is_ignored:
                continue
            is_dotted = node.is_dotted and not is_record
            slot = self._group((*path, attribute.dotted) if is_dotted else (*here, attribute.key), rb"\x22\t")
            if slot is not None:
                raw = re.escape(attribute.raw.encode())
                parts.append(b"(?:" + _SPACE + b"++" + raw + b'="' + slot + b'")?+')
        return b"".join(parts)

    def _group(self, keys: tuple[str, ...], but: bytes) -> bytes | None:
        column = self._wanted.get(keys)
        if column is not None:
            self.columns.append(column)
            return _slot(but, b"(")
        return _slot(but, b"(?:") if self._is_closed else None
