"""`base-ops detect`: what a file is, for people and for programs."""

from __future__ import annotations

import gzip
import json

import pytest
from click.testing import CliRunner

from base_ops.cli.detect import detect
from base_ops.core.errors import BadInput, ConfigError

CSV = "datum;größe\n" + "".join(f"0{d}/04/2025;{d},5\n" for d in range(1, 10)) * 3


def run(*args: object):
    return CliRunner().invoke(detect, [str(a) for a in args], catch_exceptions=False, standalone_mode=False)


def test_json(tmp_path):
    path = tmp_path / "prices.dat"
    path.write_bytes(gzip.compress(CSV.encode("cp1252")))
    found = json.loads(run(path, "--json").output)
    assert (found["format"], found["wrappers"], found["encoding"]) == ("csv", ["gzip"], "cp1252")
    assert (found["dialect"]["delimiter"], found["dialect"]["header"]) == (";", True)
    assert found["columns"] == {"datum": "String", "größe": "Float64"}
    assert "ambiguous_date" in {f["code"] for f in found["findings"]}
    assert found["decided_by"] == "rules" and found["confidence"] > 0.7 and found["problem"] is None


def test_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    text = run(path).output
    assert "format" in text and "csv" in text and "Int64" in text


def test_options_are_heard(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2\n3,4\n")
    assert list(json.loads(run(path, "--json", "--option", "header=false").output)["columns"]) == [
        "column_1",
        "column_2",
    ]
    with pytest.raises(ConfigError, match="delimiter"):
        run(path, "--option", "delimter=;")


def test_nobody_knows_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    found = run(path, "--json")
    assert json.loads(found.output)["format"] == "raw_text"
    assert "a PNG image" in found.output
    assert found.return_value == 10 or found.exit_code == 10


def test_no_such_file(tmp_path):
    with pytest.raises(BadInput, match="no file"):
        run(tmp_path / "none")


def test_what_cannot_be_read_says_why(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2')
    found = json.loads(run(path, "--json").output)
    assert found["format"] == "json" and found["problem"]
