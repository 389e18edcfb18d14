"""Where the table starts, and what else is told of a file: preambles, label rows, totals, encodings, line ends."""

from __future__ import annotations

import pytest
from delimited_kit import read

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.delimited.sniff import detect_dialect

# text, lines above the header, header, label rows
STARTS: dict[str, tuple[str, int, bool, int]] = {
    "nothing above": ("id,px\n1,2.5\n2,3.5\n", 0, True, 0),
    "a title": ("Prices of today\nid,px\n1,2.5\n2,3.5\n", 1, True, 0),
    "a title over words": ("Staff\nname,city\nAnna,Rome\nBen,Oslo\n", 1, True, 0),
    "a title with a comma": ("Prices, of today\nid,px,qty\n1,2.5,3\n2,3.5,4\n", 1, True, 0),
    "a title with more commas": ("Made for you, by A, on Friday\ncm-1,%T\n4000.5,98.78\n3999.5,98.79\n", 1, True, 0),
    "names with values": ("Source,desk\nAsOf,2024-01-02\n\nid,px,qty\n1,2.5,3\n2,3.5,4\n", 3, True, 0),
    "a separator line": ("sep=;\nid;px\n1;2\n2;3\n", 1, True, 0),
    "a padded title": ("Prices,,\n,,\nid,px,qty\n1,2.5,3\n2,3.5,4\n", 2, True, 0),
    "a padded date": ("Prices,,\n2024-01-02,,\nid,px,qty\n1,2.5,3\n2,3.5,4\n", 2, True, 0),
    "names of groups": (",Q1,,Q2,\nid,px,qty,px,qty\n1,2.5,3,4,5\n2,3.5,4,5,6\n", 1, True, 0),
    "units": ("id,px\n,USD\n1,2.5\n2,3.5\n3,4.5\n", 0, True, 1),
    "tags": ("when,who,px\n#date,#org,#value\n2024-01-02,a,2.5\n2024-01-03,b,3.5\n", 0, True, 1),
    "two label rows": ("id,px\nint,float\nno,USD\n1,2.5\n2,3.5\n3,4.5\n", 0, True, 2),
    "a bad first record": ("name,px\nAnna,n/a\nBen,2\nCarl,3\n", 0, True, 0),
    "a first record of nothing": ("id,px,qty\n-,-,-\n1,2.5,3\n2,3.5,4\n", 0, True, 0),
    "a bad cell first": ("name,px\nAnna,soon\nBen,2\nCarl,3\n", 0, True, 0),
    "words only": ("name,city\nAnna,Rome\nBen,Oslo\n", 0, True, 0),
    "words only, a trailing comma": ("name,city\nAnna,Rome,\nBen,Oslo,\n", 0, True, 0),
    "a longer header": ("a,b,c\n1,2\n3,4\n", 0, True, 0),
    "a longer header, words first": ("a,b,c\nx,n/a\ny,4\nz,5\n", 0, True, 0),
    "a shorter header": ("a,b\n1,2,3\n3,4,5\n", 0, True, 0),
    "another table": ("a,b,c\nx,1,2\ny,3,4\nz,5,6\n\n" + "p,q,r,s\n" + "1,2,3,4\n" * 9, 0, True, 0),
    "no header": ("1,2.5\n2,3.5\n", 0, False, 0),
    "a title and no header": ("Prices\n1,2.5\n2,3.5\n", 0, False, 0),
    "numbered columns": ("1,2,3\nx,y,z\nu,v,w\n", 0, True, 0),
    "numbered columns of an index": (",0,1\n0,1.5,2.5\n1,3.5,4.5\n", 0, True, 0),
    "numbers, not names": ("1,2,3\n4,5,6\n", 0, False, 0),
}


@pytest.mark.parametrize(("text", "above", "header", "labels"), STARTS.values(), ids=STARTS)
def test_start(text, above, header, labels):
    found = detect_dialect(text.encode(), ReadSpec(), complete=True)
    assert (found.skip_lines, found.header, found.label_rows) == (above, header, labels)


def test_what_is_declared_about_the_start_holds():
    data = b"Prices of today\nid,px\n1,2.5\n2,3.5\n"
    assert read(data, header=False, delimiter=",").faults == [(1, "ragged_short")]
    assert read(data, skip_lines=1).codes == {"dialect"}
    assert read(data, columns=[{"name": "px"}, {"name": "id", "type": "string"}]).rows == [("1", 2.5), ("2", 3.5)]


def test_lines_above_the_header_are_reported_with_their_text():
    found = read(b"Prices of today\n\nid,px\n1,2.5\n2,3.5\n")
    finding = next(f for f in found.findings if f.code == "preamble")
    assert finding.severity == "warning"
    assert finding.data["lines"] == [{"line": 1, "text": "Prices of today"}, {"line": 2, "text": ""}]
    assert found.lines == [4, 5]


@pytest.mark.parametrize("block_bytes", [3, 8, None])
@pytest.mark.parametrize(
    ("data", "rows", "lines"),
    [
        (b"a\r1\n2\r3\r\n4\n", [(1,), (2,), (3,), (4,)], [2, 3, 4, 5]),
        (b"a,b\r\n1,x\r2,y\n3,z", [(1, "x"), (2, "y"), (3, "z")], [2, 3, 4]),
        (b'a,b\n1,"x\ry"\r2,"z\r\nw"\n3,v\n', [(1, "x\ry"), (2, "z\r\nw"), (3, "v")], [2, 3, 5]),
        (b"a,b\r\r\n1,x\r\r\n", [(1, "x")], [3]),
        (b"t\r\r\na,b\n1,2\r3,4\n", [(1, 2), (3, 4)], [4, 5]),
    ],
)
def test_mixed_line_ends(data, rows, lines, block_bytes):
    found = read(data, block_bytes=block_bytes, header=True, delimiter=",", skip_lines=2 * data.startswith(b"t"))
    assert (found.rows, found.lines, found.faults) == (rows, lines, [])


TOTALS: list[tuple[str, str, list[tuple[int, str]], bool]] = [
    ("total, other cells empty", "Total,6,", [(5, "total")], False),
    ("grand total", "Grand Total:,6,", [(5, "total")], False),
    ("a name and a value for all", "Total,6,1.5", [], True),
    ("no total", "Totality,6,", [], False),
]


@pytest.mark.parametrize(("last", "faults", "reported"), [c[1:] for c in TOTALS], ids=[c[0] for c in TOTALS])
def test_totals(last, faults, reported):
    found = read(f"sym,qty,px\nA,1,2.5\nB,2,3.5\nC,3,4.5\n{last}\n".encode())
    assert (found.faults, "possible_total" in found.codes) == (faults, reported)
    assert found.frame.height == 4 - len(faults)


def test_cells_behind_the_last_name():
    data = b"id,px,,\n1,2.5,,\n2,3.5,,\n" + b"3,4.5,,\n" * 20
    found = read(data + b"4,5.5,,see note\n", sample_rows=10)
    assert list(found.schema) == ["id", "px", "column_3", "column_4"]
    found = read(data)
    assert (list(found.schema), found.frame.height, "trailing_delimiter" in found.codes) == (["id", "px"], 22, True)


@pytest.mark.parametrize("data", [b"a,b\n1,2,\n", b'a,b\n1,2,"\n"\n', b'a,b\n1,2, \n3,4,"\r\n "\n'])
def test_blanks_behind_the_last_name_make_no_column_also_of_one_record(data):
    found = read(data)
    assert (found.schema.names(), found.faults) == (["a", "b"], [])
    assert (found.rows[0], "trailing_delimiter" in found.codes) == ((1, 2), True)


def test_a_late_cell_behind_the_last_name_is_refused(monkeypatch):
    from base_ops.worker.formats.delimited.reader import DelimitedReader

    monkeypatch.setattr(DelimitedReader, "sample_bytes", 64)
    found = read(b"id,px,\n" + b"1,2.5,\n" * 20 + b"4,5.5,see note\n")
    assert (found.frame.height, found.faults) == (20, [(22, "ragged_long")])


@pytest.mark.parametrize(
    ("encoding", "declared", "code"),
    [
        ("utf-8", "latin-1", "encoding_disagrees"),
        ("utf-8-sig", "cp1252", "encoding_disagrees"),
        ("utf-16-le", "utf-8", "encoding_disagrees"),
        ("utf-8", "utf-16", "encoding_disagrees"),
        ("cp1252", None, "encoding_guessed"),
        ("cp1252", "cp1252", ""),
        ("utf-8-sig", "utf-8", ""),
        ("utf-16", "utf-16", ""),
    ],
)
def test_encodings_settled_and_reported(encoding, declared, code):
    text = "name,v\n" + "Müller & Søn,1\n" * 20
    found = read(text.encode(encoding), encoding=declared)
    assert found.rows[0] == ("Müller & Søn", 1)
    assert found.codes - {"dialect"} == ({code} if code else set())


def test_bytes_that_are_not_of_the_declared_encoding_cost_their_records():
    found = read(b"name,v\n" + b"plain,1\n" * 30 + "Müller,2\n".encode("latin-1"), encoding="utf-8")
    assert (found.frame.height, found.faults) == (30, [(32, "encoding")])
