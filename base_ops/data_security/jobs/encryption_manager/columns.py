"""encryption_manager.encrypt and .decrypt as steps: the named columns become text, the others and all rows stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.data_security.jobs.encryption_manager import AGENT
from base_ops.data_security.jobs.encryption_manager.cipher import MIN_KEY_CHARS, Cipher, key_id
from base_ops.data_security.jobs.masker import canonical_text
from base_ops.data_security.specs.encryption_manager import DecryptSpec, EncryptSpec
from base_ops.worker.engine.plan import POINTER, Observation, Plan


class Columns:
    """The step bound to its spec."""

    agent = AGENT

    def __init__(self, spec: EncryptSpec | DecryptSpec, columns: tuple[str, ...], password: str) -> None:
        self.action, self._spec, self.columns, self._password = spec.action, spec, columns, password

    @property
    def key_parts(self) -> dict[str, Any]:
        """Which key and columns: part of the commit key."""
        return {"key_id": key_id(self._password).hex(), "columns": list(self.columns)}

    def plan(self, schema: pl.Schema) -> Plan:
        """One transform per column. Raises ConfigError where a column is not there."""
        known = [name for name in schema if name != POINTER]
        for name in self.columns:
            if name not in known:
                raise ConfigError(
                    f"There is no column {name!r} to {self.action}. {did_you_mean(name, known)}",
                    code="unknown_column",
                    where="spec.columns",
                    todo="correct the name; nothing is published while a column to be encrypted is missing",
                )
        return Plan(
            transforms=tuple(self._column(name, schema) for name in self.columns),
            observations=tuple(Observation(f"{self.action}ed_values.{n}", pl.col(n).count()) for n in self.columns),
            column_inputs={name: [name] for name in self.columns},
            transformations=dict.fromkeys(self.columns, self.action),
        )

    def _column(self, name: str, schema: pl.Schema) -> pl.Expr:
        cipher = Cipher.of(self._password, self._spec.context, name)
        change = cipher.encrypt if self.action == "encrypt" else cipher.decrypt
        return (
            canonical_text(name, schema[name])
            .map_batches(lambda values: _each_distinct(values, change, name), return_dtype=pl.String)
            .alias(name)
        )


def step(spec: EncryptSpec | DecryptSpec, ctx: Any) -> Columns:
    """Raises ConfigError where the key is missing or weak, or no classifier has looked."""
    columns = spec.columns
    if columns == "classified":
        from base_ops.data_security.jobs.classifier import sensitive_columns

        columns = tuple(sensitive_columns(ctx.input_results))
    return Columns(spec, tuple(columns), ctx.secrets.connection(spec.key).key("encryption", MIN_KEY_CHARS))


def _each_distinct(values: pl.Series, change: Callable[[str], str], name: str) -> pl.Series:
    distinct = values.drop_nulls().unique()
    made = pl.Series([change(value) for value in distinct.to_list()], dtype=pl.String)
    found = values.replace_strict(distinct, made, default=None, return_dtype=pl.String)
    if found.null_count() != values.null_count():
        raise BadInput(f"Not every value of {name} was worked on", code="encryption_failed", where=f"column {name}")
    return found
