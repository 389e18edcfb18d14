"""Readers whose columns are the format's, not the content's."""

from __future__ import annotations

from collections.abc import Mapping

from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec


def with_columns(spec: ReadSpec, types: Mapping[str, str]) -> ReadSpec:
    """The spec with these columns and types, unless somebody declared others."""
    if spec.columns is not None:
        return spec
    return spec.model_copy(update={"columns": tuple(ColumnSpec(name=n, type=t) for n, t in types.items())})
