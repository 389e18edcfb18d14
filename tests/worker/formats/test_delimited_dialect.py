"""Dialects found from content alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.formats.delimited.encoding import guess_encoding
from base_ops.worker.formats.delimited.sniff import detect_dialect

_WORDS = "name{0}price{0}day\nAnna{0}1.5{0}2024-01-02\nBen, Carl{0}2{0}2024-01-03\nDora{0}-3.25{0}2024-01-04\n"


def dialect(text: str | bytes, **spec: object):
    data = text.encode() if isinstance(text, str) else text
    return detect_dialect(data, ReadSpec(**spec), complete=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^", "~"])
def test_delimiters(delimiter):
    assert dialect(_WORDS.format(delimiter)).delimiter == delimiter


def test_comma_among_decimal_commas():
    assert dialect("a;b\n1,5;2,5\n3,5;4,5\n").delimiter == ";"


def test_columns_of_numbers_between_blanks():
    assert dialect("1 2.5 3\n4 5.5 6\n7 8.5 9\n").delimiter == " "


def test_prose_is_one_column():
    found = dialect("note\nall is well\nnothing: to report\nit is ten past\n")
    assert found.delimiter == ","


@pytest.mark.parametrize(
    ("text", "quote", "escape"),
    [
        ("a,b\n'x, y',1\n'z',2\n", "'", ""),
        ('a,b\n"x, y",1\n"it\'s",2\n', '"', ""),
        ("a,b\nx,1\ny,2\n", '"', ""),
        ('a,b\n"x \\"y\\" z",1\n"w \\"v\\" u",2\n', '"', "\\"),
        ('a,b\n"C:\\",1\n"D:\\",2\n', '"', ""),
    ],
)
def test_quotes(text, quote, escape):
    found = dialect(text)
    assert (found.quote, found.escape) == (quote, escape)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", True),
        ("1,2\n3,4\n", False),
        ("name,town\nAnna,Rome\nBen,Oslo\n", True),
        ("Anna,Rome\nBen,Oslo\nAnna,Rome\n", False),
        ("country,2019,2020\nFR,1.5,2.5\n", True),
        ("2024-01-02,1.5\n2024-01-03,2.5\n", False),
        (",open,close\n0,1.5,2.5\n", True),
        ("a,b\n", True),
        ("day\n2024-01-02\n", True),
    ],
)
def test_header(text, header):
    assert dialect(text).header is header


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("# by x\n# on y\na,b\n1,2\n", 2),
        ("# by x\n#a,b\n1,2\n", 1),
        ("#0.0\n1.5\n", 0),
        ("a,b\n# no, data\n", 0),
    ],
)
def test_leading_comments(text, skipped):
    assert dialect(text).skip_lines == skipped


def test_what_is_declared_is_taken():
    found = dialect("a,b;c\n1,2;3\n", delimiter=";", quote="", header=False, skip_lines=1, encoding="latin-1")
    assert (found.delimiter, found.quote, found.header, found.skip_lines) == (";", "", False, 1)
    assert found.encoding == "iso8859-1"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain", "utf-8"),
        ("naïve €".encode(), "utf-8"),
        ("naïve".encode()[:-3], "utf-8"),
        (("é" * 50).encode() + b"\xff", "utf-8"),
        ("café £5".encode("cp1252"), "cp1252"),
        (b"ab\xffcd", "utf-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        ("a,b\n1,2\n".encode("utf-16-be"), "utf-16-be"),
        ("a,b\n1,2\n".encode("utf-32-le"), "utf-32-le"),
        (("Привет, как дела, это русский текст\n" * 20).encode("cp1251"), "cp1251"),
    ],
)
def test_encodings(data, encoding):
    assert guess_encoding(data, complete=False) == encoding


@pytest.mark.corpora
def test_annotated_files(capsys):
    """W3C-CSVW of CSVsniffer: delimiter and quote against annotations made by hand."""
    root = Path(os.environ["BASE_CORPORA"]) / "csvsniffer"
    marks = {"comma": ",", "tab": "\t", "space": " ", "doublequote": '"', "singlequote": "'"}
    right, wrong, failed = 0, [], []
    for line in (root / "W3C-CSVW-Dialect_annotations.txt").read_text().splitlines()[2:]:
        name, _, delimiter, quote, *_ = line.split("|")
        path = root / "W3C-CSVW" / name
        if not path.exists():
            continue
        try:
            found = dialect(path.read_bytes()[: 1 << 20])
        except Exception:  # counted
            failed.append(name)
            continue
        if (found.delimiter, found.quote) == (marks[delimiter], marks[quote]):
            right += 1
        else:
            wrong.append(name)
    precision, recall = right / (right + len(wrong)), right / (right + len(failed))
    f1 = 2 * precision * recall / (precision + recall)
    with capsys.disabled():
        print(f"\ndialects: {right} right, {len(wrong)} wrong, {len(failed)} failed, F1 {f1:.4f}")
    assert right + len(wrong) + len(failed) > 200
    assert f1 >= 0.99
    assert len(failed) == 0
