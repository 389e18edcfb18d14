"""From YAML to DAGs: what a pipeline says is what Airflow gets, and every fault has its file, line and key."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base_ops.core.errors import ConfigError

Write = Callable[..., Path]

SOURCE = """\
id: {name}
files: {{path: "{{{{ params.data }}}}/{name}/*.csv"}}
read: {{format: csv}}
"""

GOOD = """\
title: Two vendors
description: Quotes of *two* vendors.
schedule: "@daily"
start_date: 2024-03-01
owner: market-data
tags: [fx]
default_args: {retries: 5, retry_delay_s: 30, pool: default_pool, execution_timeout_s: 60}
params:
  data: {type: string, default: /data, title: Folder}
  depth: 3
sources: [oanda, {id: local, files: {path: /tmp/x}}]
tasks:
  collect:
    agent: data_ingestion.collector
    for_each: source
    spec: {source: "${source}", dataset: fx_quotes}
    group: intake
  convert:
    after: collect
    for_each: source
    fuse:
      - {agent: data_ingestion.converter, spec: {source: "${source}", target: "staging:${source.id}"}}
      - {agent: data_security.masker, spec: {columns: {name: {method: redact}, iban: {method: redact}}}}
    group: intake
  store:
    after: [convert]
    agent: data_storage.tier_manager
    spec: {dataset: fx_quotes, key: [symbol, time]}
    outlets: [fx_quotes]
    retries: 0
    trigger_rule: none_failed
    priority_weight: 9
    profile: high-memory
"""


@pytest.fixture
def write(tmp_path: Path, airflow_db: Path) -> Write:
    """Write pipelines/<name>.yaml; returns the folder."""
    folder = tmp_path / "dags" / "pipelines"
    folder.mkdir(parents=True)
    sources = tmp_path / "dags" / "config" / "data_ingestion" / "sources"
    sources.mkdir(parents=True)
    for name in ("oanda", "fxcm"):
        (sources / f"{name}.yaml").write_text(SOURCE.format(name=name))

    def write(text: str, name: str = "two_vendors") -> Path:
        (folder / f"{name}.yaml").write_text(text)
        return folder

    return write


def built(folder: Path, only: str | None = None) -> Any:
    from base_ops.orchestration.factory import build

    return build(folder, only)


def the_fault(folder: Path) -> str:
    found = built(folder)
    assert set(found.dags) == {"base_run_agent"}
    (fault,) = found.faults.values()
    return str(fault)


def test_a_pipeline_becomes_a_dag(write: Write) -> None:
    from base_ops.data_ingestion.operators import CollectorOperator
    from base_ops.data_storage.operators import TierManagerOperator
    from base_ops.orchestration.operator import AgentOperator

    found = built(write(GOOD))
    assert found.faults == {}
    dag = found.dags["two_vendors"]
    assert (dag.description, dag.doc_md, dag.tags) == ("Two vendors", "Quotes of *two* vendors.", {"fx"})
    assert dag.start_date == datetime(2024, 3, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.params.dump() == {"data": "/data", "depth": 3}
    collect, convert, store = (dag.get_task(name) for name in ("collect", "convert", "store"))
    assert [t.task_id for t in dag.topological_sort()] == ["collect", "convert", "store", "sources_complete"]
    assert collect.operator_class is CollectorOperator
    assert convert.operator_class is AgentOperator
    assert type(store) is TierManagerOperator
    assert (collect.retries, collect.retry_delay, collect.pool) == (5, timedelta(seconds=30), "default_pool")
    assert collect.execution_timeout == timedelta(seconds=60)
    assert (store.retries, store.priority_weight, store.profile) == (0, 9, "high-memory")
    assert store.trigger_rule == "none_failed"
    assert [(asset.name, asset.uri) for asset in store.outlets] == [("fx_quotes", "base://fx_quotes/")]
    assert collect.task_group.group_id == convert.task_group.group_id == "intake"
    assert collect.owner == "market-data"


def test_one_instance_per_source_with_its_whole_configuration(write: Write) -> None:
    dag = built(write(GOOD)).dags["two_vendors"]
    collect, convert = dag.get_task("collect").expand_input.value, dag.get_task("convert").expand_input.value
    assert [given["item"] for given in collect] == ["oanda", "local"]
    assert collect[0]["spec"]["source"] == {
        "id": "oanda",
        "files": {"path": "{{ params.data }}/oanda/*.csv"},
        "read": {"format": "csv"},
    }
    assert [given["fuse"][0]["spec"]["target"] for given in convert] == ["staging:oanda", "staging:local"]


def test_columns_that_are_masked_somewhere_are_sensitive_everywhere(write: Write) -> None:
    dag = built(write(GOOD)).dags["two_vendors"]
    assert dag.get_task("store").sensitive_columns == ["iban", "name"]
    assert dag.get_task("collect").partial_kwargs["sensitive_columns"] == ["iban", "name"]


def test_every_dag_can_be_serialised(write: Write) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in built(write(GOOD)).dags.values():
        assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids == dag.task_ids


MINIMAL = "tasks: {a: {agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}}\n"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("null", "NullTimetable"),
        ("'@hourly'", "CronTriggerTimetable"),
        ("'15 3 * * 1'", "CronTriggerTimetable"),
        ("{assets: [a, b]}", "AssetTriggeredTimetable"),
        ("{assets: a, any: true}", "AssetTriggeredTimetable"),
    ],
)
def test_schedules(write: Write, schedule: str, expected: str) -> None:
    found = built(write(f"schedule: {schedule}\n{MINIMAL}"))
    assert type(found.dags["two_vendors"].timetable).__name__ == expected


def test_the_clock_or_an_event(write: Write) -> None:
    text = (
        "schedule: {cron: '0 */6 * * *', events: [source_data_updated]}\nrun_timeout_s: 7200\nmodule: data_ingestion\n"
    )
    dag = built(write(text + MINIMAL)).dags["two_vendors"]
    assert type(dag.timetable).__name__ == "AssetOrTimeSchedule"
    assert type(dag.timetable.timetable).__name__ == "ScheduleTimetable"
    assert (dag.dagrun_timeout, dag.tags) == (timedelta(hours=2), {"module:data_ingestion"})


COMPENSATED = """\
sources: [oanda, fxcm]
tasks:
  collect: {agent: data_ingestion.collector, for_each: source, spec: {source: "${source}"}}
  store: {after: collect, agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}
  check: {after: store, agent: data_quality.validator, spec: {}}
  unpublish: {compensates: store, agent: data_storage.tier_manager, spec: {action: unpublish, dataset: d}}
  restore:
    compensates: collect
    after: unpublish
    agent: data_ingestion.collector
    for_each: source
    spec: {action: restore_cursor, source: "${source.id}"}
"""


def test_compensating_tasks_come_last_and_do_not_count(write: Write) -> None:
    dag = built(write(COMPENSATED)).dags["two_vendors"]
    unpublish, restore = dag.get_task("unpublish"), dag.get_task("restore")
    assert (unpublish.is_teardown, restore.is_teardown, unpublish.trigger_rule) == (True, True, "all_done")
    assert (unpublish.upstream_task_ids, restore.upstream_task_ids) == ({"check", "sources_complete"}, {"unpublish"})
    assert [given["spec"]["source"] for given in restore.expand_input.value] == ["oanda", "fxcm"]


@pytest.mark.parametrize(
    ("states", "failed"),
    [
        ({"collect_0": "success", "store": "success", "check": "success"}, []),
        ({"collect_1": "failed", "store": "upstream_failed"}, []),  # nothing behind collecting has failed
        ({"collect_0": "success", "store": "failed"}, ["store"]),
        ({"store": "success", "check": "failed", "unpublish": "failed"}, ["check"]),
    ],
)
def test_what_failed_behind(states: dict[str, str], failed: list[str]) -> None:
    from types import SimpleNamespace

    from base_ops.orchestration.compensation import failed_tasks

    ti = SimpleNamespace(dag_id="d", run_id="r", get_task_states=lambda dag_id, run_ids: {"r": states})
    assert failed_tasks({"ti": ti}, frozenset({"store", "check"})) == failed


def test_mapping_over_a_list(write: Write) -> None:
    text = """\
tasks:
  a:
    agent: data_ingestion.converter
    for_each: [{id: x, path: /x.csv}, {id: y, path: /y.csv}]
    spec: {source: "${item.path}", target: "out/${item.id}.parquet"}
"""
    (x, y) = built(write(text)).dags["two_vendors"].get_task("a").expand_input.value
    assert x == {"spec": {"source": "/x.csv", "target": "out/x.parquet"}, "item": "x"}
    assert y["item"] == "y"


FAULTS = {
    "not yaml": ("tasks: [", "line 2"),
    "twice a key": ("title: a\ntitle: b\n" + MINIMAL, "line 2, key title"),
    "no mapping": ("- a\n", "line 1"),
    "unknown key": ("titel: x\n" + MINIMAL, "Did you mean 'title'? … line 1, key titel"),
    "no tasks": ("title: x\n", "pipeline.tasks is required"),
    "unknown task option": (
        "tasks:\n  a:\n    agent: data_ingestion.merger\n    retrys: 3\n",
        "Did you mean 'retries'? … line 4, key tasks.a.retrys",
    ),
    "neither agent nor fuse": ("tasks:\n  a:\n    spec: {}\n", "exactly one of: agent, fuse … line 2, key tasks.a"),
    "unknown task before": (
        "tasks:\n  first: {agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}\n"
        "  b:\n    after: frst\n    agent: data_storage.tier_manager\n",
        "Did you mean 'first'? … line 4, key tasks.b.after",
    ),
    "cycle": (
        "tasks:\n  a: {after: b, agent: data_storage.tier_manager}\n  b: {after: a, agent: data_storage.tier_manager}\n",
        "wait for each other … line 2, key tasks.a.after",
    ),
    "unknown agent": (
        "tasks:\n  a:\n    agent: data_ingestion.convertr\n    spec: {}\n",
        "'data_ingestion.convertr' is not known … line 3, key tasks.a.agent",
    ),
    "unknown module": ("tasks:\n  a:\n    agent: data_injection.x\n", "'data_ingestion' … line 3, key tasks.a.agent"),
    "wrong spec": (
        "tasks:\n  a:\n    agent: data_ingestion.converter\n    spec:\n      source: x\n"
        "      target: y\n      write:\n        format: parquett\n",
        "'parquet' … line 8, key tasks.a.spec.write.format",
    ),
    "wrong spec in a fused task": (
        "tasks:\n  a:\n    fuse:\n    - agent: data_ingestion.converter\n      spec: {source: x, target: y}\n"
        "    - agent: data_quality.validator\n      spec:\n        rulez: []\n",
        "Did you mean 'rules'? … line 8, key tasks.a.fuse.1.spec.rulez",
    ),
    "unknown source": (
        "sources: [oanda,\n  fxcn]\n" + MINIMAL.replace("a: {", "a: {for_each: source, "),
        "Did you mean 'fxcm'? … line 2, key sources.1",
    ),
    "wrong inline source": (
        "sources:\n- id: x\n  files: {path: /x}\n  mood: append\n"
        "tasks: {a: {agent: data_ingestion.collector, for_each: source, spec: {source: '${source}'}}}\n",
        "Did you mean 'mode'? … line 4, key sources.0.mood",
    ),
    "for each of no sources": (
        "tasks:\n  a:\n    agent: data_ingestion.collector\n    for_each: source\n    spec: {source: '${source}'}\n",
        "no sources … line 4, key tasks.a.for_each",
    ),
    "placeholder without for_each": (
        "tasks:\n  a:\n    agent: data_ingestion.collector\n    spec:\n      source: ${source}\n",
        "${source} means nothing here … line 5, key tasks.a.spec.source",
    ),
    "placeholder misspelt": (
        "sources: [oanda]\ntasks:\n  a:\n    agent: data_ingestion.collector\n    for_each: source\n"
        "    spec:\n      source: ${source.idd}\n",
        "Did you mean 'id'? … line 7, key tasks.a.spec.source",
    ),
    "bad for_each": (
        "tasks:\n  a:\n    agent: data_ingestion.collector\n    for_each: sauce\n",
        "source, a list, or … line 4, key tasks.a.for_each",
    ),
    "bad trigger rule": (
        "tasks:\n  a:\n    agent: data_ingestion.merger\n    trigger_rule: all_sucess\n",
        "'all_success' … line 4, key tasks.a.trigger_rule",
    ),
    "bad cron": ("schedule: every day\n" + MINIMAL, "Airflow refuses the pipeline two_vendors.yaml"),
    "bad task name": ("tasks:\n  a b: {agent: data_storage.tier_manager}\n", "line 2, key tasks.a b"),
    "a param that fits no schema": (
        "schedule: '@daily'\nparams: {n: {type: integer, default: x}}\n" + MINIMAL,
        "Airflow refuses",
    ),
    "compensates nothing": (
        MINIMAL.replace(
            "}}\n", "}, b: {compensates: c, agent: data_storage.tier_manager, spec: {action: unpublish, dataset: d}}}\n"
        ),
        "compensates 'c', which is no task to undo … key tasks.b.compensates",
    ),
    "a regular task behind a compensating one": (
        "tasks:\n  a: {agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}\n"
        "  b: {compensates: a, agent: data_storage.tier_manager, spec: {action: unpublish, dataset: d}}\n"
        "  c: {after: b, agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}\n",
        "names a compensating task … line 4, key tasks.c.after",
    ),
    "unknown event": (
        "schedule: {cron: '0 * * * *', events: [source_data_updatet]}\n" + MINIMAL,
        "source_data_updated … line 1, key schedule.events",
    ),
    "unknown module of a workflow": ("module: ingestion\n" + MINIMAL, "'data_ingestion' … line 1, key module"),
    "unknown setup": ("setup: sample_markt\n" + MINIMAL, "Did you mean 'sample_market'? … line 1, key setup"),
    "the name of the DAG of all agents": ("dag_id: base_run_agent\n" + MINIMAL, "used twice … line 1, key dag_id"),
}


@pytest.mark.parametrize(("text", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_name_file_line_and_key(write: Write, text: str, says: str) -> None:
    fault = the_fault(write(text))
    for part in ["two_vendors.yaml", *says.split(" … ")]:
        assert part in fault


def test_a_fault_in_a_source_names_the_sources_file(write: Write) -> None:
    folder = write("sources: [oanda]\n" + MINIMAL.replace("a: {", "a: {for_each: source, "))
    (folder.parent / "config/data_ingestion/sources/oanda.yaml").write_text("id: oanda\nfiles:\n  pat: /x\n")
    fault = the_fault(folder)
    assert "sources/oanda.yaml, line 3, key files.pat" in fault


def test_a_broken_file_costs_no_other_file(write: Write) -> None:
    write("tasks: {}", "broken")
    found = built(write(GOOD))
    assert set(found.dags) == {"two_vendors", "base_run_agent"}
    assert [path.name for path in found.faults] == ["broken.yaml"]


def test_two_files_with_one_dag_id_are_both_left_out(write: Write) -> None:
    write("dag_id: two_vendors\n" + MINIMAL, "copy")
    write(MINIMAL, "other")
    found = built(write(GOOD))
    assert set(found.dags) == {"other", "base_run_agent"}
    assert {path.name for path in found.faults} == {"copy.yaml", "two_vendors.yaml"}
    for fault in found.faults.values():
        assert "copy.yaml" in str(fault) and "two_vendors.yaml" in str(fault)


def test_only_the_dag_that_airflow_asks_for_is_built(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from base_ops.orchestration.factory import build_dags, raise_faults

    write("tasks: {}", "broken")
    folder = write("dag_id: by_another_name\n" + MINIMAL, "file")
    write(GOOD)
    namespace: dict[str, Any] = {}
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "by_another_name")
    build_dags(folder, namespace)
    assert set(namespace) == {"by_another_name"}
    raise_faults(folder)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "broken")
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        build_dags(folder, {})


@pytest.mark.parametrize(
    ("total", "limit", "sizes"), [(0, 3, []), (1, 3, [1]), (3, 3, [1, 1, 1]), (4, 3, [2, 2]), (10, 4, [3, 3, 3, 1])]
)
def test_outputs_are_spread_over_instances(total: int, limit: int, sizes: list[int]) -> None:
    from base_ops.orchestration.mapping import batches

    outputs = [((0, number), f"s{number}") for number in range(total)]
    found = batches(outputs, limit)
    assert [len(chunk["select"]) for chunk in found] == sizes
    assert [pair for chunk in found for pair in chunk["select"]] == [[0, number] for number in range(total)]


MAPPED = """\
tasks:
  first:
    agent: data_ingestion.converter
    spec: {source: {id: s, files: {path: /x}}, target: "staging:d"}
  second:
    for_each: {results_of: first}
    agent: data_ingestion.converter
    spec: {source: {id: s, files: {path: /x}}, target: "staging:d"}
  third:
    after: second
    agent: data_storage.tier_manager
    spec: {dataset: d, key: [k]}
"""


def test_mapping_over_the_results_of_a_task(write: Write, run_dag: Any, fake_worker: None, base_home: Path) -> None:
    import json

    run = run_dag(built(write(MAPPED, "mapped")).dags["mapped"])
    ends = {(ti.task_id, ti.map_index): str(ti.state) for ti in run.get_task_instances()}
    assert ends == {
        ("first", -1): "success",
        ("second_items", -1): "success",
        ("second", 0): "success",
        ("second", 1): "success",
        ("third", -1): "success",
    }
    requests = sorted((base_home / "lake/runs/mapped").glob("*/second/*/*/request.json"))
    inputs = [json.loads(path.read_text())["inputs"] for path in requests]
    assert [uri.rsplit("/", 1)[1] for (uri,) in inputs] == ["result.json#0", "result.json#1"]
    (third,) = (base_home / "lake/runs/mapped").glob("*/third/*/request.json")
    assert len(json.loads(third.read_text())["inputs"]) == 2


def test_any_agent_can_be_run_by_hand(run_dag: Any, fake_worker: None, base_home: Path, tmp_path: Path) -> None:
    import json

    dag = built(tmp_path).dags["base_run_agent"]
    spec = {"source": "a.csv", "target": "b.parquet", "max_error_share": 0.2}
    run = run_dag(dag, run_conf={"agent": "data_ingestion.converter", "spec": spec})
    assert str(run.state) == "success"
    (path,) = (base_home / "lake/runs/base_run_agent").glob("*/run/*/request.json")
    (step,) = json.loads(path.read_text())["steps"]
    assert (step["agent"], step["spec"]) == ("data_ingestion.converter", spec)
    wrong = run_dag(dag, run_conf={"agent": "data_ingestion.converter", "spec": {"sauce": 1}})
    assert str(wrong.state) == "failed"


SAMPLE = """\
setup: sample_market
tasks:
  first:
    agent: data_ingestion.converter
    spec: {source: {id: s, files: {path: /x}, title: HOW}, target: "staging:d"}
    retries: 0
  second:
    after: first
    agent: data_ingestion.converter
    spec: {source: {id: s, files: {path: /x}}, target: "staging:d"}
"""


@pytest.mark.parametrize(("how", "state"), [("ok", "success"), ("bad_input", "failed")])
def test_the_sample_server_lives_around_the_tasks(
    write: Write, run_dag: Any, fake_worker: None, base_home: Path, how: str, state: str
) -> None:
    dag = built(write(SAMPLE.replace("HOW", how), f"sampled_{how}")).dags[f"sampled_{how}"]
    assert dag.get_task("start_sample").is_setup and dag.get_task("stop_sample").is_teardown
    run = run_dag(dag)
    assert str(run.state) == state
    ends = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert ends["start_sample"] == ends["stop_sample"] == "success"
    (ti,) = [ti for ti in run.get_task_instances() if ti.task_id == "start_sample"]
    url = ti.xcom_pull(task_ids="start_sample")["url"]
    assert url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=2)


def test_the_sample_with_tls_is_refused_where_jobs_are_pods(
    airflow_db: Path, base_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from base_ops.orchestration.factory import build_dags
    from base_ops.orchestration.sample import start_sample

    monkeypatch.setenv("BASE_RUNNER", "kubernetes")
    monkeypatch.setenv("BASE_LAKE_URL", str(base_home / "lake"))
    assert Path(start_sample(["sample_api", "sample_v2"])["folder"], "bulk", "AAPL.zip").exists()
    with pytest.raises(AirflowFailException, match="runs on one machine.*BASE_RUNNER=local"):
        start_sample(["sample_secure"])
    shipped = Path(__file__).parent.parent.parent / "dags" / "pipelines"
    found: dict[str, Any] = {}
    build_dags(shipped, found)
    (secure,) = (dag for dag in found.values() if dag.dag_id == "base_secure_api_ingestion_workflow")
    started = secure.get_task("start_sample")
    assert started.op_args == (["sample_secure"],)
