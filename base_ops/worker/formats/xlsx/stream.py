"""Sheet XML as blocks of rows, and the workbook's shared texts: read without ever holding all of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import BinaryIO, NoReturn

import numpy as np
import polars as pl
import pyarrow as pa

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.worker.formats.delimited.blocks import read_ahead
from base_ops.worker.formats.office.cells import Cells, Kind, Strip
from base_ops.worker.formats.office.package import Package, damaged, local_name, parse_xml, refuse_definition
from base_ops.worker.formats.office.sheets import maybe_uncalculated, sheet_findings
from base_ops.worker.formats.xlsx import rows
from base_ops.worker.formats.xlsx.scan import between, scan, tags_of
from base_ops.worker.formats.xlsx.styles import Styles
from base_ops.worker.formats.xlsx.texts import NotXml, unescaped, with_escapes

_BLOCK_BYTES = 4 << 20
_MAX_ROW_BYTES = 32 << 20
_MAX_HEAD_BYTES = 16 << 20
_MAX_TAIL_BYTES = 32 << 20
_MAX_STRINGS_BYTES = 512 << 20
_START = re.compile(rb"<(?:([\w.-]+):)?sheetData\s*(/?)>")
_NAMESPACES = re.compile(rb"""\sxmlns(?::[\w.-]+)?\s*=\s*(?:"[^"]*"|'[^']*')""")
_ROW_NUMBER = re.compile(rb'<row(?:\s[^>]*?)?\sr="(\d{1,9})"')
_HIDDEN = re.compile(rb'<row\s[^>]*?hidden="(?:1|true)"')
_HIDDEN_COLUMN = re.compile(rb'<(?:\w+:)?col\s[^>]*?hidden="(?:1|true)"')
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z0-9:]{1,20})"')
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")


class XlsxSheet:
    """One worksheet; see office/sheets.py.

    Args:
        is_to_calculate: the workbook asks to be calculated when it is opened.
    """

    def __init__(
        self,
        name: str,
        part: str,
        package: Package,
        styles: Styles,
        texts: Callable[[], pl.Series],
        *,
        is_hidden: bool,
        is_to_calculate: bool,
    ) -> None:
        self.name, self.is_hidden = name, is_hidden
        self._is_to_calculate = is_to_calculate
        self._part, self._package, self._styles, self._texts = part, package, styles, texts
        self._merged: list[str] = []
        self._hidden_rows = self._hidden_columns = self._zeros = 0

    def blocks(self) -> Generator[Callable[[], Cells]]:
        """Blocks of rows. Raises BadInput where the sheet is damaged."""
        self._merged, self._hidden_rows, self._hidden_columns, self._zeros = [], 0, 0, 0
        last = 0
        with closing(read_ahead(self._cut())) as parts:
            for block, prefix, namespaces in parts:
                plain = block.replace(b"<" + prefix, b"<").replace(b"</" + prefix, b"</") if prefix else block
                if b"h" in plain and b"hidden=" in plain:  # a single byte is sought far faster, and is rare
                    self._hidden_rows += len(_HIDDEN.findall(plain))
                if self._is_to_calculate:
                    self._zeros += plain.count(b"</f><v>0</v>")
                first, end = _row_number(plain, 0), _row_number(plain, plain.rfind(b"<row"))
                if first is None or end is None:
                    cells, last = self._parsed(block, namespaces, last)
                    yield partial(self._resolved, cells)
                    continue
                if first <= last:
                    damaged(self._package.name, f"sheet {self.name!r}: row {first} comes after row {last}")
                yield partial(self._cells, block, plain, namespaces, last)
                last = end

    def _cells(self, block: bytes, plain: bytes, namespaces: bytes, after: int) -> Cells:
        try:
            cells = scan(plain, self._styles.kind_of)
        except UnicodeDecodeError:
            damaged(self._package.name, f"sheet {self.name!r} is not UTF-8")
        return self._resolved(self._parsed(block, namespaces, after)[0] if cells is None else cells)

    def _parsed(self, block: bytes, namespaces: bytes, after: int) -> tuple[Cells, int]:
        return rows.parse(block, namespaces, self._styles.kind_of, name=self._package.name, after=after)

    def _resolved(self, cells: Cells) -> Cells:
        """Cells with their shared texts, and with escapes in the others resolved."""
        for column, strip in cells.strips.items():
            if strip.all_of(Kind.SHARED):
                cells.strips[column] = self._shared(strip)
            elif not isinstance(strip.kinds, int) and (at := np.flatnonzero(strip.kinds == Kind.SHARED)).size:
                found = self._shared(Strip(None, int(Kind.SHARED), strip.texts.gather(at)))
                kinds = strip.kinds.copy()
                kinds[at] = found.kind_array()
                cells.strips[column] = Strip(strip.rows, kinds, strip.texts.scatter(at, found.texts))
            elif strip.all_of(Kind.TEXT) or not isinstance(strip.kinds, int):
                cells.strips[column] = Strip(strip.rows, strip.kinds, with_escapes(strip.texts))
        return cells

    def _shared(self, strip: Strip) -> Strip:
        texts = self._texts()
        index = strip.texts.cast(pl.UInt32, strict=False)
        fits = (index < len(texts)).fill_null(False)
        if fits.all():
            return Strip(strip.rows, int(Kind.TEXT), texts.gather(index).alias(""))
        kinds = np.where(fits.to_numpy(), np.uint8(Kind.TEXT), np.uint8(Kind.DAMAGED))
        found = texts.gather(index.set(~fits, None)).alias("")
        return Strip(strip.rows, kinds, found.set(~fits, "a shared text that is not there"))

    def _cut(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Blocks of whole rows; the prefix of their names, with its colon; and the declarations of namespaces."""
        with self._package.open(self._part) as file:
            chunks = utf8(file, self._package.name)
            head = b""
            while (start := _START.search(head)) is None:
                chunk = next(chunks, b"")
                if not chunk or len(head) > _MAX_HEAD_BYTES:
                    damaged(self._package.name, f"sheet {self.name!r} has no sheetData")
                head += chunk
            before, rest = head[: start.start()], head[start.end() :]
            refuse_definition(self._package.name, self._part, before)
            self._hidden_columns = len(_HIDDEN_COLUMN.findall(before))
            prefix = start[1] + b":" if start[1] else b""
            namespaces = b"".join(_NAMESPACES.findall(before))
            if not start[2]:
                rest = yield from self._rows(rest, chunks, prefix, namespaces)
            self._tail(rest, chunks)

    def _rows(
        self, rest: bytes, chunks: Iterator[bytes], prefix: bytes, namespaces: bytes
    ) -> Generator[tuple[bytes, bytes, bytes], None, bytes]:
        """Blocks until the rows end; returns what was read beyond."""
        row, end = b"<" + prefix + b"row", b"</" + prefix + b"sheetData"
        searched = 0
        while (stop := rest.find(end, searched)) < 0:
            if len(rest) >= _BLOCK_BYTES and (cut := rest.rfind(row)) > 0:
                yield rest[:cut], prefix, namespaces
                rest = rest[cut:]
            if len(rest) > _MAX_ROW_BYTES:
                raise BadInput(
                    f"{self._package.name}: a row of sheet {self.name!r} takes more than {_MAX_ROW_BYTES} bytes",
                    code="record_too_long",
                    where=self._package.name,
                )
            searched = max(0, len(rest) - len(end))
            chunk = next(chunks, b"")
            if not chunk:
                self._truncated()
            rest += chunk
        if rest[:stop].strip():
            yield rest[:stop], prefix, namespaces
        return rest[stop:]

    def _truncated(self) -> NoReturn:
        what = f"{self._package.name}: sheet {self.name!r} ends too early"
        raise BadInput(what, code="truncated", where=self._package.name, todo="fetch the object again")

    def _tail(self, rest: bytes, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            rest += chunk
            if len(rest) > _MAX_TAIL_BYTES:
                break
        else:
            if not rest.rstrip().endswith(b"worksheet>"):
                self._truncated()
        self._merged = [ref.decode() for ref in _MERGED.findall(rest)]

    def findings(self) -> list[Finding]:
        """Merged cells, hidden rows and columns; formulas maybe not calculated, and numbers that may be dates."""
        found = [maybe_uncalculated(f"{self.name}: {self._zeros} formulas")] if self._zeros else []
        if self._styles.unknown:
            message = f"{self.name}: cells have styles that the workbook does not; dates among them are read as numbers"
            styles = sorted(self._styles.unknown)[:50]
            found.append(Finding(code="unknown_styles", message=message, data={"styles": list(styles)}))
        return found + sheet_findings(self.name, self._merged, self._hidden_rows, self._hidden_columns)


def _row_number(block: bytes, start: int) -> int | None:
    """Number of the row that begins at `start` (or is the first behind it); None where it does not tell."""
    place = block.find(b"<row", max(start, 0))
    end = block.find(b">", place)
    found = _ROW_NUMBER.match(block, place, end) if place >= 0 else None
    return int(found[1]) if found else None


def utf8(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Chunks of an XML part as UTF-8, without byte order mark. Raises BadInput for encodings packages cannot have."""
    first = file.read(_BLOCK_BYTES)
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        decoder = codecs.getincrementaldecoder("utf-16")()
        try:
            while first:
                yield decoder.decode(first).encode()
                first = file.read(_BLOCK_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            damaged(name, f"a part is not UTF-16: {error}")
        return
    first = first.removeprefix(codecs.BOM_UTF8)
    declared = _ENCODING.match(first[:200])
    if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        damaged(name, f"a part in the encoding {declared[1].decode()!r}; packages have UTF-8 and UTF-16")
    while first:
        yield first
        first = file.read(_BLOCK_BYTES)


# -- shared texts


def shared_texts(package: Package, part: str) -> pl.Series:
    """The texts that cells refer to by number. Raises BadInput where they are damaged or fill the memory."""
    if package.size(part) > _MAX_STRINGS_BYTES:
        raise BadInput(
            f"{package.name} holds too many shared texts",
            code="too_large",
            where=f"{package.name}, {part}",
            expected=f"at most {_MAX_STRINGS_BYTES} bytes, since they are held in memory",
            found=f"{package.size(part)} bytes",
        )
    made = []
    with package.open(part) as file, closing(read_ahead(_items(file, package.name))) as blocks:
        for block, namespaces in blocks:
            texts = _texts(block, namespaces, package.name)
            made.append(with_escapes(texts) if b"_x" in block else texts)
    return pl.concat(made, rechunk=True) if made else pl.Series("", [], pl.String)


def _items(file: BinaryIO, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Blocks of whole `<si>` elements with the declarations of namespaces."""
    chunks = utf8(file, name)
    rest = next(chunks, b"")
    start = re.search(rb"<(?:([\w.-]+):)?sst\b[^>]*?(/?)>", rest)
    if start is None:
        damaged(name, "the shared texts do not begin with sst")
    refuse_definition(name, "shared texts", rest[: start.end()])
    prefix = start[1] + b":" if start[1] else b""
    namespaces = b"".join(_NAMESPACES.findall(rest[: start.end()]))
    if start[2]:
        return
    item, end = b"<" + prefix + b"si", b"</" + prefix + b"sst"
    rest, searched = rest[start.end() :], 0
    while (stop := rest.find(end, searched)) < 0:
        if len(rest) >= _BLOCK_BYTES and (cut := rest.rfind(item)) > 0:
            yield rest[:cut], namespaces
            rest = rest[cut:]
        searched = max(0, len(rest) - len(end))
        chunk = next(chunks, b"")
        if not chunk or len(rest) > _MAX_ROW_BYTES:
            damaged(name, "the shared texts end too early")
        rest += chunk
    if rest[:stop].strip():
        yield rest[:stop], namespaces


_PLAIN_ITEM = np.frombuffer(b"st//", np.uint8)


def _texts(block: bytes, namespaces: bytes, name: str) -> pl.Series:
    """The texts of a block: at once where all are `<si><t>…</t></si>`, else with an XML parser."""
    if (plain := _plain_texts(block)) is not None:
        return plain
    root = parse_xml(name, "shared texts", b"<sst" + namespaces + b">" + block + b"</sst>")
    return pl.Series("", [rows.text_of(item) for item in root if local_name(item) == "si"], pl.String)


def _plain_texts(block: bytes) -> pl.Series | None:
    marks = None if b"\r" in block or b"\0" in block else tags_of(block)
    if marks is None:
        return None
    opens, ends, tags = marks
    if len(tags) % 4 or (tags.reshape(-1, 4) != _PLAIN_ITEM).any():
        return None
    if (np.frombuffer(block, np.uint8)[ends[1::4] - 1] == ord("/")).any():
        return None
    try:
        block.decode()
    except UnicodeDecodeError:
        return None  # the parser says where
    texts = between(pa.py_buffer(block), ends[1::4] + 1, opens[2::4])
    try:
        return unescaped(texts) if b"&" in block else texts
    except NotXml:
        return None
