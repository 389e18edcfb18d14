"""Killed at every moment, plain and deferrable: the task's process, its pod, both, the triggerer; real worker, S3 lake.

Never a success without a manifest, never two live pods, and in the end the very bytes of an undisturbed run.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chaos.world import World
from fakes import kubernetes_tasks
from fakes.kubernetes import Cluster, Plan, kubernetes_api
from fakes.kubernetes_processes import TaskProcess
from fakes.kubernetes_tasks import Task, audit
from fakes.s3 import client, s3_server

LAKE = "s3://lake/base"
WORKER = str(Path(kubernetes_tasks.__file__).with_name("paused_worker.py"))
MOMENTS = {
    "before start": "",
    "running": "pass.written",
    "after the data": "work.publish.before",
    "after the manifest": "work.publish.after",
    "after the result": "result.after",
}


@dataclass
class Stage:
    """A cluster, a lake with what was collected, and the one task that is disturbed."""

    cluster: Cluster
    folder: Path
    store: Any
    fuse: list[dict[str, Any]]
    collected: dict[str, bytes]
    reference: dict[str, Any] = field(default_factory=dict)

    def reset(self) -> None:
        for key in set(self.objects()) - set(self.collected):
            self.store.delete_object(Bucket="lake", Key=key)
        self.cluster.past.clear()
        self.cluster.most_live.clear()
        assert not self.cluster.pods

    def objects(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for page in self.store.get_paginator("list_objects_v2").paginate(Bucket="lake"):
            for entry in page.get("Contents", []):
                found[entry["Key"]] = self.store.get_object(Bucket="lake", Key=entry["Key"])["Body"].read()
        return found

    def published(self) -> dict[str, list[bytes]]:
        """Per manifest, the bytes of the files it lists."""
        objects = self.objects()
        manifests = {key: json.loads(data) for key, data in objects.items() if key.endswith("/_manifest.json")}
        return {
            key: [objects[f"{key.removesuffix('_manifest.json')}{file['path']}"] for file in manifest["files"]]
            for key, manifest in manifests.items()
        }

    def task(self, mode: str) -> Task:
        from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

        results = [f"{LAKE}/runs/{name}.json" for name in ("collect_a", "collect_b")]
        options = {"fuse": self.fuse, "inputs_from": ["collect"], "deferrable": mode == "deferrable"}
        found = Task(KubernetesAgentOperator, options, spec=None)
        found.upstream = [{"result_uri": uri} for uri in results]
        return found


@pytest.fixture(scope="module")
def stage(airflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("kills")
    with pytest.MonkeyPatch.context() as patch, s3_server() as url, kubernetes_api(folder) as cluster:
        access = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(folder / "kubeconfig")}}
        settings = {"BASE_HOME": str(folder), "BASE_LAKE_URL": LAKE}
        for name, value in {**access, **settings, "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection)}.items():
            patch.setenv(name, value)
        cluster.secrets["base-lake"] = access
        store = client(url)
        store.create_bucket(Bucket="lake")
        world = World(folder / "in", folder / "unused", lake_url=LAKE, environment=access)
        world.write_inputs(rows=60)
        stages = {task: (steps, before) for task, steps, before in world.stages()}
        for task in ("collect_a", "collect_b"):
            code, log = world.run(task, *stages[task])
            assert code == 0, log
        fuse = [{"agent": step.agent, "spec": {**step.spec, "action": step.action}} for step in stages["convert_a"][0]]
        for part in fuse:
            if part["agent"] == "data_quality.validator":
                part["spec"].pop("action")
        found = Stage(cluster, folder, store, fuse, {})
        found.collected = found.objects()
        assert drive(found, "plain", "nobody", "running") == 1
        found.reference = found.published()
        assert found.reference
        yield found


@dataclass
class Disturbance:
    """Strikes once, at its moment, whoever it is for."""

    stage: Stage
    who: str
    when: str
    pauses: Path
    hold: threading.Event = field(default_factory=threading.Event)
    done: bool = False

    def strike(self, process: TaskProcess) -> None:
        """Wait for the moment, kill, and let the world go on."""
        if self.done:
            return
        self.done = True
        cluster = self.stage.cluster
        if self.when == "before start":
            cluster.wait(lambda: bool(cluster.pods))
        else:
            cluster.wait((self.pauses / "reached").exists)
        if self.who in ("process", "both", "triggerer"):
            process.kill()
        if self.who in ("pod", "both"):
            cluster.strike(cluster.the_pod(), "vanish" if self.when == "before start" else "kill")
        self.go_on()

    def fatal(self, task: Task) -> str:
        """The method in which the process of a deferrable task is killed; empty: in none.

        It lives for moments only: before the pod has started, as it hands over to the triggerer; while the pod runs, as
        it has come for the logs and hands over again; after the Result, as it is about to clear the pod away.
        """
        if self.who != "process" or not task.options["deferrable"] or self.done:
            return ""
        return "_clear_away" if self.when == "after the result" else "_defer"

    def is_due(self) -> bool:
        return self.when in ("before start", "after the result") or (self.pauses / "reached").exists()

    def go_on(self) -> None:
        (self.pauses / "go").touch()
        self.hold.set()


def drive(stage: Stage, mode: str, who: str, when: str) -> int:
    """Run the task to its success as a scheduler would; returns how many tries it took."""
    stage.reset()
    pauses = stage.folder / f"{mode}-{who}-{when}".replace(" ", "-")
    pauses.mkdir()
    disturbance = Disturbance(stage, who, when, pauses)
    environment = {"PAUSE_AT": MOMENTS[when], "PAUSE_DIR": str(pauses)}
    hold = disturbance.hold if when == "before start" else None
    stage.cluster.default = Plan(command=[sys.executable, WORKER], env=environment, hold=hold)
    command = stage.cluster.default.command
    assert command is not None
    command += ["--request", "env:AGENT_REQUEST"]
    task = stage.task(mode)
    if who == "process" and mode == "deferrable":
        task.options["logging_interval"] = 0.1
    for number in range(1, 5):
        task.try_number = number
        outcome = one_try(task, disturbance, pauses)
        if "value" in outcome:
            check_success(stage, outcome["value"])
            return number
        assert outcome.get("retry", True), outcome
    raise AssertionError(f"no success: {outcome}")


def one_try(task: Task, disturbance: Disturbance, folder: Path) -> dict[str, Any]:
    fatal = disturbance.fatal(task)
    if fatal == "_clear_away":
        disturbance.go_on()
    early = disturbance.when == "before start"
    process = TaskProcess(folder, kubernetes_tasks.execute, task, fatal if early else "")
    if not task.options["deferrable"]:
        disturbance.strike(process)
    outcome = process.end()
    while "deferred" in outcome:
        path, arguments = outcome["deferred"]
        event: dict[str, Any] = {}
        while not event:  # a triggerer that dies is followed by another
            triggerer = TaskProcess(folder, kubernetes_tasks.trigger, path, arguments)
            if not fatal:
                disturbance.strike(triggerer)
            event = triggerer.end()
        here = fatal if disturbance.is_due() else ""
        outcome = TaskProcess(folder, kubernetes_tasks.resume, task, event["value"], here).end()
    if fatal:
        assert outcome == {}, "the process was to be killed"
        disturbance.done = True
        disturbance.go_on()
    return outcome


def check_success(stage: Stage, value: dict[str, Any]) -> None:
    """A green task has a Result, its manifests are there, and nothing of it still runs."""
    audit(stage.cluster)
    objects = stage.objects()
    result = json.loads(objects[value["result_uri"].removeprefix("s3://lake/")])
    assert result["status"] in ("ok", "partial")
    for key in result["commit_keys"]:
        assert any(f"/{key}/_manifest.json" in name for name in objects), key
    stage.cluster.wait(lambda: not stage.cluster.pods)
    assert not any(pod.alive for pod in stage.cluster.past)


WHOS = ("process", "pod", "both", "triggerer")
CASES = [
    pytest.param(
        mode,
        who,
        when,
        marks=() if (who, when) in {("both", "after the data"), ("triggerer", "running")} else pytest.mark.slow,
    )
    for mode, whos in {"plain": WHOS[:3], "deferrable": WHOS}.items()
    for who in whos
    for when in MOMENTS
]


@pytest.mark.parametrize(("mode", "who", "when"), CASES)
def test_killed(stage: Stage, mode: str, who: str, when: str) -> None:
    tries = drive(stage, mode, who, when)
    assert stage.published() == stage.reference
    if who == "triggerer":
        assert tries == 1 and len(stage.cluster.past) == 1
    if who == "process":  # its successor adopts the pod: nothing runs twice
        assert tries == 2 and len(stage.cluster.past) == 1
    if when == "after the result" and who != "process":
        assert len(stage.cluster.past) == 1


@pytest.mark.slow
def test_a_large_request_is_read_from_the_lake(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from base_ops.orchestration.kubernetes import operator

    monkeypatch.setattr(operator, "MAX_INLINE_REQUEST", 0)
    stage.reset()
    stage.cluster.default = Plan()
    value = stage.task("plain").run()
    (pod,) = stage.cluster.past
    (container,) = pod.body["spec"]["containers"]
    assert container["args"] == ["--request", value["result_uri"].replace("result.json", "request.json")]
    assert "AGENT_REQUEST" not in {entry["name"] for entry in container["env"]}
    assert stage.published() == stage.reference
