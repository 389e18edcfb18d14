"""The ingestion workflows as `airflow dags test` runs them, against the sample's sources on a bad day."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from e2e_kit import ROOT, current, results

from base_ops import sample
from base_ops.core.protocol import DataRef, Result
from base_ops.data_security.jobs.encryption_manager.cipher import Cipher
from base_ops.sample import market, ticks
from base_ops.state import StateStore
from base_ops.worker.lake import Store
from base_ops.worker.lake.tables import Rules, Tables

pytestmark = pytest.mark.slow


@dataclass
class Workflows:
    """Runs pipelines of the project in this process, over one home."""

    home: Path
    run_dag: Callable[..., Any]

    def run(self, dag_id: str, **conf: Any) -> dict[str, list[Result]]:
        """One run, which must succeed: its Results by task, in map order."""
        done = self.attempt(dag_id, **conf)
        assert str(done.state) == "success", self.states(done)
        return self.of(done)

    def attempt(self, dag_id: str, **conf: Any) -> Any:
        from base_ops.orchestration.factory import build

        built = build(ROOT / "dags" / "pipelines", dag_id)
        return self.run_dag(built.dags[dag_id], run_conf=conf)

    def of(self, dag_run: Any) -> dict[str, list[Result]]:
        found: dict[str, list[Result]] = {}
        for result in results(self.lake):
            if result.identity.run_id == dag_run.run_id:
                found.setdefault(result.identity.task_id, []).append(result)
        return found

    def states(self, dag_run: Any) -> dict[str, str]:
        return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def events(self) -> list[dict[str, Any]]:
        store = StateStore(f"sqlite:///{self.home / 'state.db'}")
        try:
            return [event for _, event in store.undelivered(10_000)]
        finally:
            store.close()


@pytest.fixture
def workflows(run_dag: Callable[..., Any], base_home: Path) -> Iterator[Workflows]:
    yield Workflows(base_home, run_dag)
    sample.stop(base_home)


def another_table(home: Path, dataset: str) -> Path:
    """A table of this name with another key; nothing of the pipeline's can be stored in it."""
    folder = home / "lake" / "staging" / "other"
    folder.mkdir(parents=True)
    pl.DataFrame({"id": [1]}).write_parquet(folder / "part.parquet")
    store = Store(str(home / "lake"))
    unit = DataRef(id="1", kind="staging", uri=store.uri("staging/other/part.parquet"), name=dataset, slice="other")
    Tables(store).store_units(dataset, [unit], Rules(("id",)), "somebody-elses")
    return home / "lake" / "tables" / dataset


def test_the_standard_one_on_a_bad_day(workflows: Workflows) -> None:
    found = workflows.run("base_standard_ingestion_workflow", priority="high", sla_deadline="2099-01-01T00:00:00Z")
    quotes = {(r["symbol"], r["date"], r["updated_at"]) for r in market.api_quotes()}
    rows = current(workflows.lake, "vendor_quotes")
    assert {(r["symbol"], str(r["date"]), r["updated_at"].isoformat().replace("+00:00", "Z")) for r in rows} == quotes
    assert len(rows) == len(quotes)
    (collect,) = found["collect_data_from_source"]
    assert (
        collect.steps[0].observations["retries"] == 2
    )  # 429, a cut body; the 503 met the connector, the revoked token is no retry
    (validate,) = found["validate_data_quality"]
    assert {q.rule for q in validate.quarantine} == {"presence_symbol", "range_close", "unique_symbol_date_updated_at"}
    assert "unpublish" not in found and "restore_cursor" not in found
    told = {e["type"]: e for e in workflows.events() if e["subject"] == "base_standard_ingestion_workflow"}
    assert set(told) == {"ingestion.workflow.started", "ingestion.workflow.completed"}
    assert told["ingestion.workflow.completed"]["data"]["priority"] == "high"
    assert told["ingestion.workflow.completed"]["data"]["late"] is False


def test_the_secure_one_stores_cipher_text(workflows: Workflows) -> None:
    found = workflows.run("base_secure_api_ingestion_workflow")
    (required,) = found["validate_security_requirements"]
    assert all(required.steps[0].observations["requirements"].values())
    assert found["verify_mfa_authentication"][0].steps[0].observations["mfa"] == ["otp", "pwd"]
    assert found["establish_encrypted_connection"][0].steps[0].observations["tls_version"] == "TLSv1.3"
    levels = found["classify_sensitive_data"][0].steps[0].observations["levels"]
    assert levels["trader_email"] == "confidential" and levels["close"] == "internal"
    rows = current(workflows.lake, "secure_quotes")
    key = json.loads((workflows.home / "connections" / "encryption_key.json").read_text())["password"]
    cipher = Cipher.of(key, "secure_quotes", "trader_email")
    quotes = {(r["symbol"], r["date"], r["updated_at"]): r["trader_email"] for r in market.api_quotes()}
    plain = {(r["symbol"], str(r["date"]), f"{r['updated_at']:%Y-%m-%dT%H:%M:%SZ}"): r["trader_email"] for r in rows}
    assert {k: cipher.decrypt(text) for k, text in plain.items()} == quotes
    files = [file for file in (workflows.lake / "tables").rglob("*") if file.is_file()]
    assert files and not [file for file in files if b"@example.com" in file.read_bytes()]
    told = {event["type"] for event in workflows.events()}
    assert {"security_requirements_checked", "data_classified", "data_encrypted", "data_stored"} <= told


def test_a_run_that_fails_late_leaves_nothing(workflows: Workflows) -> None:
    """The table is another one than the pipeline thinks: what was landed is withdrawn, and asked for again."""
    other = another_table(workflows.home, "vendor_quotes")
    failed = workflows.attempt("base_standard_ingestion_workflow")
    states = workflows.states(failed)
    assert (str(failed.state), states["store_validated_data"]) == ("failed", "failed"), states
    assert (states["unpublish"], states["restore_cursor"]) == ("skipped", "success")
    (restored,) = workflows.of(failed)["restore_cursor"]
    assert restored.steps[0].observations["withdrawn"] == [1] and restored.cursor_after is None
    told = {event["type"] for event in workflows.events() if event["subject"] == "base_standard_ingestion_workflow"}
    assert told == {"ingestion.workflow.started", "ingestion.workflow.failed"}
    shutil.rmtree(other)
    (collect,) = workflows.run("base_standard_ingestion_workflow")["collect_data_from_source"]
    assert (collect.cursor_before, collect.steps[0].observations["objects_new"]) == (None, 8)
    assert len(current(workflows.lake, "vendor_quotes")) == len({tuple(r.items()) for r in market.api_quotes()})


def test_a_source_that_is_gone_sets_off_what_helps(workflows: Workflows) -> None:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    failed = workflows.attempt("base_standard_ingestion_workflow", source_url="/v2/gone")
    states = workflows.states(failed)
    assert str(failed.state) == "failed" and states["report_source_failure"] == "success", states
    assert states["restore_cursor"] == "skipped" and "store_validated_data" not in workflows.of(failed)
    (report,) = workflows.of(failed)["report_source_failure"]
    assert report.steps[0].observations
    with create_session() as session:
        query = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        told = query.filter(AssetModel.name == "event/data_source_failure", AssetEvent.source_run_id == failed.run_id)
        assert told.count() == 1


def test_a_late_file_comes_with_the_next_run(workflows: Workflows) -> None:
    found = workflows.run("base_bulk_file_ingestion_workflow")
    (discovered,) = found["discover_files_in_directory"]
    assert discovered.steps[0].observations["new_files"] == 11
    assert "temporary_file" in {f.code for f in discovered.findings}
    first = {row["symbol"] for row in current(workflows.lake, "bulk_quotes")}
    assert "NVDA" not in first and len(first) == 11
    found = workflows.run("base_bulk_file_ingestion_workflow")
    assert "NVDA.zip" in found["discover_files_in_directory"][0].steps[0].observations["names"]
    assert found["process_files_in_parallel"][0].steps[0].observations["objects_new"] == 1
    rows = Counter(row["symbol"] for row in current(workflows.lake, "bulk_quotes"))
    assert rows == Counter(row["symbol"] for row in market.quotes())


def test_the_stream_ends_by_itself_with_its_offsets(workflows: Workflows) -> None:
    (done,) = workflows.run("base_realtime_stream_ingestion")["process_streaming_data"]
    rows = current(workflows.lake, "trades")
    assert sorted(row["trade"] for row in rows) == ticks.good()
    last = max(number for number, _ in ticks.events())
    assert done.cursor_after == {"last_event_id": str(last)}
    assert done.considered["sample_trades"] >= 5
    seen = done.steps[0].observations
    assert seen["dead_letters"] == len(ticks.POISON)
    assert done.steps[1].counts.rows_in + len(ticks.POISON) == last
    assert "duplicate_found" in {str(event["type"]) for step in done.steps for event in step.events}
    (again,) = workflows.run("base_realtime_stream_ingestion")["process_streaming_data"]
    assert again.cursor_after == done.cursor_after and len(current(workflows.lake, "trades")) == len(rows)


def test_others_stand_in_for_a_source_that_is_gone(workflows: Workflows) -> None:
    found = workflows.run("base_data_ingestion_resilient_fetch")
    (selected,) = found["select_optimal_retry_strategy"]
    assert selected.steps[0].observations["decision"]["action"] in ("retry", "fallback", "human")
    (rebuilt,) = found["reconstruct_from_multiple_sources"]
    assert rebuilt.steps[0].observations["sources"]["sample_v2_down"] == {"failed": "not_found", "objects": 0}
    rows = {(r["symbol"], str(r["date"])): r for r in current(workflows.lake, "recovered_quotes")}
    assert set(rows) == {(r["symbol"], r["date"]) for r in market.quotes()}
    assert {k: r["close"] for k, r in rows.items()} == {k: r["close"] for k, r in market.newest().items()}


def test_a_dead_letter_is_fetched_again(workflows: Workflows) -> None:
    from base_ops.data_ingestion.jobs.fetch_retry.queue import Letter, Queue, letter_id

    queue = Queue(Store(str(workflows.lake)))
    for source in ("sample_drop", "somebody_elses"):
        letter = Letter(
            id=letter_id(source, "timeout", "d/r/t", None),
            source=source,
            code="timeout",
            failure_class="transient",
            at="2099-01-01T00:00:00+00:00",
        )
        queue.put(letter)
    (done,) = workflows.run("base_data_ingestion_dlq_processor")["process_dead_letters"]
    seen = done.steps[0].observations
    assert (seen["replayed"], seen["failed_again"], seen["dead_letter_queue_size"]) == (1, 0, 1)
    assert seen["unknown_sources"] == ["somebody_elses"]
    assert len(done.outputs) == 12


def test_no_secret_is_anywhere(workflows: Workflows, caplog: pytest.LogCaptureFixture) -> None:
    workflows.run("base_standard_ingestion_workflow")
    secrets = {json.loads(file.read_text())["password"] for file in (workflows.home / "connections").iterdir()}
    for file in (path for path in workflows.lake.rglob("*") if path.is_file()):
        data = file.read_bytes()
        assert not [s for s in secrets if s.encode() in data], file
    assert not [s for s in secrets if s in caplog.text or s in json.dumps(workflows.events())]
