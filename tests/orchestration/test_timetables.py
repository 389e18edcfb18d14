"""Schedules of the pipeline language in Airflow: serialised, deserialised, run at the right moments, faults at parse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base_ops.core.errors import ConfigError

TASK = "tasks: {a: {agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}}\n"
SHIPPED = """\
maintenance: {weekly: {start: 0 2 * * 0, duration: 2h, then: shift}}
pools: {normal: {slots: 7, timeout_s: 60, tries: 2}, low: {slots: 1, timeout_s: 1, tries: 1}}
schedules:
  nyse: {when: {market: XNYS, at: open, maintenance: weekly}, priority: critical}
  never: {when: {every: 1h}, enabled: false}
  by_hand: {}
  row: {when: {after: nyse}}
"""
LATE = "  late: {pool: late}\n"

Build = Callable[..., Any]


@pytest.fixture
def build(tmp_path: Path, airflow_db: Path) -> Build:
    """Build a folder of pipelines {name: schedule as YAML}."""
    from base_ops.orchestration.factory import build as build_folder

    config = tmp_path / "config" / "data_ingestion"
    config.mkdir(parents=True)
    (config / "schedules.yaml").write_text(SHIPPED)
    (tmp_path / "pipelines").mkdir()

    def build(only: str | None = None, **schedules: str) -> Any:
        for name, schedule in schedules.items():
            (tmp_path / "pipelines" / f"{name}.yaml").write_text(f"schedule: {schedule}\n{TASK}")
        return build_folder(tmp_path / "pipelines", only)

    return build


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fault(built: Any, name: str) -> str:
    (found,) = [error for path, error in built.faults.items() if path.stem == name]
    assert isinstance(found, ConfigError)
    return found.text()


def over_the_wire(dag: Any) -> Any:
    """The DAG as the scheduler gets it: serialised to JSON and back."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))


def runs(dag: Any, start: str, end: str) -> list[tuple[str, str]]:
    found = dag.iter_dagrun_infos_between(utc(start), utc(end))
    return [(f"{i.data_interval.start:%m-%dT%H:%M}", f"{i.run_after:%m-%dT%H:%M}") for i in found]


def test_7_13_a_market_schedule_skips_the_holiday_and_follows_the_clocks(build: Build) -> None:
    dag = over_the_wire(build(quotes="{market: XNYS, at: close+15m}").dags["quotes"])
    assert runs(dag, "2026-11-25T00:00", "2026-11-30T23:00") == [
        ("11-24T21:15", "11-25T21:15"),
        ("11-25T21:15", "11-27T18:15"),
        ("11-27T18:15", "11-30T21:15"),
    ]
    assert [run for _, run in runs(dag, "2026-03-06T00:00", "2026-03-09T23:00")] == ["03-06T21:15", "03-09T20:15"]


def test_7_13_maintenance_suppresses_and_shifts(build: Build) -> None:
    window = "{start: 0 2 * * 0, duration: 2h, then: THEN}"
    built = build(
        left_out=f"{{cron: 0 2 * * *, maintenance: {window.replace('THEN', 'suppress')}}}",
        later=f"{{cron: 0 2 * * *, maintenance: {window.replace('THEN', 'shift')}}}",
    )
    days = ("2026-11-21T00:00", "2026-11-23T23:00")
    assert [run for _, run in runs(over_the_wire(built.dags["left_out"]), *days)] == ["11-21T02:00", "11-23T02:00"]
    assert [run for _, run in runs(over_the_wire(built.dags["later"]), *days)] == [
        "11-21T02:00",
        "11-22T04:00",
        "11-23T02:00",
    ]


def test_7_13_pipelines_that_wait_for_each_other_fail_at_parse(build: Build) -> None:
    built = build(a="{after: b}", b="{after: c}", c="{after: [a]}", d="{after: nobody}", e="'@daily'")
    assert set(built.dags) == {"e", "base_run_agent"}
    assert "a → b → c → a" in fault(built, "a")
    assert "a.yaml, line 1, key schedule.after" in fault(built, "a")
    assert "'d' comes after 'nobody', which is not there" in fault(built, "d")


def test_rows_of_pipelines_are_at_most_five_long(build: Build) -> None:
    built = build(p0="null", **{f"p{n}": f"{{after: p{n - 1}}}" for n in range(1, 7)})
    assert [path.stem for path in built.faults] == ["p6"]
    assert "6 others in a row; at most 5" in fault(built, "p6")


def test_a_pipeline_runs_when_others_are_done(build: Build) -> None:
    built = build(first="'@daily'", second="{after: [first]}")
    first, second = built.dags["first"], built.dags["second"]
    assert [task.task_id for task in first.tasks] == ["a", "pipeline_done"]
    assert first.get_task("pipeline_done").upstream_task_ids == {"a"}
    (outlet,) = first.get_task("pipeline_done").outlets
    assert list(second.timetable.asset_condition.objects) == [outlet]
    assert [task.task_id for task in second.tasks] == ["a"]
    assert over_the_wire(second).timetable.can_be_scheduled


def test_the_mark_is_also_there_when_airflow_asks_for_the_one_dag(build: Build) -> None:
    build(first="'@daily'", second="{after: [first]}")
    assert "pipeline_done" in build(only="first").dags["first"].task_ids
    assert set(build(only="second").dags) == {"second"}


def test_events_are_assets(build: Build) -> None:
    dag = build(x="{events: [schema_changed, external_trigger]}").dags["x"]
    assert [asset.uri for asset in dag.timetable.asset_condition.objects] == [
        "base://event/schema_changed",
        "base://event/external_trigger",
    ]


def test_schedules_by_name(build: Build) -> None:
    built = build(
        a="{use: nyse}",
        b="{use: never}",
        c="{use: by_hand}",
        d="{use: nyyse}",
        e="{use: row}",
        f="{every: 1h, maintenance: weakly}",
    )
    timetable = over_the_wire(built.dags["a"]).timetable
    assert timetable.when.market == "XNYS" and timetable.when.windows[0].then == "shift"
    assert not built.dags["b"].timetable.can_be_scheduled
    assert not built.dags["c"].timetable.can_be_scheduled
    assert "Did you mean 'nyse'" in fault(built, "d") and "key schedule.use" in fault(built, "d")
    assert "a pipeline waits for pipelines" in fault(built, "e")
    assert "Did you mean 'weekly'" in fault(built, "f")


def test_a_schedule_by_name_brings_pool_priority_tries_and_time_out(build: Build, tmp_path: Path) -> None:
    own = f"schedule: {{use: nyse}}\nrun_timeout_s: 9\ndefault_args: {{retries: 5, pool: mine}}\n{TASK}"
    (tmp_path / "pipelines" / "own.yaml").write_text(own)
    built = build(a="{use: nyse}", b="{every: 1h}")
    a, b, own_dag = (over_the_wire(built.dags[name]) for name in ("a", "b", "own"))
    task = a.get_task("a")
    assert (task.pool, task.retries, task.priority_weight) == ("base_normal", 1, 1000)
    assert type(task.weight_rule).__name__ == "_AbsolutePriorityWeightStrategy"
    assert a.dagrun_timeout == timedelta(seconds=60)
    assert (b.get_task("a").pool, b.dagrun_timeout) == ("default_pool", None)
    kept = own_dag.get_task("a")
    assert (kept.pool, kept.retries, own_dag.dagrun_timeout) == ("mine", 5, timedelta(seconds=9))


def test_pools_are_made_when_a_scheduler_starts_and_keep_their_size(build: Build, monkeypatch: Any) -> None:
    from airflow.jobs.job import Job
    from airflow.models.pool import Pool
    from airflow.sdk.execution_time.task_runner import TaskRunnerMarker
    from airflow.utils.session import create_session

    from base_ops.orchestration import pools

    asked: list[object] = []
    monkeypatch.setattr(
        pools, "make_pools", lambda found, session, made=pools.make_pools: (asked.append(found), made(found, session))
    )
    pools.on_starting(TaskRunnerMarker())
    assert not asked
    with create_session() as session:
        session.query(Pool).filter(Pool.pool.startswith("base_")).delete(synchronize_session=False)
        session.add(Pool(pool="base_low", slots=99, include_deferred=True))
    Job()  # as a scheduler makes one
    with create_session() as session:
        found = {
            p.pool: (p.slots, p.include_deferred) for p in session.query(Pool).filter(Pool.pool.startswith("base_"))
        }
    assert len(asked) == 1 and found == {"base_high": (20, True), "base_low": (99, True), "base_normal": (50, True)}


def test_a_run_makes_the_pool_that_schedules_yaml_got_while_the_scheduler_ran(
    build: Build, tmp_path: Path, airflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Airflow's own scheduling loop does, which lets nobody else commit: it starts the run and queues its task."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dag import DagModel
    from airflow.models.pool import Pool
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    monkeypatch.setenv("BASE_CONFIG_DIR", str(tmp_path / "config"))
    scheduler = SchedulerJobRunner(Job())
    file = tmp_path / "config" / "data_ingestion" / "schedules.yaml"
    file.write_text(SHIPPED.replace("pools: {", "pools: {late: {slots: 3, timeout_s: 60, tries: 1}, ") + LATE)
    dag = build(late="{use: late}").dags["late"]
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=str(airflow_db / "dags"), collect_dags=False, bundle_path=airflow_db / "dags")
    dag.relative_fileloc = "late.py"
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session(scoped=False) as session:
        assert not session.query(Pool).filter_by(pool="base_late").count()
        session.query(DagModel).filter_by(dag_id="late").update({"is_paused": False})
        run = SerializedDagModel.get_dag("late", session=session).create_dagrun(
            run_id="late",
            run_after=datetime.now(UTC) - timedelta(minutes=1),  # SQLite tells the time in seconds
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state="queued",
            session=session,
        )
    with create_session(scoped=False) as session, prohibit_commit(session) as guard:
        scheduler._start_queued_dagruns(session)
        guard.commit()
        run = session.merge(run)
        scheduler._schedule_dag_run(run, session)
        (queued,) = scheduler._executable_task_instances_to_queued(max_tis=9, session=session)
        (made,) = session.query(Pool).filter_by(pool="base_late")
        assert (queued.dag_id, queued.pool, made.slots, made.include_deferred) == ("late", "base_late", 3, True)
        session.delete(run)
        session.delete(made)
        guard.commit()


def test_two_schedulers_may_make_the_pools_at_once(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second loses nothing else that its transaction holds."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy.engine import Connection

    from base_ops.data_ingestion.options.schedule_policies import load_schedules
    from base_ops.orchestration import pools

    caplog.set_level("INFO", logger=pools.__name__)
    with create_session(scoped=False) as session:
        pools.make_pools(load_schedules(), session)
    with create_session(scoped=False) as session:
        before = session.query(Pool).count()
        session.add(Pool(pool="mine", slots=1, include_deferred=False))
        session.flush()
        with monkeypatch.context() as late:
            late.setattr(Connection, "scalars", lambda *_: [])  # it looked before the other had written
            pools.make_pools(load_schedules(), session)
    with create_session(scoped=False) as session:
        assert session.query(Pool).count() == before + 1
        session.query(Pool).filter_by(pool="mine").delete()
    assert "made by another scheduler" in caplog.text


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("{market: XNYSE, at: open}", "Did you mean 'XNYS'"),
        ("{market: XNYS}", "exactly one of: at, every"),
        ("{market: XNYS, at: opening}", "no moment of a session"),
        ("{every: 10s}", "60s to 24h"),
        ("{cron: '* * *'}", "five fields"),
        ("{cron: '0 3 * * *', timezone: America/New_York, market: XNYS}", "never runs"),
        ("{evry: 5m}", "Did you mean 'every'"),
    ],
)
def test_faults_are_told_at_parse(build: Build, schedule: str, says: str) -> None:
    built = build(x=schedule)
    assert "x" not in built.dags
    assert says in fault(built, "x")
    assert "x.yaml, line 1" in fault(built, "x")


def info(timetable: Any, **given: Any) -> Any:
    from airflow.timetables.base import TimeRestriction

    restriction = {"earliest": None, "latest": None, "catchup": True, **given}
    last = restriction.pop("last", None)
    found = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=TimeRestriction(**restriction))
    return found and found.run_after


def test_the_next_run(build: Build) -> None:
    from airflow.timetables.base import DataInterval
    from pendulum import instance

    timetable = build(x="{every: 1h}").dags["x"].timetable
    at, last = (
        utc("2026-11-20T10:00"),
        DataInterval(instance(utc("2026-11-20T09:00")), instance(utc("2026-11-20T10:00"))),
    )
    assert info(timetable, earliest=at) == at  # the start itself counts
    assert info(timetable, earliest=at + timedelta(seconds=1)) == at + timedelta(hours=1)
    assert info(timetable, last=last) == at + timedelta(hours=1)
    assert info(timetable, last=last, latest=at) is None
    assert info(timetable) is None
    now = datetime.now(UTC)
    missed = info(timetable, last=last, earliest=at, catchup=False)
    assert now - timedelta(hours=1) < missed <= datetime.now(UTC)  # of what was missed, only the latest
    done = DataInterval(instance(missed - timedelta(hours=1)), instance(missed))
    assert info(timetable, last=done, earliest=at, catchup=False) == missed + timedelta(hours=1)


def test_a_run_by_hand_takes_the_latest_interval_that_is_over(build: Build) -> None:
    from pendulum import instance

    timetable = build(x="{market: XNYS, at: close}").dags["x"].timetable
    found = timetable.infer_manual_data_interval(run_after=instance(utc("2026-11-27T12:00")))
    assert (found.start, found.end) == (utc("2026-11-24T21:00"), utc("2026-11-25T21:00"))


def test_a_run_behind_the_calendar_is_an_error_in_the_log_and_no_run(build: Build) -> None:
    dag = over_the_wire(build(x="{market: XNYS, at: close}").dags["x"])
    found = list(dag.iter_dagrun_infos_between(utc("2028-12-28T00:00"), utc("2030-01-01T00:00")))
    assert [f"{i.run_after:%m-%d}" for i in found] == ["12-28", "12-29"]


def test_all_forms_come_back_from_the_wire(build: Build) -> None:
    forms = {
        "a": "{market: XHKG, every: 7m, start: open+3m, end: close-1h}",
        "b": "{cron: 5 4 * * SUN, timezone: Europe/London, market: 24/7}",
        "c": "{every: 90m, maintenance: [{start: 0 2 * * 0, duration: 1h30m}]}",
        "d": "{market: XNYS, at: [open-1h, close+1d]}",
    }
    for dag in build(**forms).dags.values():
        timetable = getattr(dag, "timetable", None)
        if hasattr(timetable, "when"):
            assert over_the_wire(dag).timetable == timetable
            assert over_the_wire(dag).timetable.summary == timetable.summary


def test_a_scheduled_dag_runs(build: Build, run_dag: Any) -> None:
    """The DAG goes through the bag, the database and a run, with its timetable."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    timetable = build(x="{market: XNYS, at: close+15m}").dags["x"].timetable
    dag = DAG("market_hours", schedule=timetable, start_date=utc("2026-01-01"), catchup=False)
    EmptyOperator(task_id="t", dag=dag)
    done = run_dag(dag, logical_date=utc("2026-11-27T12:00"))
    assert str(done.state) == "success"
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        assert session.get(DagModel, "market_hours").timetable_summary == timetable.summary


def test_pandas_is_not_imported_at_parse(tmp_path: Path, airflow_db: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"schedule: {{market: XNYS, at: close}}\n{TASK}")
    code = (
        "import sys; from pathlib import Path; from base_ops.orchestration.factory import build\n"
        f"built = build(Path({str(tmp_path)!r}), None); assert 'x' in built.dags, built.faults\n"
        "sys.exit(str([m for m in ('pandas', 'numpy', 'exchange_calendars', 'polars') if m in sys.modules] or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("failures", "minutes_apart", "kind", "paused"),
    [(5, 10, "scheduled", True), (4, 10, "scheduled", False), (5, 20, "scheduled", False), (5, 10, "manual", False)],
)
def test_five_failures_in_an_hour_pause_a_pipeline(
    airflow_db: Path, failures: int, minutes_apart: int, kind: str, paused: bool
) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy.orm import object_session

    dag_id, now = f"failing_{failures}_{minutes_apart}_{kind}", datetime.now(UTC)
    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
            session.flush()
        session.add(DagModel(dag_id=dag_id, bundle_name="dags-folder", relative_fileloc="load.py", is_paused=False))
        session.flush()
        found = []
        for number in range(failures):
            at = now - timedelta(minutes=number * minutes_apart)
            run = DagRun(
                dag_id=dag_id, run_id=f"r{number}", run_type=DagRunType(kind), logical_date=at, run_after=at,
                state=DagRunState.FAILED, triggered_by=DagRunTriggeredByType.TIMETABLE,
            )  # fmt: skip
            run.end_date = at
            session.add(run)
            found.append(run)
        session.flush()
        assert object_session(found[0]) is session
        found[0].notify_dagrun_state_changed(msg="task_failure")  # as the scheduler does: through the plugin
        assert session.get(DagModel, dag_id).is_paused is paused
        session.rollback()
