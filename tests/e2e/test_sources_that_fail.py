"""A pipeline of several sources where one of them fails: the standard workflow's own tasks, with two vendors' APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_kit import ROOT, Row, current, results
from fakes.collecting import Asked, Reply, ScriptedServer, connect, serving
from fakes.identity import CLIENT, SECRET, identity_provider

from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Result
from base_ops.state import StateStore
from base_ops.worker.connections import tokens

pytestmark = pytest.mark.slow
DAG = "base_standard_ingestion_workflow"


@dataclass
class Vendors:
    """Two APIs on one server: what each has, and how it misbehaves."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {"a": [], "b": []})
    answers: dict[str, Reply] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Reply:
        name = asked.path.strip("/")
        if name in self.answers:
            return self.answers[name]
        since = asked.params.get("since", "")
        return Reply(
            body=json.dumps({"data": [row for row in self.rows[name] if row["updated_at"] > since]}).encode(),
            headers={"Content-Type": "application/json"},
        )

    def add(self, name: str, day: int, *, close: Any = 1.5) -> None:
        moment = f"2026-11-{day:02d}T12:00:00Z"
        row = {"symbol": name.upper(), "date": moment[:10], "close": close, "updated_at": moment}
        self.rows[name].append(row)


@dataclass
class Two:
    """The standard workflow over both vendors."""

    vendors: Vendors
    home: Path
    folder: Path
    port: int
    run_dag: Callable[..., Any]
    required: Any = "any"
    last: Any = None
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs in a source's configuration."""

    def run(self) -> dict[str, str]:
        """One run: the states of its task instances."""
        from base_ops.orchestration.factory import build

        document = yaml.safe_load((ROOT / "dags" / "pipelines" / f"{DAG}.yaml").read_text())
        (model,) = document["sources"]
        del document["setup"], document["tasks"]["establish_secure_connection"]
        document["tasks"]["collect_data_from_source"]["after"] = "validate_source_availability"
        document["tasks"]["report_source_failure"]["after"].remove("establish_secure_connection")
        document["default_args"] |= {"retry_delay_s": 0}
        for task in document["tasks"].values():
            task["retries"] = 0
        document["sources"] = [self._source(model, name) for name in ("a", "b")]
        document["required_sources"] = self.required
        (self.folder / f"{DAG}.yaml").write_text(yaml.safe_dump(document))
        built = build(self.folder, DAG)
        assert not built.faults, built.faults
        self.last = self.run_dag(built.dags[DAG])
        return {
            ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}": str(ti.state)
            for ti in self.last.get_task_instances()
        }

    def _source(self, model: dict[str, Any], name: str) -> dict[str, Any]:
        http = {"path": f"/{name}", "records": "data", "cursor_field": "updated_at", "cursor_param": "since"}
        columns = [c for c in model["read"]["columns"] if c["name"] in ("symbol", "date", "close", "updated_at")]
        return {
            "id": f"vendor_{name}",
            "connection": f"vendor_{name}",
            "http": {**http, "backoff_s": 0.01, "tries": 1},
            "mode": "append",
            "slice": "all",
            "read": {"format": "json", "columns": columns},
            **self.changed.get(name, {}),
        }

    def result(self, task: str, number: int = -1) -> Result:
        """The newest Result of a task in the last run."""
        found = [r for r in results(self.home / "lake") if r.identity.run_id == self.last.run_id]
        return [r for r in found if (r.identity.task_id, r.identity.map_index) == (task, number)][-1]

    def xcoms(self) -> list[Any]:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            return [row.value for row in session.query(XComModel).filter_by(run_id=self.last.run_id)]

    def days(self) -> list[str]:
        """What the table holds, e.g. A03 for vendor a's row of the third day."""
        if not (self.home / "lake" / "tables" / "vendor_quotes").exists():
            return []
        return sorted(f"{r['symbol']}{r['date']:%d}" for r in current(self.home / "lake", "vendor_quotes"))

    def ended(self) -> dict[str, Any]:
        """What was told at the end of the last run."""
        store = StateStore(f"sqlite:///{self.home / 'state.db'}")
        try:
            told = [e for _, e in store.undelivered(10_000) if e.get("data", {}).get("run_id") == self.last.run_id]
        finally:
            store.close()
        return next(e for e in told if not e["type"].endswith("started"))


@pytest.fixture
def two(run_dag: Callable[..., Any], base_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    monkeypatch.setenv("BASE_CONFIG_DIR", str(ROOT / "dags" / "config"))
    vendors = Vendors()
    folder = tmp_path / "pipelines"
    folder.mkdir()
    server: ScriptedServer
    with serving(vendors) as server:
        for name in ("vendor_a", "vendor_b"):
            connect(base_home, name, conn_type="http", host="127.0.0.1", port=server.port)
        yield Two(vendors, base_home, folder, server.port, run_dag)


def test_the_others_are_stored_and_the_missing_one_is_caught_up(two: Two) -> None:
    two.vendors.add("a", 1)
    two.vendors.add("b", 1)
    assert set(two.run().values()) <= {"success", "skipped"} and two.days() == ["A01", "B01"]

    two.vendors.add("a", 2)
    two.vendors.add("b", 2)
    two.vendors.answers["b"] = Reply(status=403)
    states = two.run()
    assert two.days() == ["A01", "A02", "B01"], "a's is there, and what was known of b stays"
    assert str(two.last.state) == "failed"
    failed = {name for name, state in states.items() if state == "failed"}
    assert (
        len(failed) == 2
        and "sources_complete" in failed
        and all(n.endswith("_1") for n in failed - {"sources_complete"})
    )
    stored = two.result("store_validated_data")
    assert stored.status is Outcome.PARTIAL and set(stored.missing) == {"vendor_b"}
    assert "source_missing" in {finding.code for finding in stored.findings}
    told = two.ended()
    assert told["type"] == "ingestion.workflow.failed"
    assert (told["data"]["incomplete"], list(told["data"]["missing"])) == (True, ["vendor_b"])

    del two.vendors.answers["b"]
    assert set(two.run().values()) <= {"success", "skipped"}
    assert two.days() == ["A01", "A02", "B01", "B02"]
    assert two.result("store_validated_data").missing == {}

    two.vendors.add("a", 3)
    two.vendors.add("b", 3, close="many")  # cannot be converted
    states = two.run()
    assert (states["convert_to_standard_format_0"], states["convert_to_standard_format_1"]) == ("success", "failed")
    assert states["store_validated_data"] == "success" and states["sources_complete"] == "failed"
    assert two.days() == ["A01", "A02", "A03", "B01", "B02"]
    assert two.result("restore_cursor", 1).steps[0].observations["withdrawn"], "what b landed is asked for again"
    assert two.ended()["data"]["missing"] == {"vendor_b": "convert_to_standard_format"}


def test_7_4_a_revoked_token_and_a_healthy_source_in_one_dag(
    two: Two, base_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One refresh, denied within 5 s, no secret in log, XCom or event; the healthy source's data is stored."""
    tokens.forget_tokens()
    with identity_provider() as provider:
        port = int(provider.url.rsplit(":", 1)[1])
        connect(base_home, "vendor_b", conn_type="http", host="127.0.0.1", port=port, login=CLIENT, password=SECRET)
        two.changed["b"] = {
            "authentication": {"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token"},
            "http": {"path": "/api/token", "tries": 1, "backoff_s": 0.01},
        }
        two.vendors.add("a", 1)
        provider.secret = "replaced-at-the-provider"
        provider.revoke_all()
        states = two.run()
        assert len(provider.forms) == 1, "one token was asked for, once"
    denied = two.result("validate_source_availability", 1)
    assert denied.status is Outcome.DENIED and denied.seconds < 5
    assert two.days() == ["A01"] and states["store_validated_data"] == "success"
    assert two.ended()["data"]["missing"] == {"vendor_b": "validate_source_availability"}
    told = caplog.text + json.dumps(two.ended()) + json.dumps(two.xcoms())
    stored = b"".join(file.read_bytes() for file in (base_home / "lake").rglob("*") if file.is_file())
    assert "vendor_b" in told and SECRET not in told and SECRET.encode() not in stored


@pytest.mark.parametrize("required", ["all", ["vendor_b"]])
def test_what_is_required_holds_up_the_others(two: Two, required: Any) -> None:
    two.required = required
    two.vendors.add("a", 1)
    two.vendors.answers["b"] = Reply(status=403)
    states = two.run()
    assert str(two.last.state) == "failed" and states["store_validated_data"] in ("skipped", "upstream_failed")
    assert two.days() == []
