"""Formats by content; names are hints; declarations are checked."""

from __future__ import annotations

import io
import os
from pathlib import Path

import polars as pl
import pytest
from delimited_kit import source_of

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.formats.detect import choose_format, detect, open_reader
from base_ops.worker.formats.registry import get_format, known_formats
from base_ops.worker.formats.wrappers import open_object


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


def test_nobody_knows_it():
    with pytest.raises(BadInput) as error:
        detect(source_of(bytes(range(256)) * 20, "x.bin"))
    assert error.value.code == "unknown_format"


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
