"""`base-ops list | schema | run`: the agents, what they take, and running one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from base_ops.cli.output import console, print_result, table
from base_ops.cli.requests import run_here
from base_ops.core.describe import json_schema
from base_ops.core.errors import ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.spec import action_specs, known_agents, spec_type


def _agent_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in known_agents() if incomplete in name]


def _title(spec: type) -> str:
    return (spec.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")


def describe(agent: str) -> dict[str, Any]:
    """id, module, title and actions of an agent."""
    actions = action_specs(spec_type(AgentId.parse(agent)))
    return {
        "id": agent,
        "actions": list(actions),
        "title": _title(next(iter(actions.values()))),
        "module": agent.split(".")[0],
    }


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_(as_json: bool) -> None:
    """Show all agents: id, actions, title, module."""
    agents = [describe(name) for name in known_agents()]
    if as_json:
        click.echo(json.dumps(agents))
        return
    table(
        "Agents",
        ("id", "actions", "title"),
        ((a["id"], ", ".join(a["actions"]), a["title"]) for a in agents),
    )
    console.print("Next: base-ops schema <id> shows what its spec takes.")


@click.command()
@click.argument("agent", shell_complete=_agent_names)
def schema(agent: str) -> None:
    """Print the JSON Schema of an agent's spec."""
    click.echo(json.dumps(json_schema(spec_type(AgentId.parse(agent))), indent=2))


@click.command()
@click.argument("agent", shell_complete=_agent_names)
@click.option("--spec", "spec_file", required=True, help="YAML or JSON file of the spec, or - for standard input.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one key (a.b=value; YAML value).")
@click.option("--result", "result_file", help="Write the Result as JSON to this file, or - for standard output.")
def run(agent: str, spec_file: str, settings: tuple[str, ...], result_file: str | None) -> None:
    """Run one agent here; the exit code is its outcome.

    0 ok, 3 partial, 10 bad input, 20 transient, 30 config error, 40 denied.
    """
    spec = read_spec(spec_file)
    for setting in settings:
        set_key(spec, setting)
    result = run_here([(agent, spec)])
    if result_file == "-":
        click.echo(result.model_dump_json())
    else:
        print_result(result)
        if result_file:
            Path(result_file).write_text(result.model_dump_json(indent=1))
    sys.exit(result.status.exit_code)


def read_spec(where: str) -> dict[str, Any]:
    """A spec mapping from a YAML or JSON file (JSON is YAML)."""
    from base_ops.core.yamlio import load_yaml, parse_yaml

    document = parse_yaml(sys.stdin.read(), "standard input") if where == "-" else load_yaml(Path(where))
    if not isinstance(document.data, dict):
        raise ConfigError(
            f"{document.name} is not a spec", code="bad_spec", expected="a mapping", found=type(document.data).__name__
        )
    return document.data


def set_key(spec: dict[str, Any], setting: str) -> None:
    """Apply one `a.b=value`; the value is read as YAML."""
    path, separator, text = setting.partition("=")
    if not separator or not path:
        raise ConfigError(f"{setting!r} is not a setting", code="bad_setting", expected="KEY=VALUE")
    *parents, last = path.split(".")
    target: Any = spec
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{path!r}: {name!r} is not a mapping", code="bad_setting", where=f"--set {setting}")
    try:
        target[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{setting!r}: the value is not YAML: {error}", code="bad_setting") from None
