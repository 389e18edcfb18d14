"""Dialects found from content alone."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from delimited_kit import read
from delimited_variants import variant

from base_ops.data_ingestion.options.reading import ReadSpec
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


# text, delimiter, quote
HARD: dict[str, tuple[str, str, str]] = {
    "a stray quote among tabs": (
        "file\tlicence\tnotes\n"
        + "a.jpg\tpublic domain\tthe famous 'lena' image\n" * 5
        + 'b.jpg\tnone\t"Blood, toil\n',
        "\t",
        '"',
    ),
    "blanks around the delimiter": (
        '"/run/1 low/ - NY" ; "/run/1 low/ fit" ; "/run/2 pot/ - NY"\n'
        + "4,00 ; 2,04 ; 3,43\n3,99 ; 1,73 ; 3,54\n" * 9,
        ";",
        '"',
    ),
    "a mark that ends each line": ("".join(f"{n}, {name};\n" for n, name in enumerate("ILIVEINSIDE")), ",", '"'),
    "one column that ends with a mark": ("one;\ntwo;\nthree;\nfour;\n", ";", '"'),
    "number signs": ("".join(f"Spain#Abla#PLAZA MAYOR{', 1' * (n % 3)}#045{n}#950\n" for n in range(8)), "#", '"'),
    "number signs of a code": ("code\n#0.0#\n##0\n#,##0\n0#\n", ",", '"'),
    "one column of prose": (
        '"a comma (,) here"\nall is well\na semicolon (;) once\nor a pipe (|) once\nend\n',
        ",",
        '"',
    ),
    "quotes that are characters": (
        "space\ttitle\n" + "".join(f'{n}\t"{name}"_is_here\n{n}\t"{name}\n' for n, name in enumerate("abcdefgh")),
        "\t",
        "",
    ),
    "one moment below its name": ("ts\n2020-01-01 01:02:03\n", ",", '"'),
    "empty cells of the other quote": ('n\t"a b"\t"c d"\n' + "1\t''\t2.5\n" * 9, "\t", '"'),
}


@pytest.mark.parametrize(("text", "delimiter", "quote"), HARD.values(), ids=HARD)
def test_hard_dialects(text, delimiter, quote):
    found = dialect(text)
    assert (found.delimiter, found.quote) == (delimiter, quote)


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
        ("Search,Search\nFind,Suchen\nClose,Ende\n", False),
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
        ("# by x\n\n# on y\n#\na,b\n1,2\n", 4),
        ("# by x\n\na,b\n1,2\n", 1),
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
        ("МОСКВА\nКАЗАНЬ\n".encode("koi8-r"), "koi8-r"),
        ("ירושלים\nתל אביב\n".encode("cp1255"), "cp1255"),
        ("กรุงเทพมหานคร\nไทย\n".encode("cp874"), "cp874"),
        ("Şişli\nİstanbul\n".encode("cp1254"), "cp1254"),
        ("Aufträge für Köln\nNestlé\n".encode("cp850"), "cp850"),
        ("Kateřina Dvořáková\nŽižkov\n".encode("cp852"), "cp852"),
        ("SEÑORA PEÑA\nseñor\n".encode("mac-roman"), "mac-roman"),
        ("Supplément de passages\nà partir de\n".encode("mac-roman"), "mac-roman"),
        ("東京都\nとても良い天気\nﾃｽﾄ\n".encode("cp932"), "cp932"),
        ("東京都\nとても良い天気\n".encode("euc_jp"), "euc_jp"),
        ("서울특별시\n안녕하세요\n".encode("cp949"), "cp949"),
        ("北京市\n上海人民\n".encode("gb18030"), "gb18030"),
        ("臺北市\n高雄市民\n".encode("big5"), "big5"),
    ],
)
def test_encodings(data, encoding):
    assert guess_encoding(data, complete=False) == encoding


def f1_of(files: Iterable[tuple[str, bytes, str, str | None]]) -> tuple[float, float, str]:
    """F1 of delimiter and quote, share of failures, and both in words. Files: name, head, delimiter, quote (None: any)."""
    right, wrong, failed = 0, [], []
    for name, head, delimiter, quote in files:
        try:
            found = dialect(head)
        except Exception:  # counted
            failed.append(name)
            continue
        if found.delimiter == delimiter and quote in (None, found.quote):
            right += 1
        else:
            wrong.append(name)
    precision, recall = right / (right + len(wrong)), right / (right + len(failed))
    f1, failures = 2 * precision * recall / (precision + recall), len(failed) / (right + len(wrong) + len(failed))
    said = f"dialects: F1 {f1:.4f}, {right} right, {len(wrong)} wrong {wrong[:20]}, {len(failed)} failed {failed[:20]}"
    return f1, failures, said


def test_variants_of_everyday_tables():
    """Made dialects: what is tuned to one corpus alone fails here."""
    files = [(str(seed), made.data, made.delimiter, made.quote) for seed in range(400) for made in [variant(seed)]]
    f1, failures, said = f1_of(files)
    assert f1 >= 0.98, said
    assert failures == 0, said


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimiters_among_variants(delimiter):
    files = [(str(seed), variant(seed, delimiter).data, delimiter, None) for seed in range(1000, 1060)]
    f1, _, said = f1_of(files)
    assert f1 >= 0.98, said


@pytest.mark.corpora
def test_annotated_files(capsys):
    """W3C-CSVW of CSVsniffer: delimiter and quote against annotations made by hand."""
    root = Path(os.environ["BASE_CORPORA"]) / "csvsniffer"
    marks = {"comma": ",", "tab": "\t", "space": " ", "semicolon": ";", "doublequote": '"', "singlequote": "'"}
    files = []
    for line in (root / "W3C-CSVW-Dialect_annotations.txt").read_text().splitlines()[2:]:
        name, _, delimiter, quote, *_ = line.split("|")
        path = root / "W3C-CSVW" / name
        if path.exists():
            files.append((name, path.read_bytes()[: 1 << 20], marks[delimiter], marks[quote]))
    f1, failures, said = f1_of(files)
    with capsys.disabled():
        print(f"\n{said}")
    assert len(files) > 200
    assert f1 >= 0.99, said
    assert failures <= 0.02, said


_REAL = {"csvsniffer/W3C-CSVW": 200, "duckdb/csv/real": 6, "docling/csv/sources": 9}


@pytest.mark.corpora
@pytest.mark.parametrize("folder", _REAL)
def test_real_files_are_read(folder):
    """Every one is opened; its rows and refused records are the records that the csv module counts."""
    paths = sorted((Path(os.environ["BASE_CORPORA"]) / folder).glob("*.csv"))
    assert len(paths) >= _REAL[folder]
    for path in paths:
        data = path.read_bytes()
        found = read(data)
        settled = next(f for f in found.findings if f.code == "dialect").data
        if settled["escape"]:
            continue
        text = data.decode(str(settled["encoding"]).replace("utf-8", "utf-8-sig"), "replace")
        records = csv.reader(io.StringIO(text, newline=""), delimiter=settled["delimiter"], quotechar=settled["quote"])
        passed = sum(int(f.data["count"]) for f in found.findings if f.code in ("preamble", "label_row"))
        blank_above = sum(not line["text"] for f in found.findings if f.code == "preamble" for line in f.data["lines"])
        count = sum(1 for record in records if record) - passed + blank_above - bool(settled["header"])
        assert found.frame.height + sum(r.records for r in found.rejected) == count, path.name
        assert found.frame.height, path.name
