"""The checks of the module's sheet, section 7, that concern converter and merger, under their numbers."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from every_format import TRADED, Sample, samples, wrapped
from fakes.office import encrypted_package
from worker_kit import convert, job

from base_ops.core.outcomes import Outcome
from base_ops.data_ingestion.models.format_recognition.recognize import recognize
from base_ops.worker.formats.registry import known_formats
from base_ops.worker.models.champion import load_model

SAMPLES = samples()


@pytest.mark.parametrize("kind", SAMPLES)
def test_7_1_every_format_converts_to_its_golden_rows(kind: str, tmp_path: Path) -> None:
    sample: Sample = SAMPLES[kind]
    for name, content in sample.files.items():
        (tmp_path / name).write_bytes(content)
    read = json.loads(json.dumps(sample.read).replace("{trade.desc}", str(tmp_path / "trade.desc")))
    result = convert(tmp_path, sample.name, sample.data, read)
    assert result.status is Outcome.OK, result.error
    rows = pl.read_parquet(tmp_path / "out.parquet")
    assert {name: rows[name].to_list() for name in sample.expected} == sample.expected
    assert rows.height == len(next(iter(sample.expected.values())))


def test_7_1_no_format_is_left_out() -> None:
    by_name = {"csv": "csv", "swift_mt": "mt940"}
    missing = [name for name in known_formats() if by_name.get(name, name) not in SAMPLES and name != "raw_text"]
    assert not missing


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("BASE_MODELS", "false")
    load_model.cache_clear()
    yield
    load_model.cache_clear()


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("kind", SAMPLES)
def test_7_2_without_the_model_every_format_still_converts(kind: str, tmp_path: Path) -> None:
    assert recognize(b"any") is None
    test_7_1_every_format_converts_to_its_golden_rows(kind, tmp_path)


@pytest.mark.parametrize("name", wrapped(b""))
def test_7_1_every_wrapper(name: str, tmp_path: Path) -> None:
    result = convert(tmp_path, name, wrapped(SAMPLES["csv"].data)[name])
    assert result.status is Outcome.OK, result.error
    assert pl.read_parquet(tmp_path / "out.parquet").to_dict(as_series=False) == TRADED


@pytest.mark.parametrize("target", ["out.parquet", "out.json", "out.ndjson", "out.avro", "out.csv", "out.arrow"])
def test_7_1_every_target(target: str, tmp_path: Path) -> None:
    assert convert(tmp_path, "t.csv", SAMPLES["csv"].data, target=target).status is Outcome.OK
    again = convert(tmp_path, target, (tmp_path / target).read_bytes(), target="again.parquet")
    assert again.status is Outcome.OK, again.error
    assert pl.read_parquet(tmp_path / "again.parquet").to_dict(as_series=False) == TRADED


@pytest.mark.parametrize(("share", "status"), [(0.03, Outcome.PARTIAL), (0.06, Outcome.BAD_INPUT)])
def test_7_3_ten_thousand_rows_with_broken_ones(share: float, status: Outcome, tmp_path: Path) -> None:
    chance = random.Random(7)
    broken = set(chance.sample(range(10_000), int(10_000 * share)))
    lines = [f"{n},{n / 4},x" for n in range(10_000)]
    for n in broken:
        lines[n] = f"{n},{n / 4},x,extra" if n % 2 else f"{n},none,x"
    result = convert(tmp_path, "t.csv", ("id,price,note\n" + "\n".join(lines) + "\n").encode())
    assert result.status is status
    if status is Outcome.BAD_INPUT:
        assert not (tmp_path / "out.parquet").exists()
        return
    kept = pl.read_parquet(tmp_path / "out.parquet")
    assert set(kept["id"]) == set(range(10_000)) - broken
    records = pl.concat([pl.read_parquet(q.uri) for q in result.quarantine], how="diagonal_relaxed")
    assert {line - 2 for line in records["line"]} == broken
    assert set(records["rule"]) == {"ragged_long", "type"} and records["reason"].null_count() == 0


def _bomb(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", bytes(200 << 20))
    return (tmp_path / "bomb").read_bytes()


def _escape(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "escape", "w") as archive:
        archive.writestr("../a.csv", b"a,b\n1,2\n")
    return (tmp_path / "escape").read_bytes()


_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><l>&j;</l>"
)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("bomb.xml", lambda _: _LAUGHS, "entit|dtd|doctype"),
        ("bomb.zip", _bomb, "ratio|unpack"),
        ("escape.zip", _escape, "path|member"),
        ("locked.xlsx", lambda _: encrypted_package(), "password"),
    ],
)
def test_7_11_hostile_files_are_refused_by_name(name: str, make: Any, words: str, tmp_path: Path) -> None:
    result = convert(tmp_path, name, make(tmp_path))
    assert result.status is Outcome.BAD_INPUT and result.error is not None
    said = f"{result.error.code} {result.error.what} {result.error.found} {result.error.expected}".lower()
    assert any(word in said for word in words.split("|")), said
    assert result.cpu_seconds < 5
    assert not (tmp_path / "out.parquet").exists()


RULES: dict[str, tuple[dict[str, Any], list[Any], Any, list[str]]] = {
    # rule: (its settings, what five sources say, what comes out, who lost)
    "last_write_wins": ({"by": "updated_at"}, [1, 2, 3, 4, 5], 5, ["s1", "s2", "s3", "s4"]),
    "first_write_wins": ({"by": "updated_at"}, [1, 2, 3, 4, 5], 1, ["s2", "s3", "s4", "s5"]),
    "most_recent": ({"by": "updated_at"}, [9, 9, 9, 9, 7], 7, ["s1", "s2", "s3", "s4"]),
    "highest_confidence": ({"by": "confidence"}, [1, 2, 3, 4, 5], 3, ["s1", "s2", "s4", "s5"]),
    "priority": ({}, [1, 2, 3, 4, 5], 2, ["s1", "s3", "s4", "s5"]),
    "weighted_average": ({"by": "confidence"}, [10, 10, 20, 10, 10], 15.0, ["s1", "s2", "s3", "s4", "s5"]),
    "sum": ({}, [1, 2, 3, 4, 5], 15, ["s1", "s2", "s3", "s4", "s5"]),
    "min": ({}, [3, 2, 1, 4, 5], 1, ["s1", "s2", "s4", "s5"]),
    "max": ({}, [3, 2, 1, 4, 5], 5, ["s1", "s2", "s3", "s4"]),
    "truth_discovery": ({}, [8, 8, 1, 8, 2], 8, ["s3", "s5"]),
    "expression": ({"expression": "coalesce(s4, s1)"}, [1, 2, 3, 4, 5], 4, ["s1", "s2", "s3", "s4", "s5"]),
}
CONFIDENCE = (0.1, 0.1, 0.5, 0.1, 0.2)


def test_7_12_five_sources_every_rule_has_its_winner_and_its_losers(tmp_path: Path) -> None:
    inputs: dict[str, list[str]] = {}
    for number in range(5):
        frame = pl.DataFrame({"k": [1], "updated_at": [number], "confidence": [CONFIDENCE[number]]})
        said = [pl.Series(rule, [values[number]]) for rule, (_, values, _, _) in RULES.items()]
        path = tmp_path / f"s{number + 1}.parquet"
        frame.with_columns(said).write_parquet(path)
        inputs[f"s{number + 1}"] = [str(path)]
    spec = {
        "dataset": "d",
        "key": ["k"],
        "priority": ["s2"],
        "fields": [{"fields": [rule], "rule": rule, **settings} for rule, (settings, _, _, _) in RULES.items()],
        "inputs": inputs,
        "target": str(tmp_path / "merged"),
    }
    result = job(tmp_path, "data_ingestion.merger", "merge_processed_files", spec)
    assert result.status is Outcome.OK, result.error
    (row,) = pl.read_parquet(tmp_path / "merged" / "part-0.parquet").rows(named=True)
    log = pl.read_parquet(tmp_path / "merged" / "conflicts.parquet")
    for rule, (_, _, expected, losers) in RULES.items():
        assert row[rule] == pytest.approx(expected), rule
        assert sorted(log.filter(pl.col("field") == rule)["loser_source"]) == losers, rule
