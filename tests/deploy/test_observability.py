"""Alerts fire when they should and only then; every query names a metric that somebody sends."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import airflow
import kubernetes_validate
import pytest
import yaml
from deploy.rendering import HELM, ROOT, kustomized, script

RULES = [HELM / "observability" / name for name in ("rules.yaml", "rules-argocd.yaml")]
CASES = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
# What exporters beside us send: Prometheus itself, node-exporter, kubelet, kube-state-metrics, ArgoCD.
FOREIGN = {
    "up",
    "node_cpu_seconds_total",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
    "container_memory_working_set_bytes",
    "kubelet_volume_stats_used_bytes",
    "kube_pod_status_phase",
    "argocd_app_info",
}
WORDS = {
    "sum",
    "by",
    "rate",
    "increase",
    "max",
    "min",
    "avg",
    "count",
    "or",
    "unless",
    "offset",
    "vector",
    "histogram_quantile",
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def sent() -> set[str]:
    """Names as Prometheus sees them: what base_ops sends (read from its code) and what Airflow's registry lists."""
    found: set[str] = set()
    for file in (ROOT / "base_ops" / "orchestration").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("incr", "timing", "gauge")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    registry = Path(airflow.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    own = {re.sub(r"[.-]", "_", metric["name"]) for metric in yaml.safe_load(registry.read_text())["metrics"]}
    return found | {f"airflow_{name}" for name in own} | FOREIGN


def names(query: str) -> set[str]:
    """The metrics of a query: words that are no function, label, string or duration."""
    bare = re.sub(r'"[^"]*"', '""', query)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\bby \([^)]*\)", "", bare)
    bare = re.sub(r"\[[^\]]*\]|\boffset \w+", "", bare)
    found = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]+", bare)) - WORDS
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def queries() -> list[tuple[str, str]]:
    boards = [json.loads(path.read_text()) for path in sorted((HELM / "observability" / "dashboards").glob("*.json"))]
    panels = [(f"{b['title']}: {p['title']}", t["expr"]) for b in boards for p in b["panels"] for t in p["targets"]]
    return panels + [(name, rule["expr"]) for name, rule in alerts().items()]


def test_every_query_names_metrics_that_somebody_sends() -> None:
    known = sent()
    assert "base_job_runs_total" in known and "airflow_scheduler_heartbeat" in known
    unknown = {where: names(query) - known for where, query in queries() if names(query) - known}
    assert not unknown
    assert names('rate(no_such_metric{a="b"}[5m])') - known == {"no_such_metric"}


def test_every_alert_has_a_firing_and_a_quiet_case() -> None:
    assert set(CASES) == set(alerts())
    assert all({"firing", "quiet"} <= set(case) for case in CASES.values())


@pytest.mark.server
@pytest.mark.parametrize("alert", sorted(CASES))
@pytest.mark.parametrize("state", ["firing", "quiet"])
def test_alert(alert: str, state: str, tmp_path: Path) -> None:
    """promtool evaluates the rule over a made-up series, every minute."""
    case, rule = CASES[alert], alerts()[alert]
    for file in RULES:
        shutil.copy(file, tmp_path / file.name)
    expected = [{"exp_labels": {**rule["labels"], **case.get("labels", {})}}] if state == "firing" else []
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case[state].items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": alert, "exp_alerts": expected}],
    }
    for wanted in expected:
        wanted["exp_annotations"] = {"summary": case["summary"]}
    document = {"rule_files": [file.name for file in RULES], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards_can_be_loaded() -> None:
    boards = script("observability").dashboards()
    assert len(boards) == 7 + 14
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    for board in boards.values():
        assert board["refresh"] == "30s" and board["panels"] and len(board["uid"]) <= 40
        assert board["tags"][1] in ("infrastructure", "platform-services", "applications")


@pytest.mark.server
def test_the_monitoring_objects_are_valid() -> None:
    objects = kustomized(HELM / "observability" / "manifests")
    kinds = [item["kind"] for item in objects]
    assert kinds.count("PrometheusRule") == 1 and kinds.count("ServiceMonitor") == 1
    for item in objects:
        if item["kind"] == "ConfigMap":
            kubernetes_validate.validate(item, "1.33", strict=True)


def test_the_same_names_come_out_of_the_statsd_exporter() -> None:
    mapping = yaml.safe_load((HELM / "observability" / "statsd-mapping.yaml").read_text())["mappings"]
    ours = {name for name in sent() - FOREIGN if not name.startswith("airflow_")}
    for name in ours:
        rule = next(
            m
            for m in mapping
            if re.fullmatch(m["match"] if m.get("match_type") else re.escape(m["match"]), f"airflow.{name}")
        )
        assert rule["name"] in (name, "$1")
