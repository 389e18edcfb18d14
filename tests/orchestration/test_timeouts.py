"""A run that Airflow times out: Airflow's own scheduler says so, and the real jobs undo what it had published."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base_ops.core.ids import uuid7
from base_ops.worker.lake import Store
from base_ops.worker.lake.landing import Landing
from base_ops.worker.lake.tables import Tables

pytestmark = pytest.mark.slow
PIPELINE = """\
run_timeout_s: 3600
sources:
  - id: quotes
    files: {path: "FOLDER/*.csv"}
    read: {columns: [{name: id, type: int64}, {name: price, type: float64}]}
default_args: {retries: 0}
tasks:
  collect:
    agent: data_ingestion.collector
    for_each: source
    spec: {source: "${source}", dataset: quotes}
  convert:
    after: collect
    agent: data_ingestion.converter
    for_each: source
    spec: {source: "${source}", target: "staging:quotes"}
  store:
    after: convert
    agent: data_storage.tier_manager
    spec: {dataset: quotes, key: [id]}
  check:
    after: store
    agent: data_quality.validator
    spec: {rules: [{check: unique, columns: [id]}]}
  unpublish:
    compensates: store
    agent: data_storage.tier_manager
    spec: {action: unpublish, dataset: quotes}
  restore_cursor:
    compensates: collect
    after: unpublish
    agent: data_ingestion.collector
    for_each: source
    spec: {action: restore_cursor, source: "${source.id}"}
"""


class Scheduled:
    """A run under Airflow's scheduler, its tasks carried out here one by one."""

    def __init__(self, dag: Any, session: Any, stored: Any) -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        self.dag, self.session = dag, session
        self.run = stored.create_dagrun(
            run_id=uuid7(),
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state="running",
            session=session,
        )
        self.scheduler = SchedulerJobRunner(Job())
        session.commit()

    def go(self, *, until: str = "") -> None:
        """Schedule and carry out, until this task is to begin or the run is over."""
        from airflow.sdk.definitions.dag import _run_task

        for _ in range(20):
            self.scheduler._schedule_dag_run(self.run, self.session)
            self.session.commit()
            if str(self.run.state) != "running":
                return
            for ti in [ti for ti in self.run.get_task_instances(session=self.session) if ti.state == "scheduled"]:
                if ti.task_id == until:
                    ti.state, ti.start_date = "running", datetime.now(UTC)
                    self.session.commit()
                    return
                _run_task(ti=ti, task=self.dag.task_dict[ti.task_id])
            self.session.expire_all()
        raise AssertionError(f"the run does not end: {self.states()}")

    def time_out(self) -> None:
        self.run.start_date = datetime.now(UTC) - timedelta(hours=2)
        self.session.commit()
        self.scheduler._schedule_dag_run(self.run, self.session)
        self.session.commit()

    def states(self) -> dict[str, str]:
        self.session.expire_all()
        return {ti.task_id: str(ti.state) for ti in self.run.get_task_instances(session=self.session)}


@pytest.fixture
def scheduled(airflow_db: Path, base_home: Path, tmp_path: Path) -> Any:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    from base_ops.orchestration.factory import build

    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "one.csv"
    file.write_text("id,price\n1,2.5\n2,3.5\n")
    os.utime(file, (1e9, 1e9))  # nobody is writing it any more
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "timed.yaml").write_text(PIPELINE.replace("FOLDER", str(tmp_path / "in")))
    built = build(folder, "timed")
    assert not built.faults, built.faults
    dag = built.dags["timed"]
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=str(airflow_db / "dags"), collect_dags=False, bundle_path=airflow_db / "dags")
    dag.relative_fileloc = "load.py"
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session(scoped=False) as session:  # the tasks run in this process close the shared one
        yield Scheduled(dag, session, SerializedDagModel.get_dag("timed", session=session))


def test_what_a_timed_out_run_published_is_undone(scheduled: Scheduled, base_home: Path) -> None:
    store = Store(str(base_home / "lake"))
    scheduled.go(until="check")
    assert Tables(store).read("quotes").collect().height == 2
    assert Landing(store, "quotes", "x").history().last == 1
    scheduled.time_out()
    states = scheduled.states()
    assert states["check"] == "failed" and (states["unpublish"], states["restore_cursor"]) == ("None", "None")
    scheduled.go()
    states = scheduled.states()
    assert str(scheduled.run.state) == "failed"
    assert (states["unpublish"], states["restore_cursor"]) == ("success", "success"), states
    assert Tables(store).read("quotes").collect().height == 0
    assert Landing(store, "quotes", "x").effective() == []
    assert "compensating" in scheduled.run.note and "Timed out at" in scheduled.run.note


def test_a_run_whose_compensation_times_out_stays_as_it_is(scheduled: Scheduled) -> None:
    scheduled.time_out()
    scheduled.go(until="unpublish")
    scheduled.time_out()
    assert str(scheduled.run.state) == "failed"
    assert scheduled.states()["unpublish"] == "skipped", "as Airflow leaves it"


def test_other_peoples_runs_are_left_alone(scheduled: Scheduled) -> None:
    from airflow.models.dag import DagModel

    scheduled.session.query(DagModel).filter_by(dag_id="timed").update({"relative_fileloc": "theirs.py"})
    scheduled.time_out()
    assert str(scheduled.run.state) == "failed" and scheduled.states()["unpublish"] == "skipped"
