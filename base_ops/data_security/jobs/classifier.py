"""data_security.classifier: which columns hold personal or financial identifiers; the rows pass unchanged.

Evidence: patterns over the whole value, with a checksum where the identifier has one (cards: Luhn, ISO/IEC 7812-1;
accounts: mod 97, ISO 13616), and the column's name. Only counts leave the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Finding, StepResult
from base_ops.data_security.specs.classifier import LEVELS, ClassifierSpec, Level
from base_ops.worker.engine.plan import POINTER, Observation, Plan

AGENT = "data_security.classifier"
FOUND = "sensitive_column"


@dataclass(frozen=True)
class Kind:
    """A type of identifier and what tells it."""

    name: str
    level: Level
    pattern: str
    named: str
    """What the column's name may look like (regular expression, whole words)."""
    check: Callable[[str], bool] | None = None
    one_decides: bool = False


def luhn(text: str) -> bool:
    """Whether the digits of a card number carry their check digit."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def mod_97(text: str) -> bool:
    """Whether an IBAN carries its check digits."""
    plain = text.replace(" ", "").upper()
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


KINDS = (
    Kind("email", "confidential", r"^[^@\s]{1,64}@[^@\s]+\.[A-Za-z]{2,}$", r"e_?mail"),
    Kind("phone", "confidential", r"^\+\d[\d ()/.-]{6,20}$", r"phone|mobile|fax"),
    Kind("ssn", "restricted", r"^\d{3}-\d{2}-\d{4}$", r"ssn|social_security(_number)?", one_decides=True),
    Kind("credit_card", "restricted", r"^\d(?:[ -]?\d){12,18}$", r"pan|card(_number)?|credit_card", luhn, True),
    Kind("iban", "confidential", r"^[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}$", r"iban", mod_97),
    Kind("account_number", "confidential", "", r"account(_(number|no|id))?"),
    Kind("tax_id", "restricted", "", r"tax_(id|number)|tin"),
)


class Classify:
    """The classifier bound to its spec."""

    agent = AGENT

    def __init__(self, spec: ClassifierSpec) -> None:
        self.spec = spec
        self.action = spec.action

    def plan(self, schema: pl.Schema) -> Plan:
        """Counts per text column and kind; nothing else."""
        texts = [name for name, dtype in schema.items() if dtype == pl.String and name != POINTER]
        hits = [Observation(f"hits.{k.name}.{c}", _hits(c, k)) for c in texts for k in KINDS if k.pattern]
        values = [Observation(f"values.{name}", pl.col(name).count()) for name in schema if name != POINTER]
        return Plan(observations=(*values, *hits))

    def conclude(self, result: StepResult) -> None:
        """The verdicts, once all rows are counted."""
        seen: dict[str, Any] = result.observations
        levels: dict[str, Level] = {}
        for column in [name.removeprefix("values.") for name in seen if name.startswith("values.")]:
            level = self.spec.levels.get(column, self.spec.floor)
            for kind, share in self._kinds(column, seen):
                level = max(level, kind.level, key=LEVELS.index)
                result.findings.append(_finding(column, kind, share))
            levels[column] = level
        result.observations["levels"] = dict(levels)
        if levels:
            highest = max(levels.values(), key=LEVELS.index)
            sensitive = sorted(name for name, level in levels.items() if LEVELS.index(level) >= 2)
            data = {"level": highest, "columns": sensitive}
            result.events.append({"type": "data_classified", "subject": highest, "data": data})

    def _kinds(self, column: str, seen: dict[str, Any]) -> list[tuple[Kind, float]]:
        values = int(seen.get(f"values.{column}") or 0)
        found = []
        for kind in KINDS:
            hits = int(seen.get(f"hits.{kind.name}.{column}") or 0)
            share = hits / values if values else 0.0
            named = re.fullmatch(rf"(?:.*_)?(?:{kind.named})(?:_.*)?", column.lower()) is not None
            if named or (hits and (kind.one_decides or share >= self.spec.min_share)):
                found.append((kind, share))
        return found


def step(spec: ClassifierSpec, _ctx: Any) -> Classify:
    return Classify(spec)


def sensitive_columns(results: list[Any]) -> list[str]:
    """Columns that classifiers of earlier work took for confidential or more.

    Raises:
        ConfigError: nothing was classified, so nobody can say what is sensitive.
    """
    levels = [step.observations.get("levels") or {} for r in results for step in r.steps if step.agent == AGENT]
    if not levels:
        raise ConfigError(
            "No classifier has looked at the data",
            code="not_classified",
            where="spec.columns",
            expected="a data_security.classifier in the tasks before, or the names of the columns",
        )
    return sorted({name for found in levels for name, level in found.items() if LEVELS.index(level) >= 2})


def _hits(column: str, kind: Kind) -> pl.Expr:
    matches = pl.col(column).str.strip_chars().str.contains(kind.pattern)
    if kind.check is None:
        return matches.sum()
    check = kind.check

    def checked(values: pl.Series) -> pl.Series:
        return pl.Series([value is not None and check(value) for value in values], dtype=pl.Boolean)

    candidates = pl.when(matches).then(pl.col(column).str.strip_chars())
    return candidates.map_batches(checked, return_dtype=pl.Boolean).sum()


def _finding(column: str, kind: Kind, share: float) -> Finding:
    evidence = f"{share:.1%} of its values" if share else "its name"
    return Finding(
        code=FOUND,
        message=f"{column} holds {kind.name}, by {evidence}: {kind.level}",
        data={"column": column, "type": kind.name, "level": kind.level, "share": round(share, 4)},
    )
