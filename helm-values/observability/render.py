"""Render dashboards/ (Grafana's JSON) and manifests/ (for the Prometheus operator) from the short forms here.

`make manifests` runs it; `render.py FOLDER` writes elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
HEADER = "# Rendered by `make manifests`. Do not edit.\n"
RULES = ("rules", "rules-argocd")


def render() -> dict[str, str]:
    """Relative path → text."""
    files = {f"dashboards/{uid}.json": json.dumps(board, indent=1) + "\n" for uid, board in dashboards().items()}
    manifests: dict[str, dict[str, Any]] = {f"{name}.yaml": _prometheus_rule(name) for name in RULES}
    manifests["statsd-monitor.yaml"] = _monitor()
    for uid, board in dashboards().items():
        manifests[f"dashboard-{uid}.yaml"] = _config_map(uid, board)
    manifests["kustomization.yaml"] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "monitoring",
        "resources": sorted(name for name in manifests if name != "rules-argocd.yaml"),
    }
    texts = {name: HEADER + yaml.safe_dump(body, sort_keys=False, width=120) for name, body in manifests.items()}
    return files | {f"manifests/{name}": text for name, text in texts.items()}


def dashboards() -> dict[str, dict[str, Any]]:
    """All dashboards by uid; the template stands for one per module."""
    short = yaml.safe_load((HERE / "dashboards.yaml").read_text())
    modules = yaml.safe_load((HERE.parent / "modules" / "table.yaml").read_text())["modules"]
    template = json.dumps(short.pop("$module"))
    for module in modules:
        short[f"module-{module.replace('_', '-')}"] = json.loads(template.replace("$module", module))
    return {uid: _dashboard(uid, board) for uid, board in short.items()}


def _dashboard(uid: str, short: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": f"base-ops-{uid}",
        "title": short["title"],
        "tags": ["base-ops", short["tier"]],
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, *panel) for number, panel in enumerate(short["panels"])],
    }


def _panel(number: int, title: str, unit: str, query: str) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {"h": 8, "w": 8, "x": number % 3 * 8, "y": number // 3 * 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": source, "expr": query}],
    }


def _prometheus_rule(name: str) -> dict[str, Any]:
    groups = yaml.safe_load((HERE / f"{name}.yaml").read_text())["groups"]
    metadata = {"name": f"base-ops-{name}", "labels": {"release": "prometheus"}}
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    return {**kind, "metadata": metadata, "spec": {"groups": groups}}


def _monitor() -> dict[str, Any]:
    """Scrapes the chart's StatsD exporter."""
    spec = {
        "namespaceSelector": {"matchNames": ["airflow"]},
        "selector": {"matchLabels": {"component": "statsd"}},
        "endpoints": [{"port": "statsd-scrape", "interval": "30s"}],
    }
    metadata = {"name": "base-ops-statsd", "labels": {"release": "prometheus"}}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata, "spec": spec}


def _config_map(uid: str, board: dict[str, Any]) -> dict[str, Any]:
    """As Grafana's sidecar finds dashboards: by label, its folder by annotation."""
    metadata = {
        "name": f"base-ops-{uid}",
        "labels": {"grafana_dashboard": "1"},
        "annotations": {"grafana_folder": board["tags"][1]},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {f"{uid}.json": json.dumps(board)}}


def main(folder: Path) -> None:
    files = render()
    for kind in ("dashboards", "manifests"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in (folder / kind).iterdir():
            if f"{kind}/{path.name}" not in files:
                path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
