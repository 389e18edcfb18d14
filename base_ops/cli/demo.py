"""`base-ops demo`: a whole pipeline through Airflow in one process, and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from base_ops.cli.output import console, error_console, table
from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.protocol import Result
from base_ops.core.settings import load_settings
from base_ops.orchestration.testrun import ROOT, airflow_environment

SAMPLE_DAG = "base_layer_data_pipeline"
EXAMPLES = ROOT / "examples"


@click.command()
@click.option("--example", help="A folder of examples/, e.g. fx_two_vendors; default: the sample market.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the example's input files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document as the last line of stdout.")
def demo(example: str | None, data: Path | None, as_json: bool) -> None:
    """Run a pipeline through Airflow here (SQLite, local runner) and show rows, quarantine and conflicts.

    The lake is the default one (BASE_HOME, else .base_ops): `base-ops show` and `replay` find what the demo made.
    Run it twice: the second run adds nothing.
    """
    home = load_settings().home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    environment = _environment(home, example)
    dag_id = _dag_id(example)
    conf = {"data": str(data.absolute())} if data else {}
    began = time.monotonic()
    before = {path for path, _ in dag_results(home, dag_id)}
    code = run_dag(dag_id, conf, environment, home, quiet=as_json)
    seconds = time.monotonic() - began
    results = _in_order([result for path, result in dag_results(home, dag_id) if path not in before])
    if as_json:
        click.echo(json.dumps(summary(dag_id, code, results)))
    else:
        _report(dag_id, code, results, seconds, home, example)
    sys.exit(code)


def _environment(home: Path, example: str | None) -> dict[str, str]:
    chosen = {
        **airflow_environment(home / "airflow"),
        "BASE_HOME": str(home),
        "BASE_LAKE_URL": str(home / "lake"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "airflow" / "logs"),
        "PYTHONUNBUFFERED": "1",
    }
    if example:
        folder = EXAMPLES / example
        if not folder.is_dir():
            known = [p.name for p in EXAMPLES.iterdir() if (p / "dags").is_dir()]
            raise ConfigError(
                f"There is no example {example!r}. {did_you_mean(example, known)}", code="unknown_example"
            )
        chosen["BASE_PIPELINES_DIR"] = str(folder / "dags" / "pipelines")
        chosen["BASE_CONFIG_DIR"] = str(folder / "dags" / "config")
    return {**os.environ, **chosen}


def _dag_id(example: str | None) -> str:
    if example is None:
        return SAMPLE_DAG
    from base_ops.core.yamlio import load_yaml

    pipelines = sorted((EXAMPLES / example / "dags" / "pipelines").glob("*.yaml"))
    return str(load_yaml(pipelines[0]).data["dag_id"])


def run_dag(dag_id: str, conf: dict[str, Any], environment: dict[str, str], home: Path, *, quiet: bool) -> int:
    """Airflow in a process of its own, its log in a file, a line per finished task here."""
    log = home / "airflow.log"
    command = [sys.executable, "-m", "base_ops.orchestration.testrun", dag_id, "--conf", json.dumps(conf)]
    began = time.monotonic()
    seen = {path for path, _ in dag_results(home, dag_id)}
    status = None if quiet else console.status("starting Airflow …")
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        if status:
            status.start()
        try:
            while True:
                ended = process.poll() is not None
                for path, result in dag_results(home, dag_id):
                    if path not in seen:
                        seen.add(path)
                        _progress(result, time.monotonic() - began, quiet)
                if ended:
                    break
                time.sleep(0.2)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        finally:
            if status:
                status.stop()
    if process.returncode != 0:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        error_console.print(f"The run did not succeed. The end of {log}:", *tail, sep="\n", markup=False)
    return 0 if process.returncode == 0 else 1


def _progress(result: Result, seconds: float, quiet: bool) -> None:
    counts = result.counts
    line = f"{seconds:5.1f} s  {_task(result):<20} {result.status:<9} {counts.rows_in:>9,} in {counts.rows_out:>9,} out"
    line += f" {counts.quarantined:>6,} set aside" if counts.quarantined else ""
    click.echo(line, err=quiet)


def _in_order(results: list[Result]) -> list[Result]:
    """Tasks in the order they began to end, the instances of a mapped task in map order."""
    rank: dict[str, int] = {}
    for result in results:
        rank.setdefault(result.identity.task_id, len(rank))
    return sorted(results, key=lambda r: (rank[r.identity.task_id], r.identity.map_index))


def _task(result: Result) -> str:
    identity = result.identity
    return f"{identity.task_id} {identity.item or f'[{identity.map_index}]' if identity.map_index >= 0 else ''}".strip()


def dag_results(home: Path, dag_id: str) -> list[tuple[Path, Result]]:
    """All Results of a DAG in this lake, in order of writing."""
    found = (home / "lake" / "runs" / dag_id).rglob("result.json")
    paths = sorted(found, key=lambda p: p.stat().st_mtime)
    return [(path, Result.model_validate_json(path.read_bytes())) for path in paths]


def summary(dag_id: str, code: int, results: list[Result]) -> dict[str, Any]:
    """What `--json` prints."""
    tasks = [
        {
            "task_id": r.identity.task_id,
            "map_index": r.identity.map_index,
            "agent": s.agent,
            "status": str(r.status),
            "rows_in": s.counts.rows_in,
            "rows_out": s.counts.rows_out,
            "quarantined": s.counts.quarantined,
            "merged_away": s.counts.merged_away,
            "dropped": s.counts.dropped,
            "expanded": s.counts.expanded,
            "seconds": s.seconds,
            "task_seconds": r.seconds,
        }
        for r in results
        for s in r.steps
    ]
    tables = {
        o.name: {"name": o.name, "uri": o.uri, "rows": o.rows, "version": o.version}
        for r in results
        for o in r.outputs
        if o.kind == "table"
    }
    quarantine = [{"rule": q.rule, "rows": q.rows, "uri": q.uri} for r in results for q in r.quarantine]
    return {
        "dag_id": dag_id,
        "status": "success" if code == 0 else "failed",
        "tasks": tasks,
        "tables": list(tables.values()),
        "quarantine": quarantine,
    }


def _report(dag_id: str, code: int, results: list[Result], seconds: float, home: Path, example: str | None) -> None:
    console.print()
    table(
        f"{dag_id}: {'success' if code == 0 else 'failed'} in {seconds:.1f} s",
        ("task", "agent", "rows in", "rows out", "quarantined", "merged away", "seconds"),
        (
            (
                _task(r),
                s.agent,
                s.counts.rows_in,
                s.counts.rows_out,
                s.counts.quarantined,
                s.counts.merged_away,
                f"{r.seconds:.2f}" if number == 0 else "",
            )
            for r in results
            for number, s in enumerate(r.steps)
        ),
        numbers=("rows in", "rows out", "quarantined", "merged away", "seconds"),
    )
    tables = summary(dag_id, code, results)["tables"]
    if tables:
        table(
            "Tables",
            ("name", "rows", "version", "where"),
            ((t["name"], t["rows"], t["version"], t["uri"]) for t in tables),
        )
        _print_rows(tables[0]["name"], home)
    _print_quarantine(results)
    _print_conflicts(results)
    _print_next(tables, results, example)


def _print_rows(dataset: str, home: Path) -> None:
    from base_ops.cli.show import print_table
    from base_ops.worker.lake import Store

    print_table(Store(str(home / "lake")), dataset, limit=5)


def _print_quarantine(results: list[Result]) -> None:
    """One line per agent and rule, with the reason of one record, and the folders they lie in."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for step in (s for r in results for s in r.steps):
        for q in step.quarantine:
            rows, reason = found.get((step.agent, q.rule), (0, q.reason))
            found[step.agent, q.rule] = (rows + q.rows, reason)
    if not found:
        console.print("Quarantine: empty.\n")
        return
    table(
        "Quarantine: records set aside, and why",
        ("agent", "rule", "rows", "for example"),
        ((agent, rule, rows, reason) for (agent, rule), (rows, reason) in sorted(found.items())),
        numbers=("rows",),
    )
    folders = {q.uri.rsplit("/", 2)[0] for r in results for q in r.quarantine}
    for folder in sorted(folders):
        console.print(f"  in {folder}", markup=False, soft_wrap=True)
    console.print()


def _print_conflicts(results: list[Result]) -> None:
    found = [f for r in results for f in r.findings if f.code == "conflicts"]
    if found:
        table(
            "Conflicts decided",
            ("field", "rule", "conflicts", "won by"),
            (
                (
                    f.data.get("field"),
                    f.data.get("rule"),
                    f.data.get("conflicts"),
                    ", ".join(f"{source} {wins:,}" for source, wins in dict(f.data.get("wins") or {}).items()),  # type: ignore[call-overload]
                )
                for f in found
            ),
            numbers=("conflicts",),
        )


def _print_next(tables: list[dict[str, Any]], results: list[Result], example: str | None) -> None:
    steps = []
    if tables:
        name = tables[0]["name"]
        steps += [(f"base-ops show {name}", "the current rows; --as-of what was known, --why where a row came from")]
    if any(r.quarantine for r in results):
        steps += [("base-ops replay", "what lies in quarantine, to correct it and send it through again")]
    again = "base-ops demo" + (f" --example {example} --data …" if example else "")
    steps += [(again, "a second run adds nothing")]
    if example is None:
        steps += [("make ui", "the same DAG in the Airflow UI")]
    console.print("[bold]Next[/bold]")
    for command, what in steps:
        if command.startswith("base-ops") and shutil.which("base-ops") is None:
            command = f"{_short(Path(sys.executable).parent)}/{command}"
        console.print(f"  {command:<40} {what}", markup=False, soft_wrap=True)


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
