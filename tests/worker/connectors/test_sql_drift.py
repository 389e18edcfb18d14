"""Which changes of a column's type readers can live with."""

from __future__ import annotations

import pyarrow as pa
import pytest

from base_ops.worker.connectors.databases.base import Column
from base_ops.worker.connectors.databases.drift import drift_findings

CHANGES = {
    ("int4", "int8"): "schema_additive",
    ("int8", "int4"): "schema_breaking",
    ("numeric(10,2)", "numeric(12,2)"): "schema_additive",
    ("numeric(10,2)", "numeric(12,4)"): "schema_additive",
    ("numeric(10,2)", "numeric(12,6)"): "schema_breaking",  # fewer digits before the point
    ("numeric(12,2)", "numeric(10,2)"): "schema_breaking",
    ("numeric(10,2)", "numeric"): "schema_breaking",  # lands as text
    ("int unsigned", "bigint unsigned"): "schema_additive",
    ("int unsigned", "bigint"): "schema_additive",
    ("int unsigned", "int"): "schema_breaking",
    ("int", "int unsigned"): "schema_breaking",
    ("varchar", "text"): "schema_additive",
    ("text", "json"): "schema_breaking",
}


@pytest.mark.parametrize(("before", "now"), CHANGES)
def test_a_change_of_type_is_classified(before: str, now: str) -> None:
    found = drift_findings({"columns": {"a": before}}, [Column("a", now, pa.string())], "source s")
    assert [finding.code for finding in found] == [CHANGES[before, now]]
    assert f"~ a {before} → {now}" in found[0].message
