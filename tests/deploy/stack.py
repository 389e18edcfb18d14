"""`make stack-test`: the dev stack for real. Needs a Docker engine; stops at the first thing that is not as it should be.

Brings the default profile up, runs base_layer_data_pipeline through Airflow's REST API, reads the table from S3,
runs again and kills the scheduler in the middle, and tears everything down (also when something failed).
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
DAG = "base_layer_data_pipeline"
UP_S = 300
RUN_S = 600
ENVIRONMENT = {**os.environ, "COMPOSE_PROJECT_NAME": "base-ops-stack-test", "QUIET": "yes"}
STARTED = time.monotonic()


class Airflow:
    """The few calls of the REST API that the test makes."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        answer = self.call("POST", "/auth/token", {"username": "admin", "password": password})
        self.token = answer["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if token := getattr(self, "token", ""):
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def trigger(self, run_id: str, conf: dict[str, Any]) -> None:
        self.call("POST", f"/api/v2/dags/{DAG}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})

    def state(self, run_id: str) -> str:
        return str(self.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}")["state"])

    def tasks(self, run_id: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for task in self.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances")["task_instances"]:
            found.setdefault(task["task_id"], []).append(str(task["state"]))
        return found

    def is_done(self, run_id: str) -> bool:
        state = self.state(run_id)
        if state == "failed":
            raise SystemExit(f"the run {run_id} failed: {self.tasks(run_id)}")
        return state == "success"


def main() -> None:
    try:
        check()
    except BaseException:
        stack("compose", "logs", "--tail", "60")
        raise
    finally:
        say("tearing down")
        stack("down", "--volumes")
    left = output("docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=base-ops-stack-test")
    expect(not left, f"containers are left: {left}")
    say("done")


def check() -> None:
    say("up")
    began = time.monotonic()
    stack("up", check=True)
    say(f"healthy after {time.monotonic() - began:.0f} s")
    settings = dict(line.split("=", 1) for line in (ROOT / ".env").read_text().splitlines() if "=" in line)
    airflow = Airflow(f"http://127.0.0.1:{settings['AIRFLOW_PORT']}", settings["AIRFLOW_ADMIN_PASSWORD"])
    wait("the DAG is there", 120, lambda: knows(airflow))
    errors = airflow.call("GET", "/api/v2/importErrors")["import_errors"]
    expect(not errors, f"import errors: {errors}")
    errors = airflow.call("GET", "/api/v2/plugins/importErrors")["import_errors"]
    expect(not errors, f"plugins that cannot be imported: {errors}")

    airflow.call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
    airflow.trigger("first", {})
    try:
        airflow.trigger("first", {})
        raise SystemExit("the same run id was taken twice")
    except urllib.error.HTTPError as error:
        expect(error.code == 409, f"the second post of a run id got {error.code}")
    wait("the first run is green", RUN_S, lambda: airflow.is_done("first"))
    check_probe()
    rows = table()
    expect(len(rows) > 100, f"the table in S3 has {len(rows)} rows")
    say(f"the table in S3 has {len(rows)} rows")

    airflow.trigger("second", {"reprocess": True})
    wait("the second run has collected", RUN_S, lambda: is_half_way(airflow.tasks("second")))
    say(f"killing the scheduler at {airflow.tasks('second')}")
    stack("compose", "kill", "airflow-scheduler", check=True)
    stack("compose", "up", "--detach", "--no-build", "airflow-scheduler", check=True)
    wait("the second run is green", RUN_S, lambda: airflow.is_done("second"))
    expect(table() == rows, "the second run changed the table")
    say("the same table after the restart")


def check_probe() -> None:
    """What the Airflow chart asks of the scheduler's container, as it asks."""
    probe = ["/entrypoint", "airflow", "jobs", "check", "--job-type", "SchedulerJob", "--local"]
    found = output("docker/stack.sh", "compose", "exec", "-T", "airflow-scheduler", *probe)
    expect("Found one alive job" in found, f"the chart's probe of the scheduler: {found}")


def knows(airflow: Airflow) -> bool:
    try:
        airflow.call("GET", f"/api/v2/dags/{DAG}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def is_half_way(tasks: dict[str, list[str]]) -> bool:
    """All sources are collected and something after that runs."""
    collected = all(state == "success" for state in tasks.get("collect", ["none"]))
    return collected and any("running" in tasks.get(name, []) for name in ("convert", "merge", "validate", "mask"))


def table() -> list[dict[str, str]]:
    """The rows of the table in S3, read by the worker's own command inside the stack."""
    command = ["/opt/base-ops/worker/bin/python", "-m", "base_ops.cli", "show", "eod_quotes", "--format", "csv"]
    text = output("docker/stack.sh", "compose", "exec", "-T", "airflow-scheduler", *command)
    return sorted(csv.DictReader(io.StringIO(text)), key=lambda row: (row["symbol"], row["date"]))


def stack(*arguments: str, check: bool = False) -> None:
    subprocess.run(["docker/stack.sh", *arguments], cwd=ROOT, env=ENVIRONMENT, check=check)


def output(*command: str) -> str:
    name = os.environ.get("DOCKER", "docker") if command[0] == "docker" else command[0]
    done = subprocess.run(
        [name, *command[1:]], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def wait(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"not within {seconds:.0f} s: {what}")
        time.sleep(0.5)
    say(what)


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise SystemExit(f"stack-test: {otherwise}")


def say(text: str) -> None:
    print(f"stack-test {time.monotonic() - STARTED:5.0f} s: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
