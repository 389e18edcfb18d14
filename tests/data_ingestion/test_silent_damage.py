"""What good libraries do to data without a word, case by case: here it is kept, or set aside by name."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from worker_kit import convert, job, merge

from base_ops.core.outcomes import Outcome


def converted(tmp_path: Path, name: str, data: str | bytes, **read: Any) -> pl.DataFrame:
    result = convert(tmp_path, name, data.encode() if isinstance(data, str) else data, read)
    assert result.status is Outcome.OK, result.error
    return pl.read_parquet(tmp_path / "out.parquet")


def nanos(series: pl.Series) -> list[int]:
    return series.cast(pl.Datetime("ns")).to_physical().to_list()


FRACTIONS = {".05": 50_000_000, ".123456": 123_456_000, ".123456789": 123_456_789, "": 0}


@pytest.mark.parametrize("suffix", ["", "Z"])
@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_fractions_of_any_length_and_a_z(name: str, suffix: str, tmp_path: Path) -> None:
    """polars nulls `.05`, nine digits and `Z` under %.6f; daft cuts JSON to milliseconds."""
    stamps = [f"1969-12-31T23:59:59{fraction}{suffix}" for fraction in FRACTIONS]
    lines = {"t.csv": ["id,at", *(f"{n},{s}" for n, s in enumerate(stamps))]}
    lines["t.ndjson"] = [f'{{"id": {n}, "at": "{s}"}}' for n, s in enumerate(stamps)]
    rows = converted(tmp_path, name, "\n".join(lines[name]) + "\n")
    assert nanos(rows["at"]) == [n - 1_000_000_000 for n in FRACTIONS.values()]
    assert rows.schema["at"].time_zone == ("UTC" if suffix else None), "a naive timestamp is nobody's UTC"


def test_one_whole_second_far_behind_the_sample(tmp_path: Path) -> None:
    """DuckDB takes the sample's format with fractions for all and fails the file."""
    stamps = ["2024-01-02 04:02:03.5"] * 30_000 + ["2024-01-02 04:02:03"]
    rows = converted(tmp_path, "t.csv", "id,at\n" + "".join(f"{n},{s}\n" for n, s in enumerate(stamps)))
    assert str(rows["at"][-1]) == "2024-01-02 04:02:03" and rows["at"].null_count() == 0


def test_empty_is_not_null(tmp_path: Path) -> None:
    """DuckDB, pandas, Spark and dlt read a quoted empty cell as NULL."""
    rows = converted(tmp_path, "t.csv", 'id,note\n1,""\n2,\n3,x\n')
    assert rows["note"].to_list() == ["", None, "x"]


def test_cells_that_do_not_parse_are_set_aside_with_their_line(tmp_path: Path) -> None:
    """polars aborts or nulls them; a row index is no line number where cells hold line ends."""
    lines = [f'{n},"two\nlines",{n}' for n in range(100)]
    lines[50] = '50,"two\nlines",many'
    result = convert(tmp_path, "t.csv", ("id,note,count\n" + "\n".join(lines) + "\n").encode())
    assert result.status is Outcome.PARTIAL
    assert pl.read_parquet(result.quarantine[0].uri)["line"].to_list() == [102]
    assert pl.read_parquet(tmp_path / "out.parquet")["id"].to_list() == [n for n in range(100) if n != 50]


def test_ragged_lines_are_neither_cut_nor_padded(tmp_path: Path) -> None:
    """polars truncate_ragged_lines does both."""
    lines = [f"{n},x,{n}" for n in range(100)]
    lines[10], lines[20] = "10,x,10,more", "20,x"
    result = convert(tmp_path, "t.csv", ("id,note,count\n" + "\n".join(lines) + "\n").encode())
    set_aside = pl.concat([pl.read_parquet(q.uri) for q in result.quarantine], how="diagonal_relaxed").unique("line")
    assert sorted(set_aside.select("line", "rule").rows()) == [(12, "ragged_long"), (22, "ragged_short")]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_json_has_no_nan(value: str, tmp_path: Path) -> None:
    """The standard library's parser takes them."""
    lines = [f'{{"id": {n}, "v": {n}.5}}' for n in range(100)]
    lines[7] = f'{{"id": 7, "v": {value}}}'
    result = convert(tmp_path, "t.ndjson", ("\n".join(lines) + "\n").encode())
    assert pl.read_parquet(result.quarantine[0].uri).select("line", "rule").rows() == [(8, "syntax")]


@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_integers_beyond_64_bits_and_beyond_float64(name: str, tmp_path: Path) -> None:
    numbers = [2**53 + 1, 2**64 - 1, -(2**70), 1]
    lines = {"t.csv": ["id,n", *(f"{n},{v}" for n, v in enumerate(numbers))]}
    lines["t.ndjson"] = [f'{{"id": {n}, "n": {v}}}' for n, v in enumerate(numbers)]
    rows = converted(tmp_path, name, "\n".join(lines[name]) + "\n")
    assert [int(value) for value in rows["n"]] == numbers


def test_dates_that_can_be_read_in_two_ways_stay_text(tmp_path: Path) -> None:
    rows = converted(tmp_path, "t.csv", "id,day,old\n1,03/04/2025,1969-12-31\n2,05/06/2025,0001-01-01\n")
    assert rows["day"].to_list() == ["03/04/2025", "05/06/2025"]
    assert rows["old"].to_list() == [date(1969, 12, 31), date(1, 1, 1)]


OLD = pl.DataFrame({"k": [1], "a": [10], "b": ["old"], "at": [1]})
NEW = pl.DataFrame({"k": [1], "a": [None], "b": ["new"], "at": [2]}, schema=OLD.schema)


def test_the_winning_record_is_taken_whole_with_its_nulls(tmp_path: Path) -> None:
    """DuckDB's arg_max and pandas' last skip NULLs and so make a row that no source ever sent."""
    rows = merge(tmp_path, {"x": OLD, "y": NEW}, key=["k"], default={"rule": "last_write_wins", "by": "at"})
    assert rows.rows() == NEW.rows()


@pytest.mark.parametrize("rule", ["last_write_wins", "first_write_wins", "most_recent"])
def test_a_key_without_any_moment_does_not_vanish(rule: str, tmp_path: Path) -> None:
    """Ranked by a column that is null throughout, narwhals and SQL joins lose the key."""
    frames = {source: frame.with_columns(at=pl.lit(None, pl.Int64)) for source, frame in (("x", OLD), ("y", NEW))}
    rows = merge(tmp_path, frames, key=["k"], default={"rule": rule, "by": "at"}, priority=["x"])
    assert rows["k"].to_list() == [1] and rows["b"][0] in ("old", "new")


def test_a_name_that_is_a_pattern_to_polars_reaches_no_expression(tmp_path: Path) -> None:
    """`^.*$` would mean all columns: hide them all, or none."""
    odd, plain = {"id": [1, 2], "^.*$": ["a", "b"]}, {"id": [2, 3], "^.*$": ["b", "c"]}
    assert converted(tmp_path, "t.csv", "id,^.*$\n1,a\n2,b\n").to_dict(as_series=False) == odd
    spec = {"source": str(tmp_path / "out.parquet"), "target": str(tmp_path / "masked.parquet")}
    masked = job(tmp_path, "data_security.masker", "mask", {**spec, "columns": {"^.*$": {"method": "redact"}}})
    assert masked.error and (masked.status, masked.error.code) == (Outcome.BAD_INPUT, "pattern_name")
    frames = {"a": pl.DataFrame(odd), "b": pl.DataFrame(plain)}
    with pytest.raises(AssertionError, match="pattern_name"):
        merge(tmp_path, frames, key=["id"])
    names = {source: {"^.*$": "name"} for source in frames}
    assert sorted(merge(tmp_path, frames, key=["id"], rename=names).rows()) == [(1, "a"), (2, "b"), (3, "c")]
