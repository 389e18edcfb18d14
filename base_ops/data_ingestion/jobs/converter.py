"""data_ingestion.converter: any format in, typed columns out. The readers do the work; this says which objects."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.protocol import DataRef
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.converter import ConverterSpec
from base_ops.worker.context import Context
from base_ops.worker.engine.plan import Plan, Step
from base_ops.worker.engine.unit import STAGING, Input


class ConvertStep(Step):
    """The head of a chain: typing and its rejects happen in the reader, while the bytes are parsed."""

    agent = "data_ingestion.converter"
    action = "convert_to_standard_format"

    def plan(self, schema: pl.Schema) -> Plan:
        return Plan()


def step(_spec: ConverterSpec, _ctx: Context) -> Step:
    return ConvertStep()


def inputs(spec: ConverterSpec, ctx: Context) -> Iterator[Input]:
    """One unit per object: a file, or every landed object of the slices that something new arrived for.

    A slice is dirty when any source brought something for it, so that the merge sees all sources of it. A source that
    failed before counts as far as its table has taken it in.
    """
    from base_ops.worker.formats.reading import file_input

    if isinstance(spec.source, str):
        yield file_input(spec.source, spec.read, spec.add)
        return
    if why := ctx.request.missing.get(spec.source.id):
        ctx.leave_out(spec.source.id, why, _taken_in(spec, spec.source, ctx))
    yield from _landed(spec, spec.source, ctx, ctx.considered.get(spec.source.id))


def stand_in(spec: ConverterSpec, ctx: Context) -> tuple[str, int, list[Input]]:
    """Instead of what cannot be used: (source, landing log number, what the table has taken in of it up to there)."""
    assert isinstance(spec.source, SourceSpec)
    upto = _taken_in(spec, spec.source, ctx)
    return spec.source.id, upto, list(_landed(spec, spec.source, ctx, upto))


def _taken_in(spec: ConverterSpec, source: SourceSpec, ctx: Context) -> int:
    """The landing log number up to which the table has taken the source in."""
    from base_ops.worker.lake.tables import Tables

    table = ctx.request.stand_in or spec.target.removeprefix(STAGING)
    return Tables(ctx.lake.store).consumed(table).get(source.id, 0)


def _landed(spec: ConverterSpec, source: SourceSpec, ctx: Context, upto: int | None) -> Iterator[Input]:
    from base_ops.worker.formats.reading import landed_input

    new = [ref for ref in ctx.inputs if ref.kind == "landing"]
    slices = {ref.slice for ref in new} if ctx.input_results else None
    read = _read_spec(spec, source)
    found = ctx.landing(source.id).effective(upto=upto, slices=slices)
    if not spec.whole_slices:
        named = {(ref.source, ref.sequence, ref.name) for ref in new}
        found = [ref for ref in found if (ref.source, ref.sequence, ref.name) in named]
    for ref in found:
        yield landed_input(ref, ctx.lake.store, read, _constants({**source.add, **spec.add}, ref, source.id))


def _read_spec(spec: ConverterSpec, source: SourceSpec) -> ReadSpec:
    read = spec.read or source.read
    if read.records is None and source.http is not None and source.http.records is not None:
        return read.model_copy(update={"records": source.http.records})
    return read


def _constants(add: dict[str, str], ref: DataRef, source: str) -> dict[str, str]:
    """Fill captures of the object's path into the columns to add."""
    try:
        return {column: text.format_map(ref.labels) for column, text in add.items()}
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"source {source}: 'add' names a capture that its path does not have: {error}. "
            f"{did_you_mean(str(error).strip(chr(39)), ref.labels)}",
            code="unknown_capture",
            where=f"sources/{source}.yaml, key add",
        ) from None
