"""Random tables through Python's csv writer, random damage: every row is there once, every bad line is named."""

from __future__ import annotations

import csv
import io

from delimited_kit import read
from hypothesis import assume, given, settings
from hypothesis import strategies as st

_ALPHABET = st.sampled_from(list("ab 1,;|\t\"'\\\n\r#é€漢😀-"))
_CELL = st.text(_ALPHABET, max_size=8) | st.sampled_from(["", "NULL", "007", "a" * 40])
_TABLE = st.lists(st.tuples(_CELL, _CELL, _CELL), max_size=25)
_NULLS = ("", "NULL", "null", "N/A", "NA", "None", "nil")
_DIALECT = st.tuples(
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from(['"', "'"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)


def _columns(*types: str) -> list[dict[str, str]]:
    return [{"name": name, "type": type} for name, type in zip("abcdef", types, strict=False)]


def _write(rows: list[tuple[str, ...]], delimiter: str, quote: str, eol: str, quoting: int) -> tuple[str, list[int]]:
    """The text, and the physical line on which each record starts."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator=eol, quoting=quoting)  # type: ignore[arg-type]
    mark = "\r" if eol == "\r" else "\n"
    lines = []
    for row in rows:
        lines.append(text.getvalue().count(mark) + 1)
        writer.writerow(row)
    return text.getvalue(), lines


def _meant(cell: str, quoting: int) -> str | None:
    """What an unquoted cell means. The csv module leaves ordinary cells unquoted under QUOTE_MINIMAL."""
    return None if quoting == csv.QUOTE_MINIMAL and cell in _NULLS else cell


@settings(max_examples=250)
@given(
    _TABLE,
    _DIALECT,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]),
    st.integers(40, 400),
    st.booleans(),
)
def test_what_csv_writes_is_read_back(table, dialect, encoding, block_bytes, final_newline):
    delimiter, quote, eol, quoting = dialect
    if quoting == csv.QUOTE_MINIMAL:  # the csv module then leaves line ends other than its own unquoted
        foreign = str.maketrans("", "", "\n" if eol == "\r" else "\r" if eol == "\n" else "")
        table = [tuple(cell.translate(foreign) for cell in row) for row in table]
    text, lines = _write([("a", "b", "c"), *table], delimiter, quote, eol, quoting)
    if not final_newline:
        text = text[: -len(eol)]
    found = read(
        text.encode(encoding), block_bytes=block_bytes, delimiter=delimiter, quote=quote, encoding=encoding, header=True,
        columns=_columns("string", "string", "string"), escape=quote,
    )  # fmt: skip
    assert found.rejected == []
    assert found.rows == [tuple(_meant(cell, quoting) for cell in row) for row in table]
    assert found.lines == lines[1:]


@settings(max_examples=60)
@given(st.lists(st.text('abcäöü€ß ,"\n', max_size=6), min_size=1, max_size=20), st.integers(40, 200))
def test_single_byte_encodings(cells, block_bytes):
    text, lines = _write([("a", "b"), *((cell, "x") for cell in cells)], ",", '"', "\n", csv.QUOTE_ALL)
    found = read(text.encode("cp1252"), block_bytes=block_bytes, encoding="cp1252", quote='"', delimiter=",", header=True,
                 columns=_columns("string", "string"))  # fmt: skip
    assert found.rows == [(cell, "x") for cell in cells]
    assert found.lines == lines[1:]


_DAMAGE = {
    "ragged_long": lambda line: line + ",extra",
    "ragged_short": lambda line: line.rsplit(",", 1)[0],
    "type": lambda line: "x" + line,
    "nul_byte": lambda line: line + "\0",
    "encoding": lambda line: line + "\udcff",
    "malformed_quote": lambda line: line + ',"a"b',
    "blank": lambda line: "",
    "trailing_delimiter": lambda line: line + ",",
    "unclosed": lambda line: line.rsplit(",", 1)[0] + ',"open',
}
_RULES = {"trailing_delimiter": "ragged_long", "unclosed": "malformed_quote"}


@settings(max_examples=250)
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**12), 10**12) | st.none(),
            st.text("abz'# é", max_size=6) | st.none() | st.just('q"q') | st.just("two\nlines, two"),
            st.floats(-1e9, 1e9).map(lambda x: round(x, 3)) | st.none(),
        ),
        min_size=2,
        max_size=40,
    ),
    st.data(),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(60, 600),
)
def test_damage_stays_where_it_is(rows, data, eol, block_bytes):
    damage = data.draw(st.dictionaries(st.integers(1, len(rows) - 1), st.sampled_from(sorted(_DAMAGE)), max_size=8))
    assume(2 * list(damage.values()).count("trailing_delimiter") < len(rows))  # else that is how the file ends lines
    line, text, good, bad = 2, f"id,name,value{eol}", [], []
    for index, (number, name, value) in enumerate(rows):
        quoted = '"' + name.replace('"', '""') + '"' if name is not None else ""
        if index in damage and name is not None and "\n" in name:
            quoted = "one line"
        record = f"{'' if number is None else number},{quoted},{'' if value is None else value}"
        kind = damage.get(index)
        if kind is None:
            good.append((line, (number, name, value)))
        else:
            record = _DAMAGE[kind](record)
            if kind != "blank":
                bad.append((line, _RULES.get(kind, kind)))
        text += record + eol
        line += 1 + record.count("\n")
    found = read(
        text.encode("utf-8", "surrogateescape"), block_bytes=block_bytes, delimiter=",", quote='"', header=True,
        encoding="utf-8", columns=[{"name": "id", "type": "int64"}, {"name": "name", "type": "string"},
        {"name": "value", "type": "float64"}],
    )  # fmt: skip
    assert found.faults == bad
    assert list(zip(found.lines, found.rows, strict=True)) == good
    raw = text.encode("utf-8", "surrogateescape")
    for refused in found.rejected:
        assert raw[refused.byte_start : refused.byte_end].rstrip(b"\r") == refused.raw.rstrip(b"\r")
        assert raw[: refused.byte_start].count(b"\n") == refused.line - 1


def _naive(text: str, width: int) -> tuple[list[tuple[int, tuple[str | None, ...]]], list[tuple[int, str]]]:
    """The rules, one character at a time: good rows and refused lines."""
    good: list[tuple[int, tuple[str | None, ...]]] = []
    bad: list[tuple[int, str]] = []
    line, at = 1, 0
    while at < len(text):
        found = _naive_record(text, at)
        if found is None:
            bad.append((line, "malformed_quote"))
            at = text.find("\n", at) + 1 or len(text)
            line += 1
            continue
        cells, end = found
        raw = text[at:end]
        if raw:
            if cells is None:
                bad.append((line, "malformed_quote"))
            elif len(cells) == width:
                good.append((line, tuple(cells)))
            else:
                bad.append((line, "ragged_long" if len(cells) > width else "ragged_short"))
        line += raw.count("\n") + 1
        at = end + 1
    return good, bad


def _is_torn(bare: list[str]) -> bool:
    """Whether a quote opens within one bare cell and another closes a later one."""
    odd = [cell for cell in bare if cell.count('"') % 2]
    opening = [n for n, cell in enumerate(odd) if 0 < cell.find('"') < len(cell) - 1]
    return bool(opening) and any(cell.endswith('"') for cell in odd[opening[0] + 1 :])


def _naive_record(text: str, at: int) -> tuple[list[str | None] | None, int] | None:
    """Cells (none where a delimiter was lost) and end of a record; None where a quote does not close."""
    cells: list[str | None] = []
    bare: list[str] = []
    while True:
        if text[at : at + 1] == '"':
            value, at = "", at + 1
            while True:
                if at >= len(text):
                    return None
                if text[at] == '"':
                    if text[at + 1 : at + 2] == '"':
                        value, at = value + '"', at + 2
                        continue
                    at += 1
                    break
                value, at = value + text[at], at + 1
            if at < len(text) and text[at] not in ",\n":
                return None
            cells.append(value)
        else:
            end = at
            while end < len(text) and text[end] not in ",\n":
                end += 1
            cells.append(text[at:end] or None)
            bare.append(text[at:end])
            at = end
        if at >= len(text) or text[at] == "\n":
            return (cells, at) if not _is_torn(bare) else (None, at)
        at += 1


@settings(max_examples=400)
@given(st.text('a",\n', max_size=60) | st.text('a"",,\n', min_size=20, max_size=60), st.integers(2, 70))
def test_any_soup_of_quotes_is_read_by_the_rules(text, block_bytes):
    text = 'x,"y"\n' + text
    good, bad = _naive(text, 2)
    found = read(text.encode(), block_bytes=block_bytes, delimiter=",", quote='"', header=False, encoding="utf-8",
                 columns=_columns("string", "string"), escape='"')  # fmt: skip
    assert list(zip(found.lines, found.rows, strict=True)) == good
    assert found.faults == bad


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["1,x", '2,"y, z"', "# no \"quote", "#,\"", '3,5" b', '4,#5"', "5,x,y", "", '6,"a"b', "#"]), max_size=12),
       st.integers(4, 60))  # fmt: skip
def test_comments_and_quotes_do_not_mix(lines, block_bytes):
    kept = {"1,x": "x", '2,"y, z"': "y, z", '3,5" b': '5" b', '4,#5"': '#5"'}
    bad = {"5,x,y": "ragged_long", '6,"a"b': "malformed_quote"}
    text = "\n".join(["a,b", *lines]) + "\n"
    found = read(text.encode(), block_bytes=block_bytes, delimiter=",", quote='"', header=True, comment="#", escape='"',
                 encoding="utf-8", columns=[{"name": "a", "type": "int64"}, {"name": "b", "type": "string"}])  # fmt: skip
    assert [row[1] for row in found.rows] == [kept[line] for line in lines if line in kept]
    assert found.faults == [(n, bad[line]) for n, line in enumerate(lines, 2) if line in bad]
