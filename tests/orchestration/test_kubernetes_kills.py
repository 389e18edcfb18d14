"""Killed at every moment: the task's process, its pod, both, the triggerer; with the real worker on an S3 lake.

Never a success without a manifest, never two live pods, and in the end the very bytes of an undisturbed run.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chaos.world import World
from fakes import kubernetes_tasks
from fakes.kubernetes import Cluster, Plan, kubernetes_api
from fakes.kubernetes_tasks import Task, audit, shorten_retries
from fakes.s3 import client, s3_server

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
LAKE = "s3://lake/base"
PATIENCE_S = 180
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
    import s3fs  # noqa: F401 - loaded before the forks

    import base_ops.orchestration.publish
    import base_ops.state  # noqa: F401

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
        shorten_retries(patch)
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


def fork(folder: Path, work: Callable[[], Any]) -> tuple[int, Path]:
    """A process of its own that does `work` and writes what came of it; a fork, to spare Airflow's import."""
    out = folder / f"{len(list(folder.glob('*.out')))}.out"
    out.touch()
    pid = os.fork()
    if pid:
        return pid, out
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR1, file=out.with_suffix(".stacks").open("w"))
        out.write_text(json.dumps(told(work)))
    finally:
        os._exit(0)
    raise AssertionError


def told(work: Callable[[], Any]) -> dict[str, Any]:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

    try:
        return {"value": work()}
    except TaskDeferred as deferred:
        return {"deferred": deferred.trigger.serialize()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "retry": not isinstance(error, AirflowFailException)}


def end(pid: int, out: Path) -> dict[str, Any]:
    """What a process has told; {} if it was killed. One that does not end shows where it stands, and fails the test."""
    until = time.monotonic() + PATIENCE_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(1)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"a process did not end:\n{out.with_suffix('.stacks').read_text()}")
        time.sleep(0.02)
    return dict(json.loads(out.read_text() or "{}"))


@dataclass
class Disturbance:
    """Strikes once, at its moment, whoever it is for."""

    stage: Stage
    who: str
    when: str
    pauses: Path
    hold: threading.Event = field(default_factory=threading.Event)
    done: bool = False

    def strike(self, pid: int) -> None:
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
            os.kill(pid, signal.SIGKILL)
        if self.who in ("pod", "both"):
            cluster.strike(cluster.the_pod(), "vanish" if self.when == "before start" else "kill")
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
    for number in range(1, 5):
        task.try_number = number
        outcome = one_try(task, disturbance, pauses)
        if "value" in outcome:
            check_success(stage, outcome["value"])
            return number
        assert outcome.get("retry", True), outcome
    raise AssertionError(f"no success: {outcome}")


def one_try(task: Task, disturbance: Disturbance, folder: Path) -> dict[str, Any]:
    def execute() -> Any:
        operator = task.operator()
        return operator.execute(task.context(operator))

    pid, out = fork(folder, execute)
    if not task.options["deferrable"]:
        disturbance.strike(pid)
    outcome = end(pid, out)
    while "deferred" in outcome:
        path, arguments = outcome["deferred"]
        event: dict[str, Any] = {}
        while not event:  # a triggerer that dies is followed by another
            fire = functools.partial(kubernetes_tasks.fire, path, arguments)
            pid, out = fork(folder, lambda fire=fire: asyncio.run(fire()))  # type: ignore[misc]
            disturbance.strike(pid)
            event = end(pid, out)

        def resume(event: dict[str, Any] = event) -> Any:
            operator = task.operator()
            return operator.resume_execution("trigger_reentry", {"event": event["value"]}, task.context(operator))

        outcome = end(*fork(folder, resume))
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


CASES = [
    pytest.param(
        mode,
        who,
        when,
        marks=() if (who, when) in {("both", "after the data"), ("triggerer", "running")} else pytest.mark.slow,
    )
    for mode, whos in {"plain": ("process", "pod", "both"), "deferrable": ("pod", "triggerer", "both")}.items()
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
