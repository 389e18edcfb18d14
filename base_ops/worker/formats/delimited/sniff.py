"""Which dialect a text is in: the one that makes a table of it whose cells mean something.

Score = evenness of the records × share of cells that read as a number, a date, a word, … after G. van den Burg,
A. Nazábal, C. Sutton, "Wrangling messy CSV files by detecting row and type patterns" (2019).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.encoding import settle_encoding

HEAD_BYTES = 1 << 20
_TEXT_CHARS = 1 << 16
_ROWS = 200
_DELIMITERS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 1.0, "^": 0.9, "~": 0.9, ":": 0.6, " ": 0.6}
_WEAK = ": "
_ONE_COLUMN = 1e-3
_BINARY = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"%PDF-", b"\x89PNG", b"ARROW1",
           b"Obj\x01", b"SQLite format 3", b"\x7fELF", b"\xd0\xcf\x11\xe0")  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_COMMENT = re.compile(r"#+(\s|[A-Za-z!]|$)")
_NUMBER = re.compile(r"[+-]?[$€£]?\s?(\d{1,3}([,. ]\d{3})+|\d+)?([.,]\d+)?([eE][+-]?\d+)?\s?[%€£$]?")
_MOMENT = re.compile(
    r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ,]*\d{2,4})?"
    r"([T ]?\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?)?(Z| ?[+-]\d{2}:?\d{2})?"
)
_LINK = re.compile(r"(https?|ftp)://\S+|www\.\S+|[\w.+-]+@[\w-]+(\.[\w-]+)+")
_WORDS = re.compile(r"[\w(#][\w .,()/&'’+\-#@%*?!:–]*")
_TOKEN = re.compile(r"[\w.\-+/#@&()%'’*:]+")
_NAMES = re.compile(r"\s*[^\W\d][^\n\r]{0,120}")


def detect_dialect(head: bytes, spec: ReadSpec, *, complete: bool) -> Dialect:
    """Settle every part of the dialect: as the spec says, else as the content shows.

    Raises:
        BadInput: the content is no text.
    """
    check_is_text(head)
    encoding, bom_bytes = settle_encoding(head, spec.encoding, complete=complete)
    text = head[bom_bytes:].decode(encoding, "replace")
    if len(_CONTROL.findall(text[:_TEXT_CHARS])) > 8 + 0.05 * len(text[:_TEXT_CHARS]):
        raise _no_text("control characters")
    eol = _line_end(text[:_TEXT_CHARS], spec.quote or '"')
    lines = text.split(eol)
    if not complete and len(lines) > 1:
        lines.pop()
    skip = spec.skip_lines + _commented(lines[spec.skip_lines :], spec)
    body = eol.join(
        line.removesuffix("\r") for line in lines[skip:] if not spec.comment or not line.startswith(spec.comment)
    )
    delimiter, quote, escape, rows = _best(body[:_TEXT_CHARS].replace("\0", ""), spec)
    dialect = Dialect(encoding, bom_bytes, delimiter, quote, escape, True, eol, skip, spec.comment or "")
    return replace(dialect, header=spec.header if spec.header is not None else _has_header(rows, spec))


def _line_end(text: str, quote: str) -> str:
    """'\\r' only where no '\\n' stands outside of quotes."""
    mark = re.escape(quote)
    bare = re.sub(f"{mark}[^{mark}]*{mark}", "", text) if "\r" in text else text
    return "\r" if "\r" in bare and "\n" not in bare else "\n"


def check_is_text(head: bytes) -> None:
    if head.startswith(_BINARY):
        raise _no_text(f"first bytes {head[:4]!r}")


def likelihood(head: bytes, name: str) -> float:
    """Confidence that this is delimited text. Plain text of one column is weak evidence; the suffix helps it."""
    try:
        dialect = detect_dialect(head, ReadSpec(), complete=len(head) < 1 << 16)
    except BadInput:
        return 0.0
    text = head[dialect.bom_bytes :].decode(dialect.encoding, "replace").lstrip()
    named = 0.1 if name.lower().endswith((".csv", ".tsv", ".tab", ".psv")) else 0.0
    if not text or text[0] in "{[<":
        return named
    rows = _rows(text[:_TEXT_CHARS], dialect.delimiter, dialect.quote, dialect.escape)
    widths = Counter(len(row) for row in rows if row)
    width, often = widths.most_common(1)[0] if widths else (1, 0)
    even = often / max(1, widths.total())
    return round((0.3 + 0.55 * even if width > 1 else 0.2) + named + (0.2 if named and width == 1 else 0), 3)


def _no_text(found: str) -> BadInput:
    return BadInput(
        "The content is not delimited text",
        code="not_this_format",
        expected="text of rows and columns",
        found=found,
        todo="correct read.format or leave it out",
    )


def _commented(lines: list[str], spec: ReadSpec) -> int:
    """Leading lines that begin with '#', but for the last where it names the columns."""
    count = 0
    while count < len(lines) and _COMMENT.match(lines[count]) and not spec.comment:
        count += 1
    if 0 < count < len(lines):
        for delimiter in [spec.delimiter] if spec.delimiter else [",", ";", "\t", "|"]:
            cells = lines[count].count(delimiter)
            if cells and lines[count - 1].count(delimiter) == cells:
                return count - 1
    return count


# -- delimiter and quote


def _best(text: str, spec: ReadSpec) -> tuple[str, str, str, list[list[str]]]:
    best: tuple[float, str, str, str, list[list[str]]] | None = None
    for delimiter, weight in _DELIMITERS.items() if spec.delimiter is None else ((spec.delimiter, 1.0),):
        if delimiter not in text and best is not None:
            continue
        for quote in _quotes(text, delimiter, spec):
            escape = _escape(text, quote, spec)
            rows = _rows(text, delimiter, quote, escape)
            score = weight * _evenness(rows) * _meaning(rows, delimiter)
            if delimiter in _WEAK and spec.delimiter is None and not _is_grid(rows):
                continue
            if best is None or score > best[0] * (1 + 1e-9):
                best = score, delimiter, quote, escape, rows
    assert best is not None
    return best[1:]


def _quotes(text: str, delimiter: str, spec: ReadSpec) -> list[str]:
    if spec.quote is not None:
        return [spec.quote]
    mark = re.escape(delimiter)
    single = len(re.findall(rf"(?:^|{mark})'[^'\n]*'(?={mark}|$)", text, re.M))
    double = len(re.findall(rf'(?:^|{mark})"', text, re.M))
    return ['"', "'"] if single > double else ['"']


def _escape(text: str, quote: str, spec: ReadSpec) -> str:
    if spec.escape is not None:
        return "" if spec.escape == quote else spec.escape
    if not quote or f"\\{quote}" not in text:
        return ""
    inside = len(re.findall(rf"(?<![{quote}\\,;\t|])\\{quote}(?![,;\t|\r\n])", text))
    return "\\" if inside * 2 > text.count(f"\\{quote}") else ""


def _rows(text: str, delimiter: str, quote: str, escape: str) -> list[list[str]]:
    options = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, escapechar=escape or None, doublequote=not escape, **options)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) == _ROWS:
                return rows
    except csv.Error:  # a cell beyond the module's limit: judge by what was read
        pass
    return rows[:-1] if len(rows) > 1 and len(text) == _TEXT_CHARS else rows


def _evenness(rows: list[list[str]]) -> float:
    """Mean over the widths that occur of (rows of the width) × (width - 1) / width."""
    widths = Counter(len(row) for row in rows)
    if not widths:
        return 0.0
    return sum(n * max(_ONE_COLUMN, w - 1) / w for w, n in widths.items()) / len(widths) / sum(widths.values())


def _is_grid(rows: list[list[str]]) -> bool:
    """What also stands in prose and in clock times parts cells only where most of these are numbers."""
    cells = [cell for row in rows for cell in row if cell]
    return len(rows) > 1 and sum(map(_is_value, cells)) * 2 > len(cells)


def _meaning(rows: list[list[str]], delimiter: str) -> float:
    cells = [cell for row in rows for cell in row]
    return sum(_reads(cell.strip(), delimiter) for cell in cells) / max(1, len(cells))


def _reads(cell: str, delimiter: str) -> float:
    if not cell:
        return 0.5 if delimiter == " " else 1.0
    if _NUMBER.fullmatch(cell) or _MOMENT.fullmatch(cell) or _LINK.fullmatch(cell):
        return 1.0
    if _TOKEN.fullmatch(cell):
        return 1.0
    return 0.9 if _WORDS.fullmatch(cell) else 0.2


# -- header


def _has_header(rows: list[list[str]], spec: ReadSpec) -> bool:
    if not rows:
        return False
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if spec.columns is not None and {c.source_name or c.name for c in spec.columns} & set(first):
        return True
    values = [cell for cell in first if _is_value(cell)]
    if values and not _are_years(values, first):
        return False
    names = [cell for cell in first if cell]
    if len(names) * 2 < len(first) or not names:
        return False
    if any(_is_value(cell.strip()) for row in rest for cell in row if cell.strip()):
        return True
    below = [{row[i].strip() for row in rest if i < len(row)} for i in range(len(first))]
    return all(_NAMES.match(n) for n in names) and not any(
        c and c in seen for c, seen in zip(first, below, strict=True)
    )


def _is_value(cell: str) -> bool:
    return bool(cell) and bool(_NUMBER.fullmatch(cell) or _MOMENT.fullmatch(cell) or cell.lower() in ("true", "false"))


def _are_years(values: list[str], first: list[str]) -> bool:
    """country, 2019, 2020, …: numbers that name columns."""
    if len(values) < 2 or first[0] in values or not all(re.fullmatch(r"(19|20)\d\d", v) for v in values):
        return False
    return all(int(b) - int(a) == 1 for a, b in pairwise(values))
