"""The Kubernetes runner against a stand-in API: every way a pod, a node or the API can fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.kubernetes import Cluster, Fault, Plan, kubernetes_api
from fakes.kubernetes_tasks import Task, audit, job, shared_lake, shorten_retries

MODES = pytest.mark.parametrize("mode", ["plain", "deferrable"])


@pytest.fixture
def cluster(airflow_db: Path, base_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with kubernetes_api(base_home) as found, shared_lake(base_home / "shared") as lake:
        monkeypatch.setenv("BASE_LAKE_URL", lake)
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(base_home / "kubeconfig")}}
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
        shorten_retries(monkeypatch)
        found.default = job()
        yield found
        audit(found)


@pytest.fixture
def converter(cluster: Cluster) -> Any:
    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

    return type("ConverterOperator", (KubernetesAgentOperator,), {"agent": "data_ingestion.converter"})


def task(converter: Any, mode: str = "plain", **options: Any) -> Task:
    return Task(converter, {"deferrable": mode == "deferrable", **options})


def fails(task: Task) -> tuple[str, str, bool]:
    """(exception class, message, whether Airflow would retry) of a try that must fail."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException) as caught:
        task.run()
    return type(caught.value).__name__, str(caught.value), not isinstance(caught.value, AirflowFailException)


@MODES
def test_a_job_ends_well_and_leaves_nothing(cluster: Cluster, converter: Any, mode: str) -> None:
    value = task(converter, mode).run()
    assert value["status"] == "ok" and value["counts"]["rows_out"] == 5
    assert value["result_uri"].startswith("shared://lake/runs/fx/")
    assert len(cluster.past) == 1
    cluster.wait(lambda: not cluster.pods)


@MODES
@pytest.mark.parametrize(
    ("how", "error", "retried"),
    [
        ("bad_input", "JobBadInput", False),
        ("config_error", "JobConfigError", False),
        ("denied", "JobDenied", False),
        ("transient", "JobTransient", True),
        ("bug", "JobBug", True),
        ("other attempt", "JobTransient", True),
        ("exit 0", "JobTransient", True),
        ("exit 30", "JobConfigError", False),
        ("exit 1", "JobBug", True),
    ],
)
def test_outcomes(cluster: Cluster, converter: Any, how: str, error: str, retried: bool, mode: str) -> None:
    """The last three leave no Result, the one before another's: exit code 0 alone is never a success."""
    cluster.default = job(how)
    found = fails(task(converter, mode))
    assert (found[0], found[2]) == (error, retried)
    cluster.wait(lambda: not cluster.pods)


def test_partial_is_a_success(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("partial")
    assert task(converter).run()["status"] == "partial"


@MODES
@pytest.mark.parametrize(
    ("action", "error", "says", "retried"),
    [
        ("evict", "PodEvicted", "low on resource: memory", True),
        ("kill", "PodKilled", "137", True),
        ("vanish", "PodVanished", "gone from the cluster", True),
        ("deadline", "PodDeadline", "active too long", True),
        ("unknown", "PodPhaseUnknown", "Node is not responding", True),
    ],
)
def test_a_running_pod_is_struck(
    cluster: Cluster, converter: Any, action: str, error: str, says: str, retried: bool, mode: str
) -> None:
    cluster.default = job("hang", on_line=("hanging", action))
    name, text, again = fails(task(converter, mode))
    assert (name, again) == (error, retried)
    assert says in text
    cluster.wait(lambda: not cluster.pods)


@MODES
@pytest.mark.parametrize(
    ("plan", "error", "says", "retried"),
    [
        (
            Plan(waiting=[("ErrImagePull", 'image "x:1" not found'), ("ImagePullBackOff", "Back-off pulling image")]),
            "PodImageMissing",
            "Back-off pulling image",
            False,
        ),
        (Plan(waiting=[("InvalidImageName", "couldn't parse")]), "PodImageMissing", "couldn't parse", False),
        (
            Plan(waiting=[("ErrImagePull", "429 Too Many Requests"), ("ImagePullBackOff", "Back-off pulling image")]),
            "PodImageThrottled",
            "Back-off",
            True,
        ),
        (Plan(unschedulable="0/3 nodes: Insufficient memory"), "PodUnschedulable", "Insufficient memory", True),
        (Plan(waiting=[("CreateContainerConfigError", 'secret "x" not found')]), "PodCannotStart", "secret", False),
        (Plan(waiting=[("ContainerCreating", "")]), "PodStartTimeout", "not started within", True),
        (Plan(rejected="OutOfcpu"), "PodEvicted", "OutOfcpu", True),
        (Plan(rejected="NodeShutdown"), "PodNodeLost", "NodeShutdown", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pod_that_never_starts(
    cluster: Cluster, converter: Any, plan: Plan, error: str, says: str, retried: bool, mode: str
) -> None:
    cluster.default = plan
    times = {"schedule_timeout_seconds": 1, "startup_timeout_seconds": 1}
    name, text, again = fails(task(converter, mode, **times))
    assert (name, again) == (error, retried)
    assert says in text
    cluster.wait(lambda: not cluster.pods)


def test_a_throttled_registry_is_waited_for(cluster: Cluster, converter: Any) -> None:
    turns = [("ErrImagePull", "toomanyrequests: slow down"), ("ImagePullBackOff", "Back-off"), ("", "")]
    cluster.default = job(waiting=[*turns[:1], *[turns[1]] * 5, turns[2]])
    assert task(converter).run()["status"] == "ok"


@MODES
def test_out_of_memory_gets_more_up_to_the_ceiling(cluster: Cluster, converter: Any, mode: str) -> None:
    cluster.default = job("hang", on_line=("hanging", "oom"))
    mine = task(converter, mode)
    name, text, again = fails(mine)
    assert (name, again) == ("PodOutOfMemory", True)
    assert "limit 4096 MiB" in text and "peak" in text and "the retry gets 8192 MiB" in text
    mine.try_number = 2
    name, text, again = fails(mine)
    assert (name, again) == ("PodMemoryCeiling", False)
    assert "limit 8192 MiB" in text and "larger profile than 'default'" in text
    first, second = (pod.body["spec"]["containers"][0] for pod in cluster.past)
    assert (first["resources"]["limits"]["memory"], second["resources"]["limits"]["memory"]) == ("4Gi", "8192Mi")
    assert second["resources"]["requests"]["memory"] == "2048Mi"
    planned = {e["name"]: e.get("value") for e in second["env"]}["BASE_MEMORY_LIMIT_MB"]
    assert planned == str(int(8192 * 0.7))


def test_a_job_that_notices_itself_gets_more_memory_too(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("memory")
    mine = task(converter)
    name, text, _ = fails(mine)
    assert name == "PodOutOfMemory" and "limit 4096 MiB, peak 3000 MiB" in text
    cluster.default, mine.try_number = job(), 2
    assert mine.run()["status"] == "ok"
    assert cluster.the_pod().body["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8192Mi"


@MODES
def test_killed_after_its_result_is_a_success(cluster: Cluster, converter: Any, mode: str) -> None:
    cluster.default = job("killed after")
    assert task(converter, mode).run()["status"] == "ok"


def test_a_deadline_is_tried_twice(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("hang", on_line=("hanging", "deadline"))
    mine = task(converter)
    mine.try_number = 2
    assert fails(mine)[::2] == ("PodDeadlineAgain", False)


def test_the_deferred_execution_timeout_ends_the_pod(cluster: Cluster, converter: Any) -> None:
    from datetime import timedelta

    cluster.default = job("hang")
    mine = task(converter, "deferrable", execution_timeout=timedelta(seconds=1))
    assert fails(mine)[0] == "PodDeadline"
    assert cluster.the_pod().body["spec"]["activeDeadlineSeconds"] == 61
    cluster.wait(lambda: not cluster.pods)
    assert not cluster.the_pod().alive


def test_a_fault_that_says_when_is_retried_then(cluster: Cluster, converter: Any) -> None:
    from airflow.sdk.exceptions import AirflowException

    cluster.default = job("busy")
    mine = task(converter)
    with pytest.raises(AirflowException) as caught:
        mine.run()
    decision = mine.operator().retry_policy.evaluate(caught.value, 1, 3)
    assert decision.retry_delay is not None and decision.retry_delay.total_seconds() == 7
    cluster.default = job("transient")
    with pytest.raises(AirflowException) as caught:
        mine.run()
    assert mine.operator().retry_policy.evaluate(caught.value, 1, 3).retry_delay is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST .*/pods$", 500, times=2),
        Fault("POST .*/pods$", 429, times=2, headers={"Retry-After": "0"}),
        Fault("POST .*/pods$", 409, reason="Conflict", message="operation cannot be fulfilled on resourcequotas"),
        Fault("POST .*/pods$", 504, after=True),
        Fault("GET .*/pods/[^/]+$", 503, times=3),
        Fault("GET .*/log", 500, times=2),
        Fault("DELETE ", 500, times=2),
    ],
    ids=lambda fault: f"{fault.pattern} {fault.status}",
)
@MODES
def test_an_api_that_stumbles_is_asked_again(cluster: Cluster, converter: Any, fault: Fault, mode: str) -> None:
    cluster.faults = [Fault(**vars(fault))]
    assert task(converter, mode).run()["status"] == "ok"
    assert cluster.faults[0].times == 0 or "log" in fault.pattern
    assert len(cluster.past) == 1
    cluster.wait(lambda: not cluster.pods)


@pytest.mark.parametrize(
    ("status", "message", "error", "retried"),
    [
        (503, "", "ClusterUnavailable", True),
        (403, "exceeded quota: base", "ClusterUnavailable", True),
        (403, "pods is forbidden", "PodDenied", False),
        (422, "spec.containers[0].image: Required", "PodRefused", False),
        (404, 'namespaces "base-data-ingestion" not found', "PodRefused", False),
    ],
)
def test_what_the_api_refuses(
    cluster: Cluster, converter: Any, status: int, message: str, error: str, retried: bool
) -> None:
    cluster.faults = [Fault("POST .*/pods$", status, times=99, message=message)]
    name, text, again = fails(task(converter))
    assert (name, again) == (error, retried)
    assert message in text and str(status) in text
    assert not cluster.pods


def test_a_pod_that_cannot_be_deleted_does_not_undo_a_success(cluster: Cluster, converter: Any) -> None:
    cluster.faults = [Fault("DELETE ", 500, times=99)]
    assert task(converter).run()["status"] == "ok"


def test_an_api_that_stays_away_ends_the_wait_and_not_the_pod(
    cluster: Cluster, converter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base_ops.orchestration.kubernetes import trigger

    monkeypatch.setattr(trigger, "API_AWAY_S", 0.3)
    hold = threading.Event()
    cluster.default = job(hold=hold)
    cluster.faults = [Fault("GET .*/pods/[^/]+$", 503, times=60)]
    mine = task(converter, "deferrable", schedule_timeout_seconds=5)
    assert fails(mine)[::2] == ("ClusterUnavailable", True)
    assert cluster.faults[0].times > 0, "the trigger waited for longer"
    cluster.faults.clear()
    hold.set()
    mine.try_number = 2
    assert mine.run()["status"] == "ok" and len(cluster.past) == 1


# -- metrics


@pytest.mark.parametrize(
    ("plan", "ends"),
    [
        (None, [("base_pod_ends_total", "exit")]),
        (
            Plan(waiting=[("InvalidImageName", "x")]),
            [("base_pod_ends_total", "image_missing"), ("base_pod_launch_errors_total", "image_missing")],
        ),
    ],
    ids=["ok", "image"],
)
def test_pods_are_counted_by_their_ends(cluster: Cluster, converter: Any, plan: Plan | None, ends: list[Any]) -> None:
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk.observability import stats

    seen: list[tuple[str, dict[str, str]]] = []

    class Recorder(NoStatsLogger):
        def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Any = None) -> None:
            seen.append((stat, tags))

    stats.initialize(factory=Recorder, export_legacy_names=False)
    try:
        cluster.default = plan or cluster.default
        fails(task(converter)) if plan else task(converter).run()
    finally:
        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
    about = {"module": "data_ingestion", "agent": "converter"}
    found = [(name, tags) for name, tags in seen if name.startswith("base_pod_")]
    assert found == [(name, {**about, "end": end}) for name, end in ends]


# -- logs


def logged(task: Task) -> list[str]:
    from unittest.mock import patch  # only to listen: the method is the one that logs

    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

    texts: list[str] = []
    emit = KubernetesAgentOperator._emit

    def listen(self: Any, line: str) -> None:
        texts.append(line)
        emit(self, line)

    with patch.object(KubernetesAgentOperator, "_emit", listen):
        task.run()
    return texts


@MODES
@pytest.mark.parametrize("cuts", [[], [0, 1, 7, 100, 101, 3]], ids=["whole", "cut"])
def test_the_log_arrives_once_and_whole(cluster: Cluster, converter: Any, cuts: list[int], mode: str) -> None:
    cluster.default = job("lines", log_cuts=list(cuts) if mode == "plain" else cuts[:2])
    options = {"logging_interval": 0.2} if mode == "deferrable" else {}
    lines = [line for line in logged(task(converter, mode, **options)) if '"line ' in line]
    assert [line.split('"line ')[1].split('"')[0] for line in lines] == [str(number) for number in range(400)]


# -- one pod per task instance


def start(task: Task) -> threading.Thread:
    thread = threading.Thread(target=lambda: task.run(), daemon=True)
    thread.start()
    return thread


def test_two_processes_of_one_task_share_one_pod(cluster: Cluster, converter: Any) -> None:
    """As a zombie and its successor do: both ask at once, one pod runs, both read its Result."""
    hold = threading.Event()
    cluster.default = job("slow", hold=hold)
    values: list[Any] = []
    mine = task(converter)
    threads = [threading.Thread(target=lambda: values.append(mine.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    cluster.wait(lambda: sum(request.startswith("POST") for request in cluster.requests) == 2)
    hold.set()
    for thread in threads:
        thread.join(120)
    assert [value["status"] for value in values] == ["ok", "ok"]
    assert len({value["result_uri"] for value in values}) == 1
    assert len(cluster.past) == 1


def left_behind(cluster: Cluster, mine: Task) -> None:
    """The pod of a try whose process died without a word."""
    from base_ops.core.settings import load_settings

    operator = mine.operator()
    context = mine.context(operator)
    operator.prepare(operator.build_request(context), load_settings())
    operator.pods.create(operator.build_pod_request_obj(context))


@MODES
def test_a_retry_adopts_the_running_pod(cluster: Cluster, converter: Any, mode: str) -> None:
    cluster.default = job("slow")
    mine = task(converter, mode)
    left_behind(cluster, mine)
    mine.try_number = 2
    value = mine.run()
    assert len(cluster.past) == 1
    assert "/1-" in value["result_uri"]


def test_a_retry_takes_the_result_of_a_pod_that_has_ended(cluster: Cluster, converter: Any) -> None:
    mine = task(converter)
    left_behind(cluster, mine)
    cluster.wait(lambda: cluster.the_pod().over)
    mine.try_number = 2
    assert "/1-" in mine.run()["result_uri"]
    assert len(cluster.past) == 1
    cluster.wait(lambda: not cluster.pods)


@pytest.mark.parametrize("how", ["exit 1", "bad_input"])
def test_a_retry_replaces_a_pod_that_failed(cluster: Cluster, converter: Any, how: str) -> None:
    cluster.default = job(how)
    mine = task(converter)
    left_behind(cluster, mine)
    cluster.wait(lambda: cluster.the_pod().over)
    cluster.default, mine.try_number = job(), 2
    assert "/2-" in mine.run()["result_uri"]
    assert len(cluster.past) == 2


def test_a_retry_of_a_pod_out_of_memory_remembers(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("hang", on_line=("hanging", "oom"))
    mine = task(converter)
    left_behind(cluster, mine)
    cluster.wait(lambda: cluster.the_pod().over)
    cluster.default, mine.try_number = job(), 2
    assert mine.run()["status"] == "ok"
    assert cluster.the_pod().body["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8192Mi"


def test_other_work_is_not_adopted(cluster: Cluster, converter: Any) -> None:
    """The DAG was changed between two tries: the old pod ends before the new one is made."""
    cluster.default = job("hang")
    mine = task(converter)
    left_behind(cluster, mine)
    cluster.wait(lambda: cluster.the_pod().lines)
    cluster.default, mine.try_number = job(), 2
    mine.spec = {"source": "a.csv", "target": "c.parquet"}
    assert "/2-" in mine.run()["result_uri"]
    assert len(cluster.past) == 2


def test_a_pod_on_a_lost_node_is_forced_away(cluster: Cluster, converter: Any) -> None:
    """Its process may live on: what it writes later cannot replace what is published (the lake's tests)."""
    cluster.default = job("hang", stuck=True)
    mine = task(converter)
    left_behind(cluster, mine)
    cluster.wait(lambda: cluster.the_pod().lines)
    operator = mine.operator()
    operator.pods.delete(operator.pods.read("base-data-ingestion", cluster.the_pod().name))
    cluster.default, mine.try_number = job(), 2
    first = cluster.the_pod()
    cluster.past.remove(first)
    assert mine.run()["status"] == "ok"
    assert (first.name, 0) in cluster.deletions
    first.signal(9)


def test_a_deleted_pod_that_stays_is_not_waited_for_for_ever(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("hang", stuck=True)
    mine = task(converter)
    thread = start_failing(mine)
    cluster.wait(lambda: cluster.past and cluster.the_pod().lines)
    operator = mine.operator()
    operator.pods.delete(operator.pods.read("base-data-ingestion", cluster.the_pod().name))
    thread.join(120)
    assert mine.store["error"] == "PodNodeLost"


def start_failing(task: Task) -> threading.Thread:
    thread = threading.Thread(target=lambda: task.store.set("error", fails(task)[0]))
    thread.start()
    return thread


# -- nothing left behind


def test_on_kill_ends_the_pod(cluster: Cluster, converter: Any) -> None:
    cluster.default = job("hang")
    mine = task(converter)
    operator = mine.operator()
    seen: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute(mine.context(operator))
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    cluster.wait(lambda: cluster.past and cluster.the_pod().lines)
    operator.on_kill()
    thread.join(120)
    assert type(seen[0]).__name__ == "JobTransient" and "interrupted" in str(seen[0])
    cluster.wait(lambda: not cluster.pods)
    assert not cluster.the_pod().alive


def test_ending_a_deferred_task_ends_its_pod(cluster: Cluster, converter: Any) -> None:
    import asyncio

    from airflow.sdk.exceptions import TaskDeferred

    cluster.default = job("hang")
    mine = task(converter, "deferrable")
    operator = mine.operator()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(mine.context(operator))
    trigger = deferred.value.trigger

    async def cancelled() -> None:
        waiting = asyncio.ensure_future(anext(aiter(trigger.run())))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert cluster.pods, "a triggerer that restarts must not end the pod"
        await trigger.on_kill()

    cluster.wait(lambda: cluster.the_pod().lines)
    asyncio.run(cancelled())
    cluster.wait(lambda: not cluster.pods)
    assert not cluster.the_pod().alive


def test_a_trigger_that_fails_does_not_lose_the_pod(cluster: Cluster, converter: Any) -> None:
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
    from airflow.sdk.exceptions import TaskDeferred

    cluster.default = job("slow")
    mine = task(converter, "deferrable")
    operator = mine.operator()
    with pytest.raises(TaskDeferred):
        operator.execute(mine.context(operator))
    operator = mine.operator()
    value = operator.resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger failure"}, mine.context(operator))
    assert value["status"] == "ok" and len(cluster.past) == 1
