"""A Result as OpenLineage datasets and facets (openlineage.io/spec). Imported only when the provider asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from base_ops.core.protocol import DataRef, Result

NAMESPACE = "base"
"""Namespace of datasets known by name; the same as the scheme of their Assets (`base://<dataset>`)."""


def operator_lineage(result: Result) -> Any:
    """An OperatorLineage of a Result: inputs and outputs with schema, column lineage and output statistics."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    inputs, outputs = _by_name(result.inputs), _by_name(result.outputs)
    columns = _column_facet(result)
    return OperatorLineage(
        inputs=[
            InputDataset(namespace=NAMESPACE, name=name, facets=_schema_facet(inputs.get(name, [])))
            for name in dict.fromkeys([*result.lineage.inputs, *inputs])
        ],
        outputs=[
            OutputDataset(
                namespace=NAMESPACE,
                name=name,
                facets={**_schema_facet(outputs.get(name, [])), **columns},
                outputFacets=_statistics_facet(outputs.get(name, [])),
            )
            for name in dict.fromkeys([*result.lineage.outputs, *outputs])
        ],
    )


def _by_name(refs: Iterable[DataRef]) -> dict[str, list[DataRef]]:
    """References grouped by dataset; landed objects by their source, of which they are parts."""
    grouped: dict[str, list[DataRef]] = {}
    for ref in refs:
        name = ref.source if ref.kind == "landing" else ref.name
        grouped.setdefault(name or ref.uri, []).append(ref)
    return grouped


def _schema_facet(refs: list[DataRef]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    fields = {field.name: field.type for ref in refs for field in ref.fields}
    if not fields:
        return {}
    found = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in fields.items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=found)}


def _statistics_facet(refs: list[DataRef]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    if not refs:
        return {}
    facet = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=sum(ref.rows or 0 for ref in refs), size=sum(ref.bytes or 0 for ref in refs), fileCount=len(refs)
    )
    return {"outputStatistics": facet}


def _column_facet(result: Result) -> dict[str, Any]:
    from openlineage.client.facet_v2 import column_lineage_dataset

    fields = {
        column.column: column_lineage_dataset.Fields(
            inputFields=[
                column_lineage_dataset.InputField(namespace=NAMESPACE, name=dataset, field=field)
                for dataset, field in column.inputs
            ],
            transformationDescription=column.transformation,
        )
        for column in result.lineage.columns
    }
    return {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields=fields)} if fields else {}
