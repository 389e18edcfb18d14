"""Two real vendors' daily FX quotes, through the real DAG, against the vendors' files read with the standard library."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e_kit import ROOT, Done, Row, current, demo, environment, files_of, results, row_versions, run

from base_ops.orchestration.testrun import airflow_environment

pytestmark = pytest.mark.corpora

SIDES = [f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close", "size")]
CORRECTED = {"20070103 00:00": "1.31688", "20120515 00:00": "1.27301", "20150601 00:00": "1.09251"}
"""Days of EURUSD and the close that Oanda gives for them later."""
BID_CLOSE = 4

Quotes = dict[tuple[str, str], tuple[float, ...]]


def lines_of(data: Path, vendor: str, symbol: str) -> list[list[str]]:
    with zipfile.ZipFile(data / "forex" / vendor / "daily" / f"{symbol}.zip") as archive:
        (member,) = archive.namelist()
        return list(csv.reader(io.StringIO(archive.read(member).decode())))


def quotes_of(data: Path, vendor: str, symbol: str) -> Quotes:
    return {(symbol, day): tuple(map(float, cells)) for day, *cells in lines_of(data, vendor, symbol)}


def merged_by_hand(data: Path) -> Quotes:
    """Whole rows, Oanda's where both quote a day."""
    found: Quotes = {}
    for vendor in ("fxcm", "oanda"):
        for file in sorted((data / "forex" / vendor / "daily").glob("*.zip")):
            found |= quotes_of(data, vendor, file.stem)
    return found


def as_quotes(rows: list[Row]) -> Quotes:
    found = {(r["symbol"], f"{r['time']:%Y%m%d %H:%M}"): tuple(float(r[name]) for name in SIDES) for r in rows}
    assert len(found) == len(rows), "a key occurs twice"
    return found


def correct(data: Path) -> None:
    """Oanda sends EURUSD again, with another bid close on three days."""
    lines = lines_of(data, "oanda", "eurusd")
    for cells in lines:
        cells[BID_CLOSE] = CORRECTED.get(cells[0], cells[BID_CLOSE])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    with zipfile.ZipFile(data / "forex/oanda/daily/eurusd.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("eurusd.csv", text.getvalue())


@dataclass
class Story:
    """Three runs over one lake: the first, the same again, and one after a correction."""

    lake: Path
    runs: tuple[Done, Done, Done]
    truths: tuple[Quotes, Quotes]
    tables: tuple[list[Row], list[Row]]
    files: tuple[dict[str, str], dict[str, str]]
    before: datetime
    versions: int


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fx") / "data"
    shutil.copytree(Path(os.environ["BASE_CORPORA"]) / "market-data-fx-crypto", folder)
    return folder


@pytest.fixture(scope="module")
def twins(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int], str]:
    """Two copies of the DAG at once on one new lake, each with its own Airflow; before anything is corrected."""
    home = tmp_path_factory.mktemp("twins")
    example = ROOT / "examples" / "fx_two_vendors" / "dags"
    processes = []
    for number in range(2):
        extra = {
            **airflow_environment(home / f"airflow{number}"),
            "BASE_PIPELINES_DIR": str(example / "pipelines"),
            "BASE_CONFIG_DIR": str(example / "config"),
        }
        command = ["base_ops.orchestration.testrun", "fx_two_vendors", "--conf", json.dumps({"data": str(data)})]
        with (home / f"{number}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=ROOT,
                    env=environment(home, **extra),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    codes = [process.wait(240) for process in processes]
    return home / "lake", codes, "\n".join((home / f"{n}.log").read_text()[-4000:] for n in range(2))


@pytest.fixture(scope="module")
def story(data: Path, twins: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("home")
    lake = home / "lake"
    arguments = ("--example", "fx_two_vendors", "--data", str(data))
    truth = merged_by_hand(data)
    first = demo(home, *arguments)
    table, files, versions = current(lake, "fx_quotes"), files_of(lake), len(row_versions(lake, "fx_quotes"))
    second = demo(home, *arguments)
    again, before = files_of(lake), datetime.now(UTC)
    correct(data)
    third = demo(home, *arguments)
    truths = (truth, merged_by_hand(data))
    tables = (table, current(lake, "fx_quotes"))
    yield Story(lake, (first, second, third), truths, tables, (files, again), before, versions)


def test_the_document_is_the_last_line(story: Story) -> None:
    document = story.runs[0].document
    assert (document["dag_id"], document["status"]) == ("fx_two_vendors", "success")
    assert {t["task_id"] for t in document["tasks"]} == {"collect", "convert", "merge", "store"}
    uri = str(story.lake / "tables" / "fx_quotes")
    assert document["tables"] == [{"name": "fx_quotes", "uri": uri, "rows": len(story.truths[0]), "version": 0}]
    assert document["quarantine"] == []
    assert json.loads(story.runs[0].out.strip()) == document, "nothing else is on stdout"


def test_the_table_holds_every_quote_once(story: Story) -> None:
    rows = {o.source: o.rows for r in results(story.lake)[:4] for o in r.outputs if o.slice == "eurusd" and o.rows}
    assert rows == {"oanda": 3738, "fxcm": 3487}
    per_symbol = Counter(row["symbol"] for row in story.tables[0])
    assert per_symbol["eurusd"] == 3743 == 3738 + 3487 - 3482
    assert per_symbol == Counter(symbol for symbol, _ in story.truths[0])
    (merge,) = story.runs[0].of("merge")
    assert (merge["rows_in"], merge["rows_out"], merge["merged_away"]) == (28691, 14972, 13719)


def test_every_row_comes_whole_from_one_vendor(story: Story, data: Path) -> None:
    found = as_quotes(story.tables[0])
    assert found == story.truths[0]
    vendors = [quotes_of(data, vendor, "nzdusd") for vendor in ("oanda", "fxcm")]  # never corrected
    mine = {key: values for key, values in found.items() if key[0] == "nzdusd"}
    assert all(values in [vendor.get(key) for vendor in vendors] for key, values in mine.items())
    assert len(vendors[0].keys() & vendors[1].keys()) + len(vendors[0].keys() ^ vendors[1].keys()) == len(mine)


def test_every_row_is_accounted_for(story: Story) -> None:
    found = results(story.lake)
    assert len(found) == 18 and all(r.status.is_green for r in found)
    assert [step.counts for r in found for step in r.steps if step.counts.balance() != 0] == []


def test_a_second_run_changes_no_byte(story: Story) -> None:
    assert story.files[0] == story.files[1]
    assert not any(name.endswith("00000000000000000001.json") for name in story.files[1])
    assert [t["version"] for t in story.runs[1].document["tables"]] == [0]


def test_a_correction_changes_its_three_rows_alone(story: Story) -> None:
    (truth, corrected), rows = story.truths, row_versions(story.lake, "fx_quotes")
    assert {key for key in truth if truth[key] != corrected[key]} == {("eurusd", day) for day in CORRECTED}
    assert as_quotes(story.tables[1]) == corrected
    closed = [row for row in rows if not row["_current"]]
    assert as_quotes(closed) == {("eurusd", day): truth["eurusd", day] for day in CORRECTED}
    assert len(rows) == story.versions + len(CORRECTED)
    assert {row["symbol"] for row in rows if row["_known_from"] > story.before} == {"eurusd"}
    (merge,) = story.runs[2].of("merge")
    assert (merge["rows_in"], merge["rows_out"]) == (3738 + 3487, 3743), "only the touched slice is worked on"


def test_what_was_known_before_can_still_be_read(story: Story) -> None:
    shown = []
    for options in (["--as-of", story.before.isoformat()], []):
        done = run(story.lake.parent, "base_ops.cli", "show", "fx_quotes", "--format", "csv", *options)
        assert done.code == 0, done.err
        rows: list[Row] = list(csv.DictReader(io.StringIO(done.out)))
        shown.append(as_quotes([{**row, "time": datetime.fromisoformat(row["time"])} for row in rows]))
    assert tuple(shown) == story.truths


def test_two_runs_at_once_give_the_same_table(story: Story, twins: tuple[Path, list[int], str]) -> None:
    lake, codes, log = twins
    assert codes == [0, 0], log
    assert current(lake, "fx_quotes") == story.tables[0]
    assert len(row_versions(lake, "fx_quotes")) == story.versions, "no row is there twice, none was closed"
    assert {name.split("/")[2] for name in files_of(lake) if name.startswith("staging/")} == {
        name.split("/")[2] for name in story.files[0] if name.startswith("staging/")
    }
