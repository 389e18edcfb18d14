"""The sample pipeline through Airflow, against the account of what was planted in its sources."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from e2e_kit import ROOT, Done, Row, current, demo, files_of, results, row_versions, run

from base_ops import sample
from base_ops.core.protocol import Result
from base_ops.sample import PLANTED, Planted, market

pytestmark = pytest.mark.slow

EMAIL = "trader_email"
Key = tuple[str, date]


def expected_quarantine(planted: Planted) -> dict[str, int]:
    found = {
        "type": planted.bad_number + planted.bad_date,
        "ragged": planted.ragged,
        "presence_symbol": planted.missing_symbol,
        "range_close": planted.negative_price,
    }
    return {rule: rows for rule, rows in found.items() if rows}


def expected_table(later: bool = False) -> dict[Key, Row]:
    """The last update of every key with the greatest volume anyone gave; the e-mail as it was sent."""
    volumes: dict[tuple[str, str], int] = {}
    for row in market.api_quotes(later=later) + market.drop_quotes(later=later):
        key = (row["symbol"], row["date"])
        volumes[key] = max(row["volume"], volumes.get(key, 0))
    return {
        (symbol, date.fromisoformat(day)): row
        | {
            "date": date.fromisoformat(day),
            "volume": volumes[symbol, day],
            "updated_at": datetime.fromisoformat(row["updated_at"]),
        }
        for (symbol, day), row in market.newest(later=later).items()
    }


def by_key(rows: list[Row]) -> dict[Key, Row]:
    found = {(row["symbol"], row["date"]): row for row in rows}
    assert len(found) == len(rows), "a key occurs twice"
    return found


def without_email(rows: dict[Key, Row]) -> dict[Key, Row]:
    return {key: {k: v for k, v in row.items() if k != EMAIL} for key, row in rows.items()}


def run_again(home: Path, result: Result) -> Result:
    """What a cleared task does: the same request once more, straight to a worker, as another attempt."""
    stored = next((home / "lake" / "runs").rglob(f"1-{result.identity.attempt}/request.json"))
    request = json.loads(stored.read_text())
    again = home / "lake" / "runs" / "again" / request["identity"]["task_id"]
    again.mkdir(parents=True)
    request["identity"] |= {"attempt": "again", "try_number": 2}
    request["result_uri"] = str(again / "result.json")
    (again / "request.json").write_text(json.dumps(request))
    connections = str(home / "connections")
    done = run(home, "base_ops.worker", "--request", str(again / "request.json"), BASE_CONNECTIONS_DIR=connections)
    assert done.code == 0, done.err
    return Result.model_validate_json((again / "result.json").read_text())


@dataclass
class Story:
    """A first run; its merge and store cleared; then a run after both vendors sent corrections."""

    lake: Path
    done: Done
    first: list[Result]
    tables: tuple[list[Row], list[Row]]
    files: tuple[dict[str, str], dict[str, str]]
    again: dict[str, Result]
    versions: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    home = tmp_path_factory.mktemp("sample")
    lake = home / "lake"
    done = demo(home)
    first, table, files = results(lake), current(lake, "eod_quotes"), files_of(lake)
    of_task = {result.identity.task_id: result for result in first}
    again = {task: run_again(home, of_task[task]) for task in ("merge", "store")}
    cleared, versions = files_of(lake), len(row_versions(lake, "eod_quotes"))
    sample.correct(home)
    demo(home)
    return Story(lake, done, first, (table, current(lake, "eod_quotes")), (files, cleared), again, versions)


@pytest.mark.parametrize("source", sorted(PLANTED))
def test_quarantine_holds_what_was_planted(story: Story, source: str) -> None:
    (convert,) = [r for r in story.first if (r.identity.task_id, r.identity.item) == ("convert", source)]
    said, kept = Counter(), Counter()
    for ref in convert.quarantine:
        said[ref.rule.removesuffix("_short").removesuffix("_long")] += ref.rows
    for folder in {ref.uri for ref in convert.quarantine}:
        for file in Path(folder).glob("*.parquet"):
            records = pq.read_table(file).to_pylist()
            kept.update(r["rule"].removesuffix("_short").removesuffix("_long") for r in records)
            assert all(r["line"] and r["reason"] and Path(r["object"].split("#")[0]).exists() for r in records), records
            assert "@example.com" not in str([r["view"] for r in records]), "a masked column is shown"
    assert dict(said) == dict(kept) == expected_quarantine(PLANTED[source])
    assert (convert.counts.rows_in, convert.counts.quarantined) == (PLANTED[source].rows, PLANTED[source].broken)


def test_the_document_and_the_account(story: Story) -> None:
    document = story.done.document
    assert (document["dag_id"], document["status"]) == ("base_layer_data_pipeline", "success")
    assert [(t["name"], t["rows"], t["version"]) for t in document["tables"]] == [("eod_quotes", 720, 0)]
    assert sum(q["rows"] for q in document["quarantine"]) == sum(p.broken for p in PLANTED.values())
    assert all(set(q) == {"rule", "rows", "uri"} for q in document["quarantine"])
    assert [s.counts for r in results(story.lake) for s in r.steps if s.counts.balance() != 0] == []


def test_the_table_is_the_newest_of_both(story: Story) -> None:
    assert without_email(by_key(story.tables[0])) == without_email(expected_table())


def test_no_address_is_left_and_each_has_one_token(story: Story) -> None:
    truth = expected_table()
    pairs = {(truth[key][EMAIL], row[EMAIL]) for key, row in by_key(story.tables[0]).items()}
    assert len(pairs) == len({email for email, _ in pairs}) == len({token for _, token in pairs}) > 1
    assert not any("@" in token for _, token in pairs)


@pytest.mark.parametrize("task", ["merge", "store"])
def test_a_cleared_task_run_again_does_nothing(story: Story, task: str) -> None:
    before = next(r for r in story.first if r.identity.task_id == task)
    again = story.again[task]
    assert (again.adopted, again.status) == (True, before.status)
    assert (again.commit_keys, again.outputs) == (before.commit_keys, before.outputs)
    assert story.files[0] == story.files[1]


def test_later_corrections_change_their_rows_alone(story: Story) -> None:
    old, new = by_key(story.tables[0]), by_key(story.tables[1])
    corrected = {
        (row["symbol"], date.fromisoformat(row["date"]))
        for row in market.api_quotes(later=True) + market.drop_quotes(later=True)
        if row["updated_at"] == market.LATER
    }
    assert len(corrected) == sum(planted.later_corrections for planted in PLANTED.values())
    assert {key for key in old | new if old.get(key) != new.get(key)} == corrected
    assert without_email(new) == without_email(expected_table(later=True))
    rows = row_versions(story.lake, "eod_quotes")
    assert len(rows) == story.versions + len(corrected)
    assert {(r["symbol"], r["date"]) for r in rows if not r["_current"]} == corrected


def test_airflows_own_command_runs_it(tmp_path: Path) -> None:
    """`airflow dags test` from a checkout, with no other service there; and no file of the DAG folder has a fault."""
    settings = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def airflow(*arguments: str, code: int = 0, **more: str) -> Done:
        done = run(tmp_path / "home", "airflow", *arguments, timeout_s=480, **settings, **more)
        assert done.code == code, done.err + done.out[-4000:]
        return done

    airflow("db", "migrate")
    absent = {
        "BASE_MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "BASE_STATE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none",  # where breakers and the events' outbox are
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_PORT": "9",
    }
    done = airflow("dags", "test", "base_layer_data_pipeline", **absent)
    assert "the state database did not take its events" in done.out + done.err
    assert without_email(by_key(current(tmp_path / "home" / "lake", "eod_quotes"))) == without_email(expected_table())
    airflow("dags", "reserialize")  # what a DAG processor does: only this finds import errors
    assert json.loads(airflow("dags", "list-import-errors", "--output", "json").out.splitlines()[-1]) == []
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torn.yaml").write_text("tasks: [")
    airflow("dags", "reserialize", BASE_PIPELINES_DIR=str(tmp_path / "broken"))
    listed = airflow("dags", "list-import-errors", "--output", "json", code=1)
    (error,) = json.loads(listed.out.splitlines()[-1])
    assert "torn.yaml" in error["error"]
