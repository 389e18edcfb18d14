"""Formats by content; names are hints; declarations are checked."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import polars as pl
import pytest
from corpora_labels import labelled_files
from delimited_kit import source_of
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.detect import choose_format, decide, detect, detect_head, open_reader
from base_ops.worker.formats.registry import get_format, known_formats
from base_ops.worker.formats.wrappers import open_object, wrapper_of


def parquet_bytes() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": [1, 2]}).write_parquet(file)
    return file.getvalue()


CONTENTS = [
    (b"a,b\n1,2\n3,4\n", "x.csv", "csv"),
    (b"a\tb\n1\t2\n3\t4\n", "x.tsv", "csv"),
    (b"a;b;c\n1,5;2;x\n", "noname", "csv"),
    ("a,b\n1,ü\n".encode("utf-16"), "x.csv", "csv"),
    (b"name\nAnna\nBen\n", "x.csv", "csv"),
    (b'{"a": 1}\n{"a": 2}\n', "x.ndjson", "ndjson"),
    (b'[{"a": 1}, {"a": 2}]', "x.json", "json"),
    (parquet_bytes(), "x.parquet", "parquet"),
]


@pytest.mark.parametrize(("data", "name", "format"), CONTENTS)
def test_content_tells(data, name, format):
    for named in (name, "object", "wrong.dat"):
        assert detect(source_of(data, named)).format == format


def test_a_name_that_disagrees_is_reported(tmp_path):
    path = tmp_path / "trades.csv"
    path.write_bytes(parquet_bytes())
    reader = open_reader(open_object(path, path.name, ReadSpec())[0], ReadSpec())
    assert [f.code for f in reader.findings if f.code == "name_disagrees"]
    assert sum(b.frame.height for b in reader.batches()) == 2


def test_a_name_that_agrees_is_not():
    _, findings = choose_format(source_of(b"a,b\n1,2\n", "x.tsv"), ReadSpec())
    assert findings == []


@pytest.mark.parametrize(
    "data", [parquet_bytes(), b"PK\x03\x04" + bytes(100), bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_declared_but_clearly_something_else(data):
    with pytest.raises(BadInput) as error:
        choose_format(source_of(data, "trades.csv"), ReadSpec(format="csv"))
    assert error.value.code == "not_this_format"


def test_a_declaration_wins_where_it_can_be_true():
    format, findings = choose_format(source_of(b"only one column\nof words\n", "x.bin"), ReadSpec(format="csv"))
    assert (format.name, findings) == ("csv", [])


@pytest.mark.parametrize("read", [ReadSpec(), ReadSpec(format="csv")])
def test_empty(read):
    with pytest.raises(BadInput) as error:
        choose_format(source_of(b"", "x.csv"), read)
    assert error.value.code == "empty_object"


NOISE = bytes(range(256)) * 20


def test_nobody_knows_it():
    with pytest.raises(BadInput) as error:
        detect(source_of(NOISE, "x.bin"))
    assert error.value.code == "unknown_format"


@pytest.mark.parametrize("data", [NOISE, b"\x89PNG\r\n\x1a\n" + NOISE, random.Random(1).randbytes(9000)])
def test_7_1_unknown_bytes_end_as_raw_text_without_a_loss(data):
    reader = open_reader(source_of(data, "x.csv"), ReadSpec())
    rows = pl.concat(b.frame for b in reader.batches())
    assert "raw_text" in {f.code for f in reader.findings}
    lines = [text.encode(encoding) for text, encoding in rows.select("text", "encoding").rows()]
    assert b"\n".join(lines) == data.removesuffix(b"\n")


@pytest.mark.parametrize(
    "read", [ReadSpec(unknown="refuse"), ReadSpec(columns=[{"name": "a", "type": "int64"}])], ids=["refuse", "columns"]
)
def test_unknown_bytes_are_refused_where_something_else_is_expected(read):
    with pytest.raises(BadInput) as error:
        choose_format(source_of(b"\x89PNG\r\n\x1a\n" + NOISE, "x.csv"), read)
    assert (error.value.code, error.value.found) == ("unknown_format", "a PNG image")


def test_a_page_is_no_data():
    page = b"<!DOCTYPE html><html><body>" + b"<p>Service unavailable, try later</p>\n" * 30
    with pytest.raises(BadInput) as error:
        detect(source_of(page, "quotes.csv"))
    assert (error.value.code, error.value.found) == ("unknown_format", "an HTML page")


RANKED = [(0.85, "csv"), (0.4, "fixed_width"), (0.3, "txt"), (0.1, "raw_text"), (0.0, "json")]


@pytest.mark.parametrize(
    ("certainty", "shares", "format", "decided_by"),
    [
        (0.85, None, "csv", "rules"),
        (0.85, {"csv": 0.9}, "csv", "rules"),
        (0.85, {"txt": 0.97}, "csv", "rules"),
        (0.85, {"txt": 0.99}, "txt", "model"),
        (0.7, {"txt": 0.92}, "txt", "model"),
        (0.5, {"txt": 0.69}, "csv", "rules"),
        (0.5, {"txt": 0.71}, "txt", "model"),
        (0.5, {"json": 1.0}, "csv", "rules"),
        (0.5, {"raw_text": 0.9}, "raw_text", "model"),
        (0.97, {"txt": 1.0}, "csv", "rules"),
        (0.1, {"gzip": 1.0}, "raw_text", "rules"),
    ],
)
def test_the_model_must_be_the_surer_the_surer_the_rules_are(certainty, shares, format, decided_by):
    ranked = sorted([(certainty, "csv"), *((min(c, certainty), n) for c, n in RANKED[1:])], key=lambda p: (-p[0], p[1]))
    found = decide(ranked, shares)
    assert (found.format, found.decided_by) == (format, decided_by)


def test_what_is_sure_is_not_asked_of_the_model():
    assert detect(source_of(parquet_bytes())).model == ""
    assert detect(source_of(b"a,b\n1,2\n3,4\n")).model == "packaged"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_wide_text_is_read_by_formats_that_know_utf_8_only(encoding):
    lines = "\n".join(f'{{"n": {i}, "city": "Köln"}}' for i in range(30))
    source = source_of(lines.encode(encoding), "x")
    assert detect(source).format == "ndjson"
    reader = open_reader(source, ReadSpec())
    rows = pl.concat(b.frame for b in reader.batches())
    assert rows["n"].to_list() == list(range(30)) and set(rows["city"]) == {"Köln"}
    assert [f.code for f in reader.findings] == ["transcoded"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: 2\n",
        "- a: 1\n  b: 2\n- a: 3\n  b: 4\n",
        "name: Smith, John\ncity: Paris, France\n",
        'a: "x, y"\nb: "z, w"\nc: "q, r"\n',
        "trades:\n  - {id: 1, price: 2.5}\n  - {id: 2, price: 3.5}\n",
        "defaults: &d\n  unit: kg\nitem:\n  <<: *d\n  name: x\n",
        "- a: 1\n  b: 2\n" * 6_000,  # of which only the beginning is looked at
    ],
)
def test_records_of_yaml_need_no_name(text):
    assert detect_head(text.encode()[: 1 << 16], "x.bin").format == "yaml"


@pytest.mark.parametrize(
    "text",
    [
        "ERROR: disk full, retry\nERROR: disk full, retry\nINFO: done, bye\n",
        "id: int, name: text\n1, a\n2, b\n",
        "time: 10:00, price: 5\ntime: 10:01, price: 6\n",
        "- - - - " * 4_000 + "\n",
        "{a: 1, b: 2}\n{a: 3, b: 4}\n",
    ],
)
def test_other_texts_with_colons_and_dashes_are_no_yaml(text):
    assert detect_head(text.encode()[: 1 << 16], "x.bin").format != "yaml"


def test_no_alphabet_is_looked_for_in_bytes_of_no_text(monkeypatch):
    """It takes half a second."""
    file = io.BytesIO()
    pl.DataFrame({"x": [random.Random(1).getrandbits(62) for _ in range(20_000)]}).write_avro(file)
    monkeypatch.setattr("base_ops.worker.formats.delimited.encoding.by_alphabet", lambda _: pytest.fail("a guess"))
    assert detect_head(file.getvalue()[: 1 << 16], "x.bin").format == "avro"


def test_bytes_that_are_not_of_the_wide_encoding_are_named():
    data = '{"a": 1}\n'.encode("utf-16-le") * 20_000 + b"\x00\xd8\x41\x00"
    with pytest.raises(BadInput) as error:
        list(open_reader(source_of(data, "x"), ReadSpec()).batches())
    assert error.value.code == "encoding"


@given(st.binary(max_size=600))
def test_any_bytes_are_something(data):
    if data:
        assert detect_head(data, "x").format in known_formats()


def test_formats_by_name_and_suffix():
    assert get_format("csv") is known_formats()["csv"]
    assert get_format("tsv").name == "csv"
    with pytest.raises(ConfigError, match="Did you mean 'parquet'"):
        get_format("parquett")


@pytest.mark.corpora
def test_other_peoples_files():
    root = Path(os.environ["BASE_CORPORA"])
    for folder, format in (("duckdb/csv/real", "csv"), ("docling/csv/sources", "csv"), ("csvsniffer/W3C-CSVW", "csv")):
        wrong = []
        for path in sorted((root / folder).iterdir()):
            if path.suffix == ".csv":
                found = detect(source_of(path.read_bytes(), path.name)).format
                wrong += [path.name] if found != format else []
        assert len(wrong) <= 0.01 * len(list((root / folder).iterdir())), wrong


@pytest.mark.corpora
def test_real_files_of_many_formats():
    """Renamed, so that content alone decides."""
    right = total = 0
    for path, wanted in labelled_files():
        with path.open("rb") as file:
            head = file.read(1 << 16)
        found = wrapper_of(head) or detect_head(head, "object").format
        right += (found if found != "zip" or wanted == {"zip"} else detect_head(head, "object").format) in wanted
        total += 1
    assert total > 1000 and right >= 0.975 * total, (right, total)
