"""One agent, one id, four places: its spec, its operator, its job, and a heading in the module's README."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

import base_ops
from base_ops.core.ids import MODULES, AgentId
from base_ops.core.spec import action_specs, known_agents, parse_spec, spec_type

PACKAGE = Path(base_ops.__file__).parent
AGENTS = [AgentId.parse(name) for name in known_agents()]
BUILT = [module for module in MODULES if (PACKAGE / module).is_dir()]


def readme(module: str) -> str:
    return (PACKAGE / module / "README.md").read_text()


def job_sources(agent: AgentId) -> list[ast.Module]:
    """The job's file, or all files of its folder."""
    place = PACKAGE / agent.module / "jobs" / agent.agent
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [ast.parse(file.read_text()) for file in files]


def test_there_are_agents() -> None:
    assert AGENTS


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_spec(agent: AgentId) -> None:
    for action, spec in action_specs(spec_type(agent)).items():
        assert spec.__name__.endswith("Spec")
        assert spec.__doc__, f"{spec.__name__} ({action}) says nothing about itself"
        assert spec.model_config["extra"] == "forbid" and spec.model_config["frozen"]


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_operator(agent: AgentId) -> None:
    from base_ops.orchestration.agent import AgentMixin

    module = importlib.import_module(f"base_ops.{agent.module}.operators")
    operator = getattr(module, f"{agent.class_stem}Operator")
    assert issubclass(operator, AgentMixin)
    assert operator.agent == str(agent)


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_job(agent: AgentId) -> None:
    defined = {node.name for tree in job_sources(agent)[:1] for node in tree.body if isinstance(node, ast.FunctionDef)}
    imported = {
        alias.asname or alias.name
        for tree in job_sources(agent)[:1]
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {"run", "step"} & (defined | imported), "a job offers run(spec, ctx) or step(spec, schema)"


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_readme_has_a_heading_and_an_example_that_is_right(agent: AgentId) -> None:
    sections = re.split(r"^## ", readme(agent.module), flags=re.MULTILINE)
    (section,) = [part for part in sections if part.splitlines()[0].strip() == agent.agent]
    (example,) = re.findall(r"^```yaml\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    task = yaml.safe_load(example)
    assert task["agent"] == str(agent)
    assert parse_spec(agent, task["spec"]) is not None


@pytest.mark.parametrize("module", BUILT)
def test_a_module_has_nothing_without_an_agent(module: str) -> None:
    """No operator and no heading is left over from an agent that is gone."""
    here = {agent.agent for agent in AGENTS if agent.module == module}
    stems = {agent.class_stem for agent in AGENTS if agent.module == module}
    assert set(re.findall(r"^## (\S+)$", readme(module), flags=re.MULTILINE)) == here
    tree = ast.parse((PACKAGE / module / "operators.py").read_text())
    assert {node.name.removesuffix("Operator") for node in tree.body if isinstance(node, ast.ClassDef)} == stems
