"""What is done to the sources' files before they are merged: names that mean the same, types, windows, shards.

Names are only mapped. Where cells or rows must change, the files are written anew, in their own order and each row
with its pointer, so that the merge itself knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.merging import ShardSpec, TimeKey
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.engine.sinks import write_batches
from base_ops.worker.exact_floats import without_changed
from base_ops.worker.merge.files import SourceFile, widen
from base_ops.worker.types import parse_expr, type_name

_SEPARATOR = "\x1f"
_BATCH_ROWS = 122_880


@dataclass(frozen=True)
class Prepared:
    """Files to merge under the names of `rename`."""

    files: list[SourceFile]
    rename: dict[str, dict[str, str]]
    """Per source: {its column: name in the merged dataset}."""
    rows_elsewhere: int
    """Rows that belong to other shards."""
    findings: list[Finding]


def prepare(files: Sequence[SourceFile], spec: MergerSpec, scratch: Path) -> Prepared:
    """Bring the files to what `merge` needs.

    Raises:
        BadInput: a text is not of the type another source has (align.coerce), a file is not Parquet.
        ConfigError: the column of `time` is no timestamp.
    """
    schemas = {f.path: _schema(f) for f in files}
    rename, findings = _matched(files, schemas, spec)
    named = {
        f.path: {rename.get(f.source, {}).get(name, name): (name, dtype) for name, dtype in schemas[f.path].items()}
        for f in files
    }
    targets = _types(files, named, spec, findings)
    skipped = _skipped(list(named.values()), spec)
    if skipped:
        message = f"not in all sources, so left out (align.missing: skip): {', '.join(skipped)}"
        findings.append(Finding(code="skipped_fields", message=message, data={"fields": list(skipped)}))
    made: list[SourceFile] = []
    elsewhere = 0
    for number, file in enumerate(files):
        changes = _changes(named[file.path], targets, spec)
        drop = [named[file.path][name][0] for name in skipped if name in named[file.path]]
        if not changes and not drop and spec.shard is None:
            made.append(file)
            continue
        path = scratch / f"prepared-{number}.parquet"
        rewriter = _Rewriter(file, named[file.path], changes, drop, targets, spec)
        rewriter.write(path)
        elsewhere += rewriter.elsewhere
        made.append(replace(file, path=path))
    return Prepared(made, rename, elsewhere, findings)


def _schema(file: SourceFile) -> pl.Schema:
    try:
        return pl.Schema(pl.read_parquet_schema(file.path))
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            "A file to merge is not readable Parquet", code="bad_parquet", where=file.uri, found=str(error)
        ) from None


# -- names


def plain(name: str) -> str:
    """A name without case and without what is neither letter nor digit."""
    folded = name.upper().casefold()  # a dotless ı is a great I, and that a small i
    return "".join(c for c in folded if c.isalnum())


def _matched(
    files: Sequence[SourceFile], schemas: Mapping[Path, pl.Schema], spec: MergerSpec
) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """`rename`, and what names that mean the same add to it. Known names: key and rules first, then by source."""
    rename = {source: dict(names) for source, names in spec.rename.items()}
    if spec.align.names == "exact":
        return rename, []
    known = list(dict.fromkeys([*spec.key, *(name for item in spec.fields for name in item.fields)]))
    findings: list[Finding] = []
    order = {source: place for place, source in enumerate(spec.priority)}
    for file in sorted(files, key=lambda f: (order.get(f.source, len(order)), f.source, f.sequence, f.id)):
        own = rename.setdefault(file.source, {})
        columns = [name for name in schemas[file.path] if name != POINTER]
        taken = {own.get(name, name) for name in columns}
        for name in columns:
            if name in own or name in known:
                continue
            match = _match(name, [other for other in known if other not in taken], spec)
            if match is None:
                continue
            own[name] = match
            taken.add(match)
            message = f"{file.source}: {name!r} is taken for {match!r}"
            data = {"source": file.source, "from": name, "to": match}
            findings.append(Finding(code="matched_column", message=message, data=dict(data)))
        known += [name for name in (own.get(column, column) for column in columns) if name not in known]
    return {source: names for source, names in rename.items() if names}, findings


def _match(name: str, known: Sequence[str], spec: MergerSpec) -> str | None:
    same = [other for other in known if plain(other) == plain(name)]
    if same or spec.align.names == "plain":
        return same[0] if len(same) == 1 else None
    from rapidfuzz.distance import JaroWinkler

    scores = sorted(((JaroWinkler.similarity(plain(name), plain(other)), other) for other in known), reverse=True)
    if not scores or scores[0][0] < spec.align.similarity or (len(scores) > 1 and scores[1][0] == scores[0][0]):
        return None
    return scores[0][1]


# -- types


def _types(
    files: Sequence[SourceFile],
    named: Mapping[Path, Mapping[str, tuple[str, pl.DataType]]],
    spec: MergerSpec,
    findings: list[Finding],
) -> dict[str, pl.DataType]:
    """Per field the type its texts are brought to; nothing where sources agree or types only widen."""
    if not spec.align.coerce:
        return {}
    targets: dict[str, pl.DataType] = {}
    for name in dict.fromkeys(name for file in files for name in named[file.path]):
        dtypes = [named[file.path][name][1] for file in files if name in named[file.path]]
        others: pl.DataType | None = pl.Null()
        for dtype in (d for d in dtypes if d != pl.String):
            others = None if others is None else widen(others, dtype)
        if pl.String in dtypes and others not in (None, pl.Null()):
            assert others is not None
            targets[name] = others
            message = f"{name}: texts become {type_name(others)}, which other sources have"
            findings.append(Finding(code="coerced_column", message=message, data={"field": name}))
    return targets


def _skipped(named: Sequence[Mapping[str, tuple[str, pl.DataType]]], spec: MergerSpec) -> list[str]:
    if spec.align.missing != "skip":
        return []
    names = dict.fromkeys(name for columns in named for name in columns if name != POINTER)
    return [name for name in names if name not in spec.key and not all(name in columns for columns in named)]


def _changes(
    columns: Mapping[str, tuple[str, pl.DataType]], targets: Mapping[str, pl.DataType], spec: MergerSpec
) -> list[str]:
    """Fields whose cells change."""
    changed = [name for name, (_, dtype) in columns.items() if dtype == pl.String and name in targets]
    if (
        spec.time is not None
        and spec.time.column in columns
        and not isinstance(targets.get(spec.time.column, columns[spec.time.column][1]), pl.Datetime)
    ):
        raise ConfigError(
            f"The column {spec.time.column!r} holds no timestamps",
            code="not_a_timestamp",
            where="spec.time.column",
            found=type_name(columns[spec.time.column][1]),
            todo="declare its type when the source is converted",
        )
    if spec.time is not None and spec.time.window_s is not None and spec.time.column in columns:
        changed.append(spec.time.column)
    return changed + [name for name in spec.align.defaults if name not in columns]


# -- rows


@dataclass
class _Rewriter:
    """Writes one file anew."""

    file: SourceFile
    columns: Mapping[str, tuple[str, pl.DataType]]
    changes: Sequence[str]
    drop: Sequence[str]
    targets: Mapping[str, pl.DataType]
    spec: MergerSpec
    elsewhere: int = 0
    """Rows that belong to other shards."""

    def write(self, path: Path) -> None:
        lazy = pl.scan_parquet(self.file.path, glob=False)
        schema = self._changed(lazy.head(0).collect(), 0).schema
        write_batches(self._batches(lazy), schema, path, "parquet", WriteSpec(), _BATCH_ROWS)

    def _batches(self, lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        row = 0
        for frame in lazy.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
            made = self._changed(frame, row)
            row += frame.height
            if self.spec.shard is not None:
                mine = made.filter(self._is_mine(made, self.spec.shard))
                self.elsewhere += made.height - mine.height
                made = mine
            yield made

    def _changed(self, frame: pl.DataFrame, first: int) -> pl.DataFrame:
        made = {name: frame[name] for name in frame.columns if name not in self.drop}
        if POINTER not in made:
            made[POINTER] = pl.int_range(first + 1, first + 1 + frame.height, dtype=pl.Int64, eager=True).alias(POINTER)
        for name in dict.fromkeys(self.changes):
            old = self.columns[name][0] if name in self.columns else name
            made[old] = self._cells(name, made.get(old), made[POINTER]).alias(old)
        return pl.DataFrame(list(made.values()))

    def _cells(self, name: str, values: pl.Series | None, lines: pl.Series) -> pl.Series:
        if values is None:
            default = self.spec.align.defaults[name]
            return pl.Series([default]).new_from_index(0, len(lines))
        if values.dtype == pl.String and name in self.targets:
            values = self._parsed(name, values, lines)
        time = self.spec.time
        return values if time is None or time.window_s is None or time.column != name else in_windows(values, time)

    def _parsed(self, name: str, texts: pl.Series, lines: pl.Series) -> pl.Series:
        target = self.targets[name]
        cells = texts.alias("cell").to_frame()
        unit = "ns" if isinstance(target, pl.Datetime) and target.time_unit == "ns" else "us"
        values = cells.select(parse_expr("cell", type_name(target), unit=unit)).to_series()  # type: ignore[arg-type]
        if values.dtype == pl.Float64:
            values = without_changed(values, texts)
        bad = (values.is_null() & texts.is_not_null()).arg_true()
        if len(bad):
            raise BadInput(
                f"A text of {name!r} is not {type_name(target)}, the type another source has",
                code="incompatible_types",
                where=f"{self.file.uri}, line {lines[bad[0]]}",
                expected=type_name(target),
                found=f"{texts[bad[0]][:80]!r}",
                todo="give the column its type when the source is converted: such rows then go to quarantine",
            )
        return values

    def _is_mine(self, frame: pl.DataFrame, shard: ShardSpec) -> pl.Series:
        """Rows by their key as text, so that types do not matter; records without a key go to the first shard."""
        keys = [name for name in self.spec.key if self.spec.time is None or name != self.spec.time.column]
        if not keys:  # moments alone: neighbours in time must meet, so that they cannot be spread
            return pl.Series([shard.index == 0]).new_from_index(0, frame.height)
        texts = [_key_text(frame[self.columns[name][0]]) for name in keys]
        joined = pl.DataFrame([text.alias(str(n)) for n, text in enumerate(texts)])
        hashes = joined.select(pl.concat_str(pl.all(), separator=_SEPARATOR).alias("key"))["key"]
        return (hashes.hash(0) % shard.count).set(hashes.is_null(), 0) == shard.index


def _key_text(values: pl.Series) -> pl.Series:
    dtype = values.dtype
    if dtype.is_integer() or dtype.is_float():  # 1 and 1.0 are one key where one source has integers
        numbers = values.cast(pl.Float64)
        return numbers.set(numbers == 0, 0.0).cast(pl.String)  # -0.0 is 0.0; polars leaves out `+ 0.0`
    if isinstance(dtype, pl.Decimal):
        return values.cast(pl.Float64).cast(pl.String)
    if dtype == pl.Binary:
        return values.bin.encode("hex")
    if isinstance(dtype, pl.Duration):
        return values.to_physical().cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        return values.cast(pl.Datetime("us")).to_physical().cast(pl.String)
    return values.cast(pl.String)


def in_windows(values: pl.Series, time: TimeKey) -> pl.Series:
    """Moments to that moment of their window which `align` says."""
    assert time.window_s is not None
    dtype = values.dtype
    unit = {"ms": 10**3, "us": 10**6, "ns": 10**9}[dtype.time_unit]  # type: ignore[attr-defined]
    window = round(time.window_s * unit)
    shift = {"start": 0, "center": window // 2, "end": window}[time.align]
    cells = values.to_physical().alias("moment").to_frame()
    moments = cells.select(pl.col("moment") // window * window + shift).to_series()
    return moments.cast(dtype)
