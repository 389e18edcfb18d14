"""Task processes on the stand-in cluster: the operator's own methods with a context as Airflow gives it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
from fakes.kubernetes import Cluster, Plan
from fsspec.implementations.local import LocalFileSystem

SPEC = {"source": "a.csv", "target": "b.parquet"}
JOB = [sys.executable, "-I", "-S", str(Path(__file__).parent / "pod_job.py")]


class SharedFolder(LocalFileSystem):
    """A lake that operator and pods share, though it is a folder: `shared://…` under `root`."""

    protocol = "shared"
    root = ""
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        rest = str(path).removeprefix("shared://")
        return rest if rest.startswith(cls.root) else f"{cls.root}/{rest}"


@contextmanager
def shared_lake(folder: Path) -> Iterator[str]:
    SharedFolder.root = str(folder)
    fsspec.register_implementation("shared", SharedFolder, clobber=True)
    yield "shared://lake"


class Store(dict[str, Any]):
    """As Airflow's task state store: `get` and `set`."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@dataclass
class Task:
    """One task instance over its tries."""

    operator_class: Any
    options: dict[str, Any] = field(default_factory=dict)
    task_id: str = "convert_all"
    map_index: int = -1
    store: Store = field(default_factory=Store)
    try_number: int = 1
    spec: dict[str, Any] | None = field(default_factory=lambda: dict(SPEC))
    upstream: list[dict[str, Any]] = field(default_factory=list)
    """XCom values of the tasks before it."""

    def operator(self) -> Any:
        """The operator as a new process builds it."""
        from airflow.sdk import DAG

        quick = {"startup_check_interval_seconds": 0.05, "poll_interval": 0.05}
        with DAG("fx", schedule=None):
            operator = self.operator_class(task_id=self.task_id, spec=self.spec, **quick, **self.options)
        operator.hopeless_s, operator.unknown_s, operator.terminate_s, operator.quiet_s = 0.4, 0.4, 2.0, 1.0
        return operator

    def context(self, operator: Any) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="fx",
            run_id="scheduled__2026-11-20T00:00:00+00:00",
            task_id=self.task_id,
            map_index=self.map_index,
            try_number=self.try_number,
            start_date=datetime.now(UTC),
            xcom_push=lambda key, value: None,
            xcom_pull=lambda **_: self.upstream,
            context_carrier=None,
        )
        return {
            "ti": ti,
            "run_id": ti.run_id,
            "task": operator,
            "dag": SimpleNamespace(),
            "task_state_store": self.store,
            "outlet_events": {},
        }

    def run(self) -> dict[str, Any]:
        """One try in this process, over as many deferrals as it takes."""
        from airflow.sdk.exceptions import TaskDeferred

        operator = self.operator()
        try:
            return operator.execute(self.context(operator))
        except TaskDeferred as deferred:
            waiting = deferred
        while True:
            path, arguments = waiting.trigger.serialize()
            event = asyncio.run(fire(path, arguments))
            operator = self.operator()
            try:
                return operator.resume_execution(waiting.method_name, {"event": event}, self.context(operator))
            except TaskDeferred as deferred:
                waiting = deferred


def execute(task: Task, fatal: str = "") -> Any:
    """What Airflow calls first; `fatal` as in `resume`."""
    operator = task.operator()
    if fatal:
        die_in(operator, fatal)
    return operator.execute(task.context(operator))


def resume(task: Task, event: dict[str, Any], fatal: str = "") -> Any:
    """What Airflow calls when a trigger has fired.

    Args:
        fatal: the operator's method in which this process is killed; empty: in none.
    """
    operator = task.operator()
    if fatal:
        die_in(operator, fatal)
    return operator.resume_execution("trigger_reentry", {"event": event}, task.context(operator))


def die_in(operator: Any, method: str) -> None:
    """The process that calls this method of the operator is killed in its place, as the kernel or a node would."""
    setattr(operator, method, lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def trigger(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the triggerer runs."""
    return asyncio.run(fire(path, arguments))


async def fire(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a trigger as the triggerer does: from its serialised form."""
    import importlib
    import json

    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError("the trigger ended without an event")


def job(how: str = "ok", **plan: Any) -> Plan:
    """A pod that runs pod_job.py."""
    return Plan(command=list(JOB), env={"HOW": how, "LAKE_FOLDER": SharedFolder.root}, **plan)


def shorten_retries(monkeypatch: Any) -> None:
    """The provider's waits between two calls of the API."""
    import tenacity
    from airflow.providers.cncf.kubernetes import kubernetes_helper_functions as provider

    monkeypatch.setattr(provider, "_default_wait", tenacity.wait_fixed(0.02))


def audit(cluster: Cluster) -> None:
    """What must hold whatever happened."""
    assert max(cluster.most_live.values(), default=0) <= 1, "two live pods for one task instance"
