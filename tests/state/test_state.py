"""The state database: the same suite on SQLite, and on Postgres where TEST_POSTGRES_URL names one."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Counts, ErrorInfo, Identity, Result, StepResult
from base_ops.state.models import Base
from base_ops.state.record import events_of, record, run_of, sweep
from base_ops.state.store import HEAD, StateStore


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'deep' / 'state.db'}"
        return
    found = os.environ["TEST_POSTGRES_URL"]
    engine = create_engine(found)
    drop = "DROP TABLE IF EXISTS outbox, runs, breakers, alembic_version"
    for end in (False, True):
        with engine.begin() as connection:
            connection.execute(text(drop))
        if not end:
            yield found
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    store = StateStore(url)
    yield store
    store.close()


def result(attempt: str = "a-1", status: Outcome = Outcome.OK, try_number: int = 1) -> Result:
    return Result(
        status=status,
        identity=Identity(dag_id="d", run_id="r", task_id="t", try_number=try_number, attempt=attempt),
        steps=[
            StepResult(
                agent="data_ingestion.converter",
                action="convert_to_standard_format",
                counts=Counts(rows_in=10, rows_out=9, quarantined=1),
                events=[{"type": "file.converted", "subject": "x.csv", "data": {"rows": 9}}],
            )
        ],
        started_at="2026-11-20T10:00:00Z",
        seconds=2.5,
        error=None if status.is_green else ErrorInfo(code="ragged", what="a secret of a message"),
    )


def test_the_schema_is_the_models(store: StateStore) -> None:
    tables = inspect(store.engine)
    assert set(tables.get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    for name, table in Base.metadata.tables.items():
        found = {c["name"]: c["nullable"] for c in tables.get_columns(name)}
        assert found == {c.name: bool(c.nullable) for c in table.columns}, name
        assert {i["name"] for i in tables.get_indexes(name) if i["name"].startswith("ix_")} == {
            i.name for i in table.indexes
        }


def test_head_is_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    import base_ops.state

    config = Config()
    config.set_main_option("script_location", str(Path(base_ops.state.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_result_is_recorded_once(store: StateStore) -> None:
    assert record(store, result(), "lake/result.json") == 2
    assert record(store, result(), "lake/result.json") == 0
    assert [event["type"] for _, event in store.undelivered()] == [
        "file.converted",
        "data_ingestion.converter.completed",
    ]
    assert store.known_attempts() == {"a-1"}


def test_a_second_attempt_at_the_same_work_tells_no_fact_twice(store: StateStore) -> None:
    record(store, result("a-1"), "one")
    assert record(store, result("a-2", try_number=2), "two") == 0
    assert store.known_attempts() == {"a-1", "a-2"}


def test_each_failed_try_is_a_fact_of_its_own(store: StateStore) -> None:
    record(store, result("a-1", Outcome.TRANSIENT), "one")
    assert record(store, result("a-2", Outcome.TRANSIENT, 2), "two") == 1
    ends = [event for _, event in store.undelivered() if event["type"].endswith(".failed")]
    assert [event["data"]["try_number"] for event in ends] == [1, 2]
    assert "secret" not in str(ends)


def test_delivered_events_are_not_handed_out_again(store: StateStore) -> None:
    record(store, result(), "one")
    first, second = store.undelivered()
    store.mark_delivered([first[0]])
    assert store.undelivered() == [second]
    assert store.undelivered(limit=0) == []


def test_a_sweep_records_what_was_missed(store: StateStore) -> None:
    record(store, result("a-1"), "one")
    failed = result("a-2", Outcome.BAD_INPUT)
    assert sweep(store, [("one", result("a-1")), ("two", failed)]) == 1
    assert sweep(store, [("one", result("a-1")), ("two", failed)]) == 0


def test_events_are_cloudevents_with_the_time_of_the_end() -> None:
    end = events_of(result())[-1]
    assert end["specversion"] == "1.0"
    assert end["time"] == "2026-11-20T10:00:02.500000Z"
    assert end["correlationid"] == "d/r"
    assert all(key.isalnum() and key.islower() for key in end)


def test_a_run_without_steps_has_a_row(store: StateStore) -> None:
    bare = Result(status=Outcome.BUG, identity=Identity(attempt="a"))
    assert run_of(bare, "u")["agent"] == ""
    assert events_of(bare) == []
    assert record(store, bare, "u") == 0
    assert store.known_attempts() == {"a"}


def _first_use(url: str, start: multiprocessing.synchronize.Barrier, found: multiprocessing.queues.Queue[int]) -> None:
    store = StateStore(url)
    start.wait()
    found.put(record(store, result(), "one"))
    store.close()


def test_many_processes_may_be_first_at_once(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, found = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_first_use, args=(url, start, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    new = sorted(found.get(timeout=20) for _ in workers)
    for worker in workers:
        worker.join()
    assert new == [0, 0, 2]
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
