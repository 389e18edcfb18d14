"""AgentOperator on the local runner: real task runs (dag.test) with a stand-in worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from processes import is_gone

from base_ops.core.errors import ConfigError

RunDag = Callable[..., Any]


@pytest.fixture(autouse=True)
def _setting(airflow_db: Path, fake_worker: None) -> None:
    """Every test here has an Airflow database and the stand-in worker."""


def convert(how: str = "ok", **source: Any) -> dict[str, Any]:
    return {"source": {"id": "s", "files": {"path": "/x"}, "title": how, **source}, "target": "staging:fx_quotes"}


def dag_of(dag_id: str, **options: Any) -> Any:
    from airflow.sdk import DAG

    return DAG(dag_id, start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None, **options)


def operator(task_id: str, how: str = "ok", **options: Any) -> Any:
    from base_ops.data_ingestion.operators import ConverterOperator

    return ConverterOperator(task_id=task_id, **{"spec": convert(how), "retry_delay": timedelta(0), **options})


def ends(run: Any) -> dict[str, tuple[str, int]]:
    """Task → (state, tries)."""
    return {ti.task_id: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}


def told(home: Path, task_id: str, name: str) -> Any:
    (path,) = (home / "lake" / "runs").glob(f"*/*/{task_id}/*/{name}")
    return json.loads(path.read_text())


def test_each_outcome_has_its_end_and_its_retries(run_dag: RunDag) -> None:
    expected = {  # how the worker ends, with how many retries: (state, tries)
        ("ok", 1): ("success", 1),
        ("partial", 1): ("success", 1),
        ("bad_input", 1): ("failed", 1),
        ("config_error", 1): ("failed", 1),
        ("denied", 1): ("failed", 1),
        ("transient", 2): ("failed", 3),
        ("bug", 2): ("failed", 2),
        ("killed", 1): ("failed", 2),
        ("no result", 1): ("failed", 2),
        ("other attempt", 1): ("failed", 2),
        ("torn result", 1): ("failed", 2),
    }
    with dag_of("outcomes") as dag:
        for how, retries in expected:
            operator(how.replace(" ", "_"), how, retries=retries)
    found = ends(run_dag(dag))
    assert found == {how.replace(" ", "_"): end for (how, _), end in expected.items()}


def test_the_xcom_value_is_references_and_counts(run_dag: RunDag, base_home: Path) -> None:
    with dag_of("xcom") as dag:
        operator("a", "partial")
    (ti,) = run_dag(dag).get_task_instances()
    value = ti.xcom_pull(task_ids="a")
    assert value["status"] == "partial"
    assert value["counts"]["rows_in"] == 10 and value["counts"]["quarantined"] == 1
    assert [output["slice"] for output in value["outputs"]] == ["s0", "s1"]
    assert value["quarantine"] == [{"rule": "r", "rows": 1, "uri": "q"}]
    assert json.loads(Path(value["result_uri"]).read_text())["status"] == "partial"
    assert value["result_uri"].startswith(f"{base_home}/lake/runs/xcom/manual__")


def test_the_xcom_value_stays_small_however_many_outputs() -> None:
    from base_ops.core.protocol import DataRef, Identity, QuarantineRef, Result, StepResult
    from base_ops.orchestration.agent import xcom_value

    long = "u" * 200
    refs = [DataRef(id="i", kind="staging", uri=long, name="n", slice="s") for _ in range(5000)]
    bad = [QuarantineRef(rule="r" * 50, rows=1, uri=long) for _ in range(500)]
    step = StepResult(agent="data_ingestion.converter", action="a", quarantine=bad)
    value = xcom_value(Result(status="ok", identity=Identity(attempt="a"), steps=[step], outputs=refs), long)
    assert len(json.dumps(value)) < 48 << 10
    assert value["outputs_total"] == 5000


def test_the_worker_sees_the_secret_only_in_the_pipe(
    run_dag: RunDag, base_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_VENDOR", json.dumps({"conn_type": "http", "host": "h", "password": "hunter2-secret"})
    )
    monkeypatch.setenv("AIRFLOW_VAR_OTHER", "also hidden")
    monkeypatch.setenv("SOME_TOKEN", "hidden too")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with dag_of("secrets") as dag:
        operator("a", spec=convert("tell", connection="vendor"))
        operator("b", spec=convert("tell", connection="unknown_to_airflow"))
    assert ends(run_dag(dag)) == {"a": ("success", 1), "b": ("success", 1)}
    seen = told(base_home, "a", "told.json")
    assert seen["secrets"]["vendor"]["password"] == "hunter2-secret"
    assert seen["secrets"]["vendor"]["host"] == "h"
    assert "hunter2" not in json.dumps([seen["argv"], seen["env"]])
    assert not [name for name in seen["env"] if name.startswith("AIRFLOW") or name == "SOME_TOKEN"]
    assert seen["env"]["AWS_REGION"] == "eu-central-1"
    assert told(base_home, "b", "told.json")["secrets"] == {}
    for file in base_home.rglob("*.json"):
        if file.name != "told.json":
            assert "hunter2" not in file.read_text(), file
    assert "hunter2" not in "".join(capfd.readouterr())


def test_templates_are_rendered_and_checked_again(run_dag: RunDag, base_home: Path) -> None:
    spec = {"source": "{{ params.folder }}/x.csv", "target": "{{ dag.dag_id }}.parquet"}
    with dag_of("templates", params={"folder": "/data", "share": "0.1", "bad": "many"}) as dag:
        operator("good", spec={**spec, "max_error_share": "{{ params.share }}"})
        operator("bad", spec={**spec, "max_error_share": "{{ params.bad }}"})
    assert ends(run_dag(dag)) == {"good": ("success", 1), "bad": ("failed", 1)}
    (step,) = told(base_home, "good", "request.json")["steps"]
    assert step["spec"] == {"source": "/data/x.csv", "target": "templates.parquet", "max_error_share": 0.1}
    assert step["action"] == "convert_to_standard_format"


def test_a_name_that_ends_in_json_is_no_template_file(run_dag: RunDag) -> None:
    with dag_of("json_name") as dag:
        operator("a", spec={"source": "in.json", "target": "out.json"})
    assert ends(run_dag(dag)) == {"a": ("success", 1)}


def test_inputs_are_the_results_of_all_instances_in_map_order(run_dag: RunDag, base_home: Path) -> None:
    from base_ops.data_ingestion.operators import ConverterOperator

    with dag_of("inputs") as dag:
        mapped = ConverterOperator.partial(task_id="mapped", map_index_template="{{ task.item }}").expand_kwargs(
            [{"spec": convert("ok", id=f"s{n}"), "item": f"s{n}"} for n in range(3)]
        )
        mapped >> operator("after")
    run = run_dag(dag)
    assert {str(ti.state) for ti in run.get_task_instances()} == {"success"}
    assert [ti.rendered_map_index for ti in run.get_task_instances() if ti.task_id == "mapped"] == ["s0", "s1", "s2"]
    inputs = told(base_home, "after", "request.json")["inputs"]
    assert [uri.split("/mapped/")[1][0] for uri in inputs] == ["0", "1", "2"]


def test_what_was_skipped_is_no_input_and_what_failed_is_an_error(run_dag: RunDag, base_home: Path) -> None:
    from airflow.providers.standard.operators.python import PythonOperator

    with dag_of("skips", default_args={"retries": 0}) as dag:
        skipping = PythonOperator(task_id="skipping", python_callable=_skip)
        skipped, fine, wrong = operator("skipped"), operator("fine"), operator("wrong", "bad_input")
        skipping >> skipped >> operator("all_skipped", trigger_rule="none_failed")
        [skipped, fine] >> operator("one_left", trigger_rule="none_failed")
        wrong >> operator("broken", trigger_rule="all_done", retries=2)
    assert ends(run_dag(dag)) == {
        "skipping": ("skipped", 1),
        "skipped": ("skipped", 0),
        "fine": ("success", 1),
        "wrong": ("failed", 1),
        "all_skipped": ("skipped", 1),
        "one_left": ("success", 1),
        "broken": ("failed", 1),
    }
    assert len(told(base_home, "one_left", "request.json")["inputs"]) == 1


def _skip() -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    raise AirflowSkipException("nothing today")


def test_a_time_out_ends_every_process_of_the_job(
    run_dag: RunDag, base_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base_ops.orchestration.local import LocalAgentOperator

    monkeypatch.setattr(LocalAgentOperator, "grace_s", 0.1)
    with dag_of("hangs") as dag:
        operator("a", "hang", execution_timeout=timedelta(seconds=3), retries=0)
    assert ends(run_dag(dag)) == {"a": ("failed", 1)}
    worker, child = told(base_home, "a", "pids.json")
    assert is_gone(worker) and is_gone(child)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"spec": {"source": "a", "target": "b", "taget": "c"}}, "spec.taget is not known. Did you mean 'target'?"),
        ({"spec": {"source": "a"}}, "spec.target is required"),
        ({"spec": None}, "exactly one of spec, fuse"),
        ({"fuse": []}, "exactly one of spec, fuse"),
        ({"spec": None, "fuse": [{"agent": "data_ingestion.convertor", "spec": {}}]}, "Did you mean"),
        ({"spec": {"source": "a", "target": "b", "max_error_share": 2}}, "max_error_share=2"),
    ],
)
def test_a_wrong_spec_fails_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with dag_of("wrong"), pytest.raises(ConfigError) as raised:
        operator("a", **arguments)
    assert says in str(raised.value)


def test_a_spec_may_be_its_class_and_other_arguments_are_airflows() -> None:
    from base_ops.data_ingestion.operators import ConverterOperator
    from base_ops.data_ingestion.specs.converter import ConverterSpec

    with dag_of("classes", default_args={"retries": 7, "pool": "p"}):
        task = ConverterOperator(task_id="a", spec=ConverterSpec(source="a", target="b"), priority_weight=5)
    assert task.spec == {"source": "a", "target": "b"}
    assert (task.retries, task.pool, task.priority_weight) == (7, "p", 5)


def test_defaults_of_retries_also_when_mapped() -> None:
    from base_ops.data_ingestion.operators import ConverterOperator

    with dag_of("defaults"):
        plain = operator("a", retry_delay=timedelta(seconds=60))
        mapped = ConverterOperator.partial(task_id="b").expand(spec=[convert()])
    for task in (plain, mapped):
        assert task.retries == 3
        assert task.retry_delay == timedelta(seconds=60)
        assert task.retry_exponential_backoff == 2
    assert plain.max_retry_delay == timedelta(seconds=1800)


def test_a_fused_task_sends_its_steps_in_order(run_dag: RunDag, base_home: Path) -> None:
    from base_ops.orchestration.operator import AgentOperator

    fuse = [
        {"agent": "data_ingestion.converter", "spec": convert()},
        {"agent": "data_quality.validator", "spec": {"rules": [{"check": "presence", "column": "bid"}]}},
    ]
    with dag_of("fused") as dag:
        AgentOperator(task_id="a", fuse=fuse, sensitive_columns=["name"])
    assert ends(run_dag(dag)) == {"a": ("success", 1)}
    request = told(base_home, "a", "request.json")
    assert [step["agent"] for step in request["steps"]] == ["data_ingestion.converter", "data_quality.validator"]
    assert request["sensitive_columns"] == ["name"]


def test_a_state_database_that_is_away_fails_nothing(
    run_dag: RunDag, base_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base_ops.core.settings import load_settings
    from base_ops.orchestration.publish import sweep_lake

    monkeypatch.setenv("BASE_STATE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    with dag_of("stateless") as dag:
        operator("a")
        operator("b", "bad_input")
    assert ends(run_dag(dag)) == {"a": ("success", 1), "b": ("failed", 1)}
    monkeypatch.delenv("BASE_STATE_URL")
    assert sweep_lake(load_settings()) == 2
    assert sweep_lake(load_settings()) == 0


def test_asset_events_carry_row_counts(run_dag: RunDag) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.sdk import Asset
    from airflow.utils.session import create_session

    with dag_of("assets") as dag:
        operator("a", "partial", outlets=[Asset(name="fx_quotes", uri="base://fx_quotes")])
    run_dag(dag)
    with create_session() as session:
        (event,) = session.query(AssetEvent).filter_by(source_dag_id="assets").all()
        extra = dict(event.extra)
    assert extra.pop("result_uri").endswith("/result.json")
    assert extra == {"rows": 8, "quarantined": 1, "status": "partial", "version": None, "adopted": False, "missing": []}
