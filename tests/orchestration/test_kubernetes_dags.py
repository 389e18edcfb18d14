"""The Kubernetes runner inside Airflow itself: whole DAG runs, retries and deferrals, on the stand-in cluster."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.kubernetes import Cluster, kubernetes_api
from fakes.kubernetes_tasks import SPEC, Task, audit, job, shared_lake, shorten_retries

MAPPED = int(os.environ.get("MAPPED_TASKS", "200"))
"""How many; the platform is measured with 1000."""
QUICK = {"startup_check_interval_seconds": 0.05, "poll_interval": 0.1, "retry_delay": timedelta(0)}


@pytest.fixture
def cluster(airflow_db: Path, base_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with kubernetes_api(base_home) as found, shared_lake(base_home / "shared") as lake:
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(base_home / "kubeconfig")}}
        monkeypatch.setenv("BASE_LAKE_URL", lake)
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
        shorten_retries(monkeypatch)
        found.default = job()
        yield found
        audit(found)


@pytest.fixture
def converter(cluster: Cluster) -> Any:
    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

    return type("ConverterOperator", (KubernetesAgentOperator,), {"agent": "data_ingestion.converter"})


def ends(run: Any) -> dict[str, tuple[str, int]]:
    return {ti.task_id: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}


@pytest.mark.parametrize("deferrable", [False, True], ids=["plain", "deferrable"])
def test_a_run_over_a_killed_pod_a_small_one_and_a_bad_input(
    cluster: Cluster, converter: Any, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    from airflow.sdk import DAG

    killed, small, bad = (
        job("hang", on_line=("hanging", "kill")),
        job("hang", on_line=("hanging", "oom")),
        job("bad_input"),
    )
    cluster.plans = [killed, small, job(), job(), bad]
    with DAG(f"pods_{'deferred' if deferrable else 'plain'}", schedule=None) as dag:
        tasks = [
            converter(task_id=name, spec=SPEC, retries=2, deferrable=deferrable, **QUICK) for name in ("a", "b", "c")
        ]
        tasks[0] >> tasks[1] >> tasks[2]
    run = run_dag(dag)
    assert ends(run) == {"a": ("success", 3), "b": ("success", 1), "c": ("failed", 1)}
    limits = [pod.body["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in cluster.past]
    assert limits == ["4Gi", "4Gi", "8192Mi", "4Gi", "4Gi"]
    requests = [
        json.loads(e["value"])
        for pod in cluster.past
        for e in pod.body["spec"]["containers"][0]["env"]
        if e["name"] == "AGENT_REQUEST"
    ]
    assert requests[3]["inputs"] == [run.get_task_instance("a").xcom_pull(task_ids="a")["result_uri"]]
    cluster.wait(lambda: not cluster.pods)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["plain", "deferrable"])
def test_mapped_tasks_twenty_at_a_time(cluster: Cluster, converter: Any, mode: str) -> None:
    """Twenty at a time, as a pool admits them: a pod each, a Result each, and nothing is left."""
    left, lock, values, errors = list(range(MAPPED)), threading.Lock(), [], []
    most = [0]

    def slot() -> None:
        while True:
            with lock:
                if not left:
                    return
                number = left.pop()
                most[0] = max(most[0], sum(pod.alive for pod in cluster.past))
            try:
                values.append(Task(converter, {"deferrable": mode == "deferrable"}, map_index=number).run())
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=slot) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({value["result_uri"] for value in values}) == len(cluster.past) == MAPPED
    assert most[0] <= 20
    cluster.wait(lambda: not cluster.pods)


@pytest.mark.slow
def test_the_scheduler_keeps_the_pool_of_mapped_tasks(converter: Any, airflow_db: Path) -> None:
    """Airflow's own scheduling loop: never more than the pool's slots, never longer than a heartbeat may be late."""
    import time
    from datetime import UTC, datetime

    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dag import DagModel
    from airflow.models.pool import Pool
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk import DAG
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with DAG("crowd", schedule=None, max_active_tasks=1000) as dag:
        work = [{"spec": SPEC, "item": str(number)} for number in range(MAPPED)]
        converter.partial(task_id="many", pool="crowd").expand_kwargs(work)
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=str(airflow_db / "dags"), collect_dags=False, bundle_path=airflow_db / "dags")
    dag.relative_fileloc = "crowd.py"
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    slowest, rounds = 0.0, 0
    with create_session() as session:
        Pool.create_or_update_pool("crowd", 20, "", False, session=session)
        session.query(DagModel).filter_by(dag_id="crowd").update({"is_paused": False})
        stored = SerializedDagModel.get_dag("crowd", session=session)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        run = stored.create_dagrun(
            run_id="crowd",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state="running",
            session=session,
        )
        run.dag = stored
        scheduler = SchedulerJobRunner(Job())
        many = session.query(TaskInstance).filter_by(dag_id="crowd")
        while many.filter(TaskInstance.state.is_distinct_from("success")).count():
            began = time.monotonic()
            ready, _ = run.update_state(session=session)
            run.schedule_tis(ready, session=session)
            queued = scheduler._executable_task_instances_to_queued(max_tis=512, session=session)
            slowest, rounds = max(slowest, time.monotonic() - began), rounds + 1
            assert 0 < len(queued) <= 20
            assert many.filter(TaskInstance.state.in_(("queued", "running"))).count() <= 20
            many.filter(TaskInstance.state == "queued").update({"state": "success"})
        assert many.count() == MAPPED
    print(f"{rounds} rounds, the slowest {slowest:.2f} s")
    assert slowest < 30
