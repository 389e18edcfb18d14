"""data_quality.validator: judges every record by rules and sets the broken ones aside with their reasons.

In: any rows. Out: the rows that keep all rules, unchanged. Row-wise rules are a step of the one-pass engine; with
`unique` rules the validator is a job of its own that sees all inputs of the task (`unique.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Finding, StepResult
from base_ops.data_quality.jobs.validator.checks import check_of, dtype_in, id_of
from base_ops.data_quality.specs.validator import FreshnessRule, Rule, UniqueRule, ValidatorSpec
from base_ops.data_quality.suites import rules_of_suite
from base_ops.worker.engine.plan import POINTER, Check, Observation, Plan

AGENT = "data_quality.validator"


@dataclass
class Validator:
    """The validator bound to its spec."""

    action: str
    rules: tuple[Rule, ...]
    moment: datetime
    findings: tuple[Finding, ...] = ()
    double: Callable[[UniqueRule], Check] | None = None
    """Makes the check of a unique rule, where all rows have been seen."""
    key_parts: dict[str, Any] = field(default_factory=dict)
    """What changes the verdicts besides the spec: belongs to the commit key."""
    agent: str = AGENT

    def plan(self, schema: pl.Schema) -> Plan:
        """One check per rule, rows and nulls counted. Raises ConfigError or BadInput where a rule does not fit."""
        found = [self._check(rule, schema) for rule in self.rules]
        columns = [name for name in schema if name != POINTER]
        return Plan(
            checks=tuple(c for c in found if isinstance(c, Check)),
            findings=(*self.findings, *(f for f in found if isinstance(f, Finding))),
            observations=(
                Observation("rows", pl.len()),
                *(Observation(f"nulls.{name}", pl.col(name).null_count()) for name in columns),
            ),
        )

    def conclude(self, result: StepResult) -> None:
        """Records that came twice are told, once all inputs are judged."""
        seen: Any = result.observations.get("violations") or {}
        doubles = {id_of(r): seen[id_of(r)] for r in self.rules if isinstance(r, UniqueRule) and seen.get(id_of(r))}
        if doubles:
            data = {"records": sum(doubles.values()), "rules": doubles}
            result.events.append({"type": "duplicate_found", "subject": self.agent, "data": data})

    def _check(self, rule: Rule, schema: pl.Schema) -> Check | Finding | None:
        if not isinstance(rule, UniqueRule):
            return check_of(rule, schema, self.moment)
        if self.double is None:
            raise ConfigError(
                f"The rule {id_of(rule)!r} needs all rows and cannot run beside other agents in one pass",
                code="needs_all_rows",
                todo="give the validator a task of its own (take it out of fuse), or move the unique rule to one",
            )
        for column in rule.columns:
            dtype_in(schema, column, f"rule {id_of(rule)!r}")
        return self.double(rule)


def step(spec: ValidatorSpec, ctx: Any) -> Validator:
    """The row-wise validator. Raises ConfigError where rules contradict each other or the suite cannot be used."""
    rules, findings = rules_of(spec)
    moment = _moment(spec, ctx)
    parts: dict[str, Any] = {}
    if isinstance(spec.suite, str):
        parts["rules"] = [rule.model_dump(mode="json") for rule in rules]
    if any(isinstance(rule, FreshnessRule) for rule in rules):
        parts["moment"] = moment.isoformat()
    return Validator(spec.action, rules, moment, tuple(findings), key_parts=parts)


def run(spec: ValidatorSpec, ctx: Any) -> Any:
    """The validator as a job of its own, for specs with `unique` rules. Returns a JobOutput."""
    from base_ops.data_quality.jobs.validator.unique import run_with_unique

    return run_with_unique(spec, step(spec, ctx), ctx)


def needs_all_rows(spec: ValidatorSpec) -> bool:
    """Whether some rule can only be judged with all rows at hand."""
    return any(isinstance(rule, UniqueRule) for rule in rules_of(spec)[0])


def rules_of(spec: ValidatorSpec) -> tuple[tuple[Rule, ...], list[Finding]]:
    """The rules of a spec and of its suite, each with a name of its own."""
    suite = _load(spec.suite) if isinstance(spec.suite, str) else spec.suite
    from_suite, findings = rules_of_suite(suite) if suite is not None else ((), [])
    seen: set[str] = set()
    for rule in spec.rules:
        if id_of(rule) in seen:
            raise ConfigError(
                f"Two rules are named {id_of(rule)!r}", code="duplicate_rule", where="spec.rules", todo="give one an id"
            )
        seen.add(id_of(rule))
    named = []
    for rule in from_suite:  # a suite may say the same of one column twice
        name, number = id_of(rule), 1
        while (unique := name if number == 1 else f"{name}_{number}") in seen:
            number += 1
        seen.add(unique)
        named.append(rule.model_copy(update={"id": unique}))
    return (*spec.rules, *named), findings


def _load(path: str) -> dict[str, Any]:
    try:
        suite = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The suite {path!r} cannot be read: {error}", code="bad_suite", where="spec.suite", expected="a JSON file"
        ) from None
    if not isinstance(suite, dict):
        raise ConfigError(f"The suite {path!r} is not a JSON object", code="bad_suite", where="spec.suite")
    return suite


def _moment(spec: ValidatorSpec, ctx: Any) -> datetime:
    """What freshness is judged at: the spec's moment, else the run's logical date, else now; frozen for the job."""
    text = spec.as_of or (ctx.identity.logical_date if ctx is not None else None)
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"The moment {text!r} cannot be read", code="bad_moment", where="spec.as_of", expected="ISO 8601"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
