"""The command line as a person meets it: help, lists, schemas, conversions, clear errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from base_ops.core.spec import known_agents


def base_ops(tmp_path: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BASE_")} | {
        "BASE_HOME": str(tmp_path / "home")
    }
    command = [sys.executable, "-m", "base_ops.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, cwd=tmp_path)


def test_list_names_every_agent_with_actions_title_and_module(tmp_path: Path) -> None:
    agents = json.loads(base_ops(tmp_path, "list", "--json").stdout)
    assert [a["id"] for a in agents] == known_agents()
    assert all(a["actions"] and a["title"] and a["module"] == a["id"].split(".")[0] for a in agents)
    assert "data_ingestion.converter" in base_ops(tmp_path, "list").stdout


@pytest.mark.parametrize("agent", known_agents())
def test_every_field_of_every_schema_is_described(tmp_path: Path, agent: str) -> None:
    from base_ops.core.describe import json_schema
    from base_ops.core.ids import AgentId
    from base_ops.core.spec import spec_type

    schema = json_schema(spec_type(AgentId.parse(agent)))
    main = schema.get("properties") or {}
    nested = schema.get("$defs", {}).values()
    assert main or nested
    silent = [name for name, field in main.items() if name != "action" and not field.get("description")]
    assert not silent


def test_schema_prints_json_schema(tmp_path: Path) -> None:
    schema = json.loads(base_ops(tmp_path, "schema", "data_ingestion.converter").stdout)
    assert {"source", "target"} <= set(schema["properties"])


def test_convert_writes_the_target_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a;b\n1;x\n2;y\n")
    done = base_ops(tmp_path, "convert", "in.csv", "out.parquet", "--option", "write.compression=snappy")
    assert done.returncode == 0, done.stderr
    assert "(2 rows)" in done.stdout and done.stderr == ""
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == [(1, "x"), (2, "y")]


def test_run_reads_a_spec_sets_keys_and_writes_the_result(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n1,2,3\n")
    spec = f"source: {tmp_path}/in.csv\ntarget: {tmp_path}/out.ndjson\n"
    done = base_ops(
        tmp_path,
        "run",
        "data_ingestion.converter",
        "--spec",
        "-",
        "--set",
        "max_error_share=0.5",
        "--result",
        "-",
        stdin=spec,
    )
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == "partial" and result["steps"][0]["counts"]["quarantined"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "data_ingestion.convertr", "--spec", "-"), 30, "Did you mean 'data_ingestion.converter'?"),
        (("run", "data_ingestion.converter", "--spec", "nowhere.yaml"), 30, "nowhere.yaml cannot be read"),
        (("convert", "nowhere.csv", "x.parquet"), 10, "There is no file"),
        (("convert", "nowhere.csv", "x.parkey", "--option", "a"), 30, "is not a setting"),
        (("schema",), 30, "Missing argument"),
        (("frobnicate",), 30, "No such command"),
        (("demo", "--example", "fx_two_vendor"), 30, "Did you mean 'fx_two_vendors'?"),
    ],
)
def test_errors_are_one_clear_text_and_an_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = base_ops(tmp_path, *arguments, stdin="a: 1\n")
    assert done.returncode == code, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_no_colours_unless_it_is_a_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in base_ops(tmp_path, "list").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tmp_path: Path, shell: str) -> None:
    done = base_ops(tmp_path, "completion", shell)
    assert done.returncode == 0 and "_BASE_OPS_COMPLETE" in done.stdout


def test_init_source_writes_a_source_that_is_right_for_the_file(tmp_path: Path) -> None:
    from base_ops.data_ingestion.config.sources import load_source
    from base_ops.data_ingestion.options.sources.source import SourceSpec

    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "aapl_q.csv").write_text("day;price\n2026-01-05;1.5\n2026-01-06;2.5\n")
    arguments = (
        "--id",
        "quotes",
        "--kind",
        "files",
        "--path",
        f"{tmp_path}/drop/{{symbol}}_q.csv",
        "--connection",
        "-",
        "--mode",
        "snapshot",
    )
    done = base_ops(tmp_path, "init", "source", *arguments, "--config-dir", str(tmp_path / "config"))
    assert done.returncode == 0, done.stderr
    spec = SourceSpec.model_validate(load_source("quotes", tmp_path / "config"))
    assert [(c.name, c.type) for c in spec.read.columns or ()] == [("day", "date"), ("price", "float64")]
    again = base_ops(tmp_path, "init", "source", *arguments, "--config-dir", str(tmp_path / "config"))
    assert again.returncode == 30 and "exists already" in again.stderr


def test_formats_says_what_each_format_is(tmp_path: Path) -> None:
    from base_ops.cli.formats import text_of
    from base_ops.worker.formats.registry import known_formats

    listed = base_ops(tmp_path, "formats").stdout
    for name, found in known_formats().items():
        assert name in listed
        assert len(text_of(type(found).__module__).splitlines()) > 1, f"{name} says too little of itself"
    assert "COMP-3" in base_ops(tmp_path, "formats", "cobol").stdout
    assert base_ops(tmp_path, "formats", "cobl").returncode != 0
