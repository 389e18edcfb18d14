"""Uniqueness: the rules that need all rows of all inputs.

1. Each input is read once; rows that keep the row-wise rules leave their key columns and pointers in a scratch file.
2. DuckDB groups the keys, within a memory limit and spilling to disk, and writes the offenders, sorted by pointer.
3. The inputs go through the one-pass engine, which looks its rows up among the offenders of their stretch.

All of it starts when the first input needs it: inputs that were published before are adopted without a look.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from base_ops.core.errors import BadInput, ConfigError, Transient
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.data_quality.jobs.validator import Validator
from base_ops.data_quality.jobs.validator.checks import dtype_in, id_of
from base_ops.data_quality.specs.validator import UniqueRule, ValidatorSpec
from base_ops.worker.engine.plan import POINTER, Check, Reader

OFFENDERS = pl.Schema(
    {"file": pl.Int32, "line": pl.Int64, "first_file": pl.Int32, "first_line": pl.Int64, "records": pl.Int64}
)
"""One record that shares its key: where it is, where the first of its group is, and how many share the key."""
_MEMORY_MB = 512
_MAX_NESTING = (pl.List, pl.Array, pl.Struct, pl.Object)


# -- 1. keys


def spill_keys(reader: Reader, validator: Validator, rules: Sequence[UniqueRule], file: int, target: Path) -> None:
    """Write `file`, `line`, `seq` and the key columns of all rows that no row-wise rule sets aside, as Parquet.

    `seq` numbers the rows over all inputs in reading order.
    """
    columns = sorted({c for rule in rules for c in rule.columns})
    for rule in rules:
        for column in rule.columns:
            dtype = dtype_in(reader.schema, column, f"rule {id_of(rule)!r}")
            if isinstance(dtype, _MAX_NESTING):
                raise ConfigError(
                    f"{column} holds {dtype}, which cannot be a key", code="unfit_type", where=f"rule {id_of(rule)!r}"
                )
    plan = replace(validator, rules=tuple(r for r in validator.rules if not isinstance(r, UniqueRule))).plan(
        reader.schema
    )
    rejects = [c.violated.fill_null(False) for c in plan.checks if c.severity == "reject"]
    keep = ~pl.any_horizontal(*rejects) if rejects else pl.lit(True)
    keys = [_key(column, reader.schema[column]) for column in columns]
    seq = file << 40
    parts: list[Path] = []
    for number, batch in enumerate(reader.batches()):
        part = target / f"{number}.parquet"
        rows = batch.frame.filter(keep).select(
            pl.lit(file, dtype=pl.Int32).alias("file"),
            pl.col(POINTER).alias("line"),
            pl.int_range(seq, seq + pl.len(), dtype=pl.Int64).alias("seq"),
            *keys,
        )
        rows.write_parquet(part, compression="lz4")
        seq += rows.height
        parts.append(part)


def _key(column: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    if dtype in (pl.Categorical, pl.Enum, pl.Int128, pl.UInt128, pl.Null):
        value = value.cast(pl.String)
    return value.alias(f"k_{column}")


# -- 2. groups


def find_duplicates(
    spills: Sequence[Path],
    columns: Sequence[str],
    keep: str,
    target: Path,
    *,
    temp_dir: Path,
    memory_mb: int = _MEMORY_MB,
) -> int:
    """Write the offenders among the spilled keys to `target`, sorted by file and line; returns how many there are.

    Null equals null; rows whose keys are all null do not take part. keep='first' leaves out the first of each group.
    """
    names = [_quoted(f"k_{c}") for c in columns]
    keys, some = ", ".join(names), " or ".join(f"{n} is not null" for n in names)
    same = " and ".join(f"r.{n} is not distinct from d.{n}" for n in names)
    query = f"""
        copy (
            with doubles as (
                select {keys} from read_parquet($files) where {some} group by {keys} having count(*) > 1
            ), members as (
                select r.file, r.line, r.seq, first_value(r.file) over by_key first_file,
                    first_value(r.line) over by_key first_line, first_value(r.seq) over by_key first_seq,
                    count(*) over (partition by {", ".join(f"d.{n}" for n in names)}) records
                from read_parquet($files) r join doubles d on {same}
                window by_key as (partition by {", ".join(f"d.{n}" for n in names)} order by r.seq)
            )
            select file, line, first_file, first_line, records from members
            where {"seq <> first_seq" if keep == "first" else "true"}
            order by file, line
        ) to '{_escaped(target)}' (format parquet, compression lz4, row_group_size 100000)
    """
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(temp_dir),
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(config=config) as connection:
        try:
            connection.execute(query, {"files": [str(p) for p in spills]})
        except duckdb.OutOfMemoryException as error:
            raise Transient(
                f"The keys do not fit: {str(error).splitlines()[0]}",
                code="out_of_memory",
                todo="give the task more memory or disk",
            ) from None
    return int(pl.scan_parquet(target).select(pl.len()).collect().item())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")


# -- 3. looking up


@dataclass(frozen=True)
class Offenders:
    """The offenders of one rule, in a file sorted by pointer; only the stretch of a batch is read."""

    path: Path
    objects: tuple[str, ...]
    """Names of the inputs, for reasons."""

    def marks(self, file: int, lines: pl.Series) -> pl.Series:
        """Which of the lines of one input are offenders."""
        stretch = self._stretch(file, lines, ["line"])
        return (
            lines.is_in(stretch["line"].implode())
            if stretch.height
            else pl.zeros(len(lines), pl.Int8, eager=True).cast(pl.Boolean)
        )

    def details(self, file: int, lines: pl.Series) -> pl.Series:
        """Per line, where the first of its group is."""
        stretch = self._stretch(file, lines, list(OFFENDERS)[1:])
        names = pl.DataFrame(
            {"first_file": range(len(self.objects)), "name": self.objects},
            schema={"first_file": pl.Int32, "name": pl.String},
        )
        elsewhere = pl.when(pl.col("first_file") != file).then(pl.format(" of {}", "name")).otherwise(pl.lit(""))
        is_first = (pl.col("first_file") == file) & (pl.col("first_line") == pl.col("line"))
        text = (
            pl.when(is_first)
            .then(pl.format(" (first of {} records)", "records"))
            .otherwise(pl.format(" (first: line {}{})", "first_line", elsewhere))
        )
        known = stretch.join(names, on="first_file", how="left").unique("line").select("line", text.alias("text"))
        return lines.to_frame("line").join(known, on="line", how="left", maintain_order="left")["text"]

    def _stretch(self, file: int, lines: pl.Series, columns: list[str]) -> pl.DataFrame:
        if not len(lines):
            return pl.DataFrame(schema=OFFENDERS).select(columns)
        here = (pl.col("file") == file) & pl.col("line").is_between(lines.min(), lines.max())
        return pl.scan_parquet(self.path).filter(here).select(columns).collect(engine="in-memory")


def unique_check(rule: UniqueRule, offenders: Offenders, file: int) -> Check:
    """The check of a unique rule for one input: looks each row's pointer up."""
    some = pl.any_horizontal(pl.col(c).is_not_null() for c in rule.columns)
    pointer = pl.col(POINTER)
    found = pointer.map_batches(lambda s: offenders.marks(file, s), return_dtype=pl.Boolean)
    kept = ", the first is kept" if rule.keep == "first" else ""
    return Check(
        rule=id_of(rule),
        violated=pl.when(some).then(found),
        reason=f"{', '.join(rule.columns)} must be unique{kept}",
        column=rule.columns[0] if len(rule.columns) == 1 else "",
        severity="flag" if rule.on_failure == "flag" else "reject",
        block=rule.on_failure == "block" and rule.max_failure_share is None,
        max_share=rule.max_failure_share,
        detail=pointer.map_batches(lambda s: offenders.details(file, s), return_dtype=pl.String),
    )


# -- the job


@dataclass
class _Uniqueness:
    """Computes the offenders of all inputs when the first of them is about to be judged."""

    validator: Validator
    inputs: list[Any]
    scratch: Path
    current: int = 0
    found: dict[str, Offenders] | None = None
    unusable: dict[int, BadInput] = field(default_factory=dict)
    """Inputs that could not be read: they fail when it is their turn, the others are judged without them."""

    def check(self, rule: UniqueRule) -> Check:
        if self.found is None:
            self.found = self._find()
        if self.current in self.unusable:
            raise self.unusable[self.current]
        return unique_check(rule, self.found[id_of(rule)], self.current)

    def _find(self) -> dict[str, Offenders]:
        rules = [r for r in self.validator.rules if isinstance(r, UniqueRule)]
        schemas: dict[str, pl.DataType] = {}
        spills: list[Path] = []
        for number, item in enumerate(self.inputs):
            keys = self.scratch / f"keys-{number}"
            keys.mkdir()
            try:
                self._spill(item, number, rules, schemas, keys)
            except BadInput as error:
                self.unusable[number] = error
                continue
            spills += sorted(keys.iterdir())
        objects = tuple(item.ref.labels.get("object", item.ref.uri).rsplit("/", 1)[-1] for item in self.inputs)
        found = {}
        for number, rule in enumerate(rules):
            target = self.scratch / f"offenders-{number}.parquet"
            if spills:
                find_duplicates(spills, rule.columns, rule.keep, target, temp_dir=self.scratch)
            else:
                pl.DataFrame(schema=OFFENDERS).write_parquet(target)
            found[id_of(rule)] = Offenders(target, objects)
        return found

    def _spill(
        self, item: Any, number: int, rules: list[UniqueRule], schemas: dict[str, pl.DataType], keys: Path
    ) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.scratch)))
            members = list(item.open(stack, folder))
            if len(members) != 1:
                name = item.ref.name
                raise BadInput(
                    f"{name} holds several files", code="several_members", todo="unpack it before it is validated"
                )
            reader = members[0].reader
            self._same_types(rules, reader.schema, schemas, item.ref.name)
            spill_keys(reader, self.validator, rules, number, keys)

    @staticmethod
    def _same_types(rules: list[UniqueRule], schema: pl.Schema, known: dict[str, pl.DataType], name: str) -> None:
        for column in {c for rule in rules for c in rule.columns}:
            dtype = dtype_in(schema, column, f"the rules of {name}")
            if known.setdefault(column, dtype) != dtype:
                raise BadInput(
                    f"{column} has different types in the inputs, so its values cannot be compared",
                    code="schema_differs",
                    where=name,
                    expected=str(known[column]),
                    found=str(dtype),
                    todo="convert all inputs with the same columns",
                )


def run_with_unique(spec: ValidatorSpec, validator: Validator, ctx: Any) -> Any:
    """Run the validator over all inputs of the task. Returns a JobOutput; raises as the engine does."""
    from base_ops.worker.engine.chain import Chain, staged_inputs
    from base_ops.worker.engine.unit import Units

    inputs = list(staged_inputs(spec, ctx))
    with tempfile.TemporaryDirectory(prefix="base-ops-unique-") as folder:
        unique = _Uniqueness(validator, inputs, Path(folder))
        judged = replace(validator, double=unique.check)
        among = {"unique_among": sorted(item.ref.id for item in inputs)}
        bound = [_told(item, unique, number, among) for number, item in enumerate(inputs)]
        return Chain(Units([judged], [spec], ctx, spec.target, WriteSpec())).run(bound)


def _told(item: Any, unique: _Uniqueness, number: int, among: dict[str, Any]) -> Any:
    """The input, telling `unique` when it is opened; its verdicts depend on all inputs, and so does its key."""

    def opened(stack: ExitStack, scratch: Path) -> Any:
        unique.current = number
        return item.open(stack, scratch)

    return replace(item, open=opened, read={**item.read, **among})
