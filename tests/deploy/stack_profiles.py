"""`make profiles-test`: the dev stack's profiles for real, with local images in the place of third parties'.

`ml`: a model registered with MLflow is the one a job decides with. `streaming`: what is sent to Kafka, from this machine and
inside, is collected into the lake. `observability`: Prometheus sees what Airflow sends through the StatsD exporter, under
the names that the rules use. Grafana and k3s have no local image: their part of the compose file is only rendered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from typing import Any

import stack
from stack import ENVIRONMENT, ROOT, expect, output, say, wait

PROFILES = {
    "ml": {"mlflow"},
    "streaming": {"kafka"},
    "observability": {"statsd-exporter", "prometheus", "grafana"},
    "cluster": {"k3s", "k3s-init"},
}
WORKER = "/opt/base-ops/worker/bin/python"
LAKE = "s3://base-ops/lake"
SEND = """
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "kafka:9092"})
for number in range(3):
    producer.produce("trades", '{"trade_id": %d}' % number)
print(producer.flush(60))
"""
READ = """
import fsspec, json
store = fsspec.filesystem("s3")
files = [store.open(path, compression="infer").read() for path in store.find("{landed}") if "/_log/" not in path]
print(json.dumps([json.loads(store.cat("{uri}"))["status"], sum(data.count(b'"trade_id"') for data in files)]))
"""
COLLECT = {
    "steps": [
        {
            "agent": "data_ingestion.collector",
            "action": "collect_data_from_source",
            "spec": {
                "source": {
                    "id": "desk_trades",
                    "connection": "desk_kafka",
                    "mode": "append",
                    "kafka": {"topics": ["trades"], "value": "json", "max_seconds": 20},
                    "read": {"columns": [{"name": "trade_id", "source_name": "value.trade_id", "type": "int64"}]},
                },
                "dataset": "desk_trades",
            },
        }
    ],
    "identity": {"dag_id": "d", "run_id": "r", "task_id": "t", "attempt": "a"},
    "lake_url": LAKE,
    "result_uri": f"{LAKE}/runs/profiles/result.json",
    "connections": ["desk_kafka"],
}


def main() -> None:
    check_rendering()
    ENVIRONMENT.update(PROFILES="ml streaming", STATSD_ON="True", COMPOSE_PROJECT_NAME="base-ops-profiles-test")
    try:
        say("up")
        # First, as Airflow's processes look its name up once, when they start.
        stack.stack("compose", "up", "--detach", "--no-build", "statsd-exporter", "prometheus", check=True)
        stack.stack("up", check=True)
        settings = dict(line.split("=", 1) for line in (ROOT / ".env").read_text().splitlines() if "=" in line)
        check_mlflow(f"http://127.0.0.1:{settings['MLFLOW_PORT']}")
        check_kafka()
        check_prometheus(f"http://127.0.0.1:{settings['PROMETHEUS_PORT']}")
    except BaseException:
        stack.stack("compose", "logs", "--tail", "60")
        raise
    finally:
        say("tearing down")
        stack.stack("down", "--volumes")
    say("done")


def check_rendering() -> None:
    """Every profile of the compose file renders, with and without the local images, and has its services."""
    subprocess.run([sys.executable, "docker/make_env.py"], cwd=ROOT, check=True)
    override = ENVIRONMENT.get("OVERRIDE", "")
    default = services(override)
    for profile, more in PROFILES.items():
        for other in ("", override):
            found = services(other, profile)
            expect(found == default | more, f"the profile {profile} has the services {sorted(found)}")
    say(f"the profiles {', '.join(PROFILES)} render")


def services(override: str, profile: str = "") -> set[str]:
    ENVIRONMENT.update(PROFILES=profile, OVERRIDE=override)
    return set(output("docker/stack.sh", "compose", "config", "--services").split())


def check_mlflow(url: str) -> None:
    """From here, and from a container by its name, which MLflow must know."""
    call(f"{url}/api/2.0/mlflow/registered-models/create", {"name": "base-data-ingestion-probe"})
    asked = "http://mlflow:5000/api/2.0/mlflow/registered-models/get?name=base-data-ingestion-probe"
    inside = f"import urllib.request as u; print(u.urlopen('{asked}', timeout=30).status)"
    expect(scheduler("python", "-c", inside) == "200", "MLflow does not answer to its name")
    told = scheduler("printenv", "BASE_MLFLOW_TRACKING_URI")
    expect(told == "http://mlflow:5000", f"Airflow is told of MLflow at {told!r}")
    say("MLflow keeps models and answers to its name")


def check_kafka() -> None:
    expect(scheduler(WORKER, "-c", SEND) == "0", "Kafka took no messages")
    connection = json.dumps({"conn_type": "kafka", "host": "kafka:9092"})
    folder = "/tmp/connections"
    script = f"mkdir -p {folder} && printf %s '{connection}' > {folder}/desk_kafka.json"
    script += (
        f" && BASE_CONNECTIONS_DIR={folder} {WORKER} -m base_ops.worker --request - >&2 <<'E'\n{json.dumps(COLLECT)}\nE"
    )
    scheduler("bash", "-c", script)
    said = json.loads(
        scheduler(WORKER, "-c", READ.format(uri=COLLECT["result_uri"], landed=f"{LAKE}/landing/desk_trades"))
    )
    expect(said == ["ok", 3], f"collected: {said}")
    say("three messages from Kafka are in the lake")


def check_prometheus(url: str) -> None:
    def seen(query: str) -> bool:
        answer = call(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        return bool(answer["data"]["result"])

    wait("Prometheus sees the StatsD exporter", 60, lambda: seen('up{job="airflow"} == 1'))
    wait("and the scheduler's heartbeat", 120, lambda: seen("airflow_scheduler_heartbeat > 0"))
    groups = call(f"{url}/api/v1/rules")["data"]["groups"]
    sick = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]
    expect(sum(len(group["rules"]) for group in groups) > 15 and not sick, f"rules with errors: {sick}")


def call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def scheduler(*command: str) -> str:
    """What a command in the scheduler's container says."""
    return output("docker/stack.sh", "compose", "exec", "-T", "airflow-scheduler", *command)


if __name__ == "__main__":
    if "--render" in sys.argv:
        check_rendering()
    else:
        os.environ["PYTHONUNBUFFERED"] = "1"
        main()
