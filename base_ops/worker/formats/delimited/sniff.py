"""Which dialect a text is in: the one that makes a table of it whose cells mean something.

Score = evenness of the records × share of cells that read as a number, a date, a word, … after G. van den Burg,
A. Nazábal, C. Sutton, "Wrangling messy CSV files by detecting row and type patterns" (2019).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from functools import lru_cache

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import HEAD_BYTES
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.encoding import settle_encoding
from base_ops.worker.formats.delimited.start import Row, Start, find_start, is_value

DIALECT_BYTES = 1 << 20
"""A dialect is told by as much of an object."""
_TEXT_CHARS = 1 << 16
_BODY_CHARS = 60_000
"""Less than what is looked at when the format is chosen, by a last line that is cut."""
_ROWS = 200
_DELIMITERS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 1.0, "^": 0.9, "~": 0.9, ":": 0.6, " ": 0.6, "#": 0.6}
_WEAK = ": #"
_ONE_COLUMN = 1e-3
_EMPTY_COLUMN = 0.25
"""What a last column that is empty throughout counts of one: a delimiter that ends each line parts nothing."""
_FEWEST = 3
"""More cells must begin with a quote that closes none for it to be a character like any other."""
_FEW = 0.05
"""Share of lines with a delimiter up to which it is a character of a single column."""
_ALL_EVEN = 1.3
_BINARY = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"%PDF-", b"\x89PNG", b"ARROW1",
           b"Obj\x01", b"SQLite format 3", b"\x7fELF", b"\xd0\xcf\x11\xe0")  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_COMMENT = re.compile(r"#+(\s|[A-Za-z!]|$)")
_LINK = re.compile(r"(https?|ftp)://\S+|www\.\S+|[\w.+-]+@[\w-]+(\.[\w-]+)+")
_WORDS = re.compile(r"[\w(#][\w .,()/&'’+\-#@%*?!:–]*")
_TOKEN = re.compile(r"[\w.\-+/#@&()%'’*:]+")


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
    lines = physical_lines(text, eol)
    if not complete and len(lines) > 1:
        lines.pop()
    skip = spec.skip_lines + _commented(lines[spec.skip_lines :], spec)
    body = "\n".join("" if spec.comment and line.startswith(spec.comment) else line for line in lines[skip:])
    body = body[:_BODY_CHARS].replace("\0", "")
    delimiter, quote, escape, start = _settled(body, spec)
    return Dialect(
        encoding, bom_bytes, delimiter, quote, escape, start.header, eol,
        skip + start.line - 1, spec.comment or "", start.label_rows, _is_padded(body, delimiter, quote, escape),
    )  # fmt: skip


@lru_cache(2)  # asked for when the format is chosen, and again by its reader, who sees more of the object
def _settled(body: str, spec: ReadSpec) -> tuple[str, str, str, Start]:
    delimiter, quote, escape = _best(body, spec)
    return delimiter, quote, escape, find_start(_numbered(body, delimiter, quote, escape), spec)


def physical_lines(text: str, eol: str) -> list[str]:
    """The lines of a text without their ends; the last is what follows the last line end."""
    return text.split(eol) if eol == "\r" or "\r" not in text else re.split("\r\n|\r|\n", text)


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
        dialect = detect_dialect(head, ReadSpec(), complete=len(head) < HEAD_BYTES)
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
    """Leading lines that begin with '#', and blank ones between them, but for the last where it names the columns."""
    count = at = 0
    while at < len(lines) and not spec.comment and (_COMMENT.match(lines[at]) or (count and not lines[at].strip())):
        at += 1
        count = at if lines[at - 1].strip() else count
    if 0 < count < len(lines):
        for delimiter in [spec.delimiter] if spec.delimiter else [",", ";", "\t", "|"]:
            cells = lines[count].count(delimiter)
            if cells and lines[count - 1].count(delimiter) == cells:
                return count - 1
    return count


# -- delimiter and quote


def _best(text: str, spec: ReadSpec) -> tuple[str, str, str]:
    best: tuple[float, str, str, str] | None = None
    for delimiter, weight in _DELIMITERS.items() if spec.delimiter is None else ((spec.delimiter, 1.0),):
        if delimiter not in text and best is not None:
            continue
        for quote in _quotes(text, delimiter, spec):
            escape = _escape(text, quote, spec)
            rows = _rows(text, delimiter, quote, escape)
            score = weight * _evenness(rows) * _meaning(rows, delimiter) * _closed(text, delimiter, quote, escape)
            if delimiter in _WEAK and spec.delimiter is None and not _is_grid(rows, text, delimiter, quote):
                continue
            if best is None or score > best[0] * (1 + 1e-9):
                best = score, delimiter, quote, escape
    assert best is not None
    return best[1:]


def _quotes(text: str, delimiter: str, spec: ReadSpec) -> list[str]:
    if spec.quote is not None:
        return [spec.quote]
    single, double = (_quoted_cells(text, delimiter, quote, least=1) for quote in "'\"")
    quotes = ['"', "'"] if single > double else ['"']
    return [*quotes, ""] if max(_FEWEST, 2 * double) < _opened(text, delimiter, '"') else quotes


def _opened(text: str, delimiter: str, quote: str) -> int:
    return len(re.findall(rf"(?:(?<={re.escape(delimiter)})|^){re.escape(quote)}", text, re.M)) if quote in text else 0


def _quoted_cells(text: str, delimiter: str, quote: str, escape: str = "", *, least: int = 0, padding: str = "") -> int:
    """Cells that are quoted right behind some padding, and hold `least` characters."""
    if quote not in text:
        return 0
    d, q, e = re.escape(delimiter), re.escape(quote), re.escape(escape)
    inside = rf"[^{q}{e}]|{e}[\s\S]|{q}{q}" if escape else rf"[^{q}]|{q}{q}"
    cell = rf"{padding}{q}(?:{inside}){{{least},}}+{q}{padding and ' *'}"
    return len(re.findall(rf"(?:(?<={d})|^){cell}(?={d}|$)", text, re.M))


@lru_cache(8)
def _is_padded(text: str, delimiter: str, quote: str, escape: str) -> bool:
    """Whether blanks stand between a delimiter and the quote of a cell that holds something: a, "b, c"."""
    if not quote or delimiter == " ":
        return False
    blanks = " +" if delimiter == "\t" else "[ \t]+"
    return bool(_quoted_cells(text, delimiter, quote, escape, least=1, padding=blanks))


def _closed(text: str, delimiter: str, quote: str, escape: str) -> float:
    """Share of the quotes that open a cell and are closed at its end; never nothing, and one alone says little."""
    if not quote or quote not in text:
        return 1.0
    opened = _opened(text, delimiter, quote)
    return (1 + 9 * min(1.0, (1 + _quoted_cells(text, delimiter, quote, escape)) / (1 + opened))) / 10


def _escape(text: str, quote: str, spec: ReadSpec) -> str:
    if spec.escape is not None:
        return "" if spec.escape == quote else spec.escape
    if not quote or f"\\{quote}" not in text:
        return ""
    inside = len(re.findall(rf"(?<![{quote}\\,;\t|])\\{quote}(?![,;\t|\r\n])", text))
    return "\\" if inside * 2 > text.count(f"\\{quote}") else ""


def _rows(text: str, delimiter: str, quote: str, escape: str) -> list[list[str]]:
    return [row.cells for row in _numbered(text, delimiter, quote, escape)]


def _numbered(text: str, delimiter: str, quote: str, escape: str) -> list[Row]:
    """The first records; the last one is left out where the text was cut."""
    options = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, escapechar=escape or None, doublequote=not escape,
        skipinitialspace=_is_padded(text, delimiter, quote, escape), **options,
    )  # fmt: skip
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append(Row(line, cells))
            if len(rows) == _ROWS:
                return rows
            line = reader.line_num + 1
    except csv.Error:  # a cell beyond the module's limit: judge by what was read
        pass
    return rows[:-1] if len(rows) > 1 and len(text) >= _BODY_CHARS else rows


def _evenness(rows: list[list[str]]) -> float:
    """Mean over the widths that occur of (rows of the width) × (width - 1) / width; more where there is one only."""
    widths = Counter(len(row) for row in rows)
    wide = len(rows) - widths[1]
    if wide <= _FEW * len(rows) or wide == 1 < len(rows) - 2:
        return _ONE_COLUMN * (widths[1] / max(1, len(rows))) ** 4  # the delimiter that cuts fewest
    score = sum(n * max(_ONE_COLUMN, w - 1) / w for w, n in widths.items()) / len(widths) / sum(widths.values())
    if len(widths) > 1 or len(rows) == 1:
        return score
    (width,) = widths
    if not any(row[-1].strip() for row in rows):
        score = (width - 2 + _EMPTY_COLUMN) / (width - 1 + _EMPTY_COLUMN)
    return score * _ALL_EVEN


def _is_grid(rows: list[list[str]], text: str, delimiter: str, quote: str) -> bool:
    """Whether cells are parted by what also stands in prose and in clock times.

    Most of them are numbers, or many are quoted, or all rows are equally wide; and the lines are no moments themselves.
    """
    lines = [line for line in text.split("\n", 20)[:20] if line]
    if sum(map(is_value, lines)) * 2 >= len(lines):
        return False
    widths = Counter(map(len, rows))
    width, often = widths.most_common(1)[0] if widths else (0, 0)
    is_even = width > 2 and often > 3 and often >= 0.95 * len(rows)
    if delimiter == "#":
        return is_even
    cells = [cell for row in rows for cell in row if cell]
    if len(rows) > 1 and sum(map(is_value, cells)) * 2 > len(cells):
        return True
    if quote and _quoted_cells(text, delimiter, quote) > max(_quoted_cells(text, d, quote) for d in ",;\t|"):
        return True
    return delimiter == " " and is_even


def _meaning(rows: list[list[str]], delimiter: str) -> float:
    cells = [cell for row in rows for cell in row]
    return sum(_reads(cell.strip(), delimiter) for cell in cells) / max(1, len(cells))


def _reads(cell: str, delimiter: str) -> float:
    if not cell:
        return 0.5 if delimiter == " " else 1.0
    if is_value(cell) or _LINK.fullmatch(cell) or (_TOKEN.fullmatch(cell) and cell[0] not in "'’"):
        return 1.0
    if cell[0] in "'\"" and len(cell) > 1:
        return 0.2  # a quote that was not understood
    return 0.9 if _WORDS.fullmatch(cell) else 0.2
