"""The load ahead, as a Parquet file: time, low, expected, high; and what a person should know of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from base_ops.calendars.calendar import load_calendar
from base_ops.core.errors import BadInput
from base_ops.core.ids import check_name, fingerprint
from base_ops.core.protocol import DataRef, Finding, Result, StepResult
from base_ops.data_ingestion.jobs.scheduler.now import moment
from base_ops.data_ingestion.models.scheduling.forecast import MAX_DAYS, Floats, Forecast, forecast
from base_ops.data_ingestion.models.scheduling.slots import SLOT, floor_slot
from base_ops.data_ingestion.specs.scheduler import ForecastLoadSpec, instant
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake.store import Store

_MAX_RESULTS = 50_000
"""Results of the lake that are looked at; beyond that a history file is the way."""


def forecast_load(spec: ForecastLoadSpec, ctx: Context, step: StepResult) -> JobOutput:
    """Forecast from `as_of`, rounded down to a quarter-hour.

    Raises:
        BadInput: no or too little history, or one that is not of the columns named.
        ConfigError: the calendar does not reach so far.
    """
    check_name(spec.name, "series")
    end = floor_slot(moment(spec.as_of))
    frame = _from_file(spec.history) if spec.history else _from_lake(spec, ctx.lake.store)
    start, load = by_slot(frame, end)
    calendar = load_calendar(spec.market) if spec.market else None
    zone = calendar.zone if calendar else ZoneInfo(spec.timezone)
    found = forecast(start, load, calendar, zone, model=ctx.settings.models)
    ref = _write(found, spec, ctx)
    step.observations = {
        "series": spec.name,
        "from": found.start.isoformat(),
        "decided_by": found.source,
        "reason": found.reason,
        "backtest_mape": {name: round(value, 4) for name, value in found.backtest.items()},
        "effects": dict(found.effects),
        "peak": {
            "at": found.moments[int(found.expected.argmax())].isoformat(),
            "expected": float(found.expected.max()),
        },
        "model_decisions": {found.source: 1},
    }
    over = np.flatnonzero(found.high > (spec.capacity or np.inf))
    if len(over):
        first = found.moments[int(over[0])].isoformat()
        message = f"{len(over)} quarter-hours may exceed the capacity of {spec.capacity:g}, the first at {first}"
        step.findings.append(Finding(code="load_above_capacity", severity="warning", message=message))
    return JobOutput(steps=[step], outputs=[ref])


def by_slot(frame: pl.DataFrame, end: datetime) -> tuple[datetime, Floats]:
    """(first quarter-hour, load of each one up to `end`); quarter-hours of which nothing is told had no load."""
    known = frame.filter((pl.col("time") < end) & (pl.col("time") >= end - timedelta(days=MAX_DAYS)))
    if known.is_empty():
        raise BadInput(f"There is no history before {end.isoformat()}", code="too_little_history")
    sums = known.group_by(pl.col("time").dt.truncate("15m")).agg(pl.col("load").sum())
    start: datetime = sums["time"].min()  # type: ignore[assignment]  # not empty
    places = ((sums["time"] - start).dt.total_seconds() // int(SLOT.total_seconds())).to_numpy()
    load = np.zeros((end - start) // SLOT)
    load[places] = sums["load"].to_numpy()
    return start, load


def _from_file(uri: str) -> pl.DataFrame:
    folder, _, name = uri.rpartition("/")
    frame = pl.read_parquet(io.BytesIO(Store(folder or ".").read_bytes(name)))
    missing = sorted({"time", "load"} - set(frame.columns))
    kind = frame.schema.get("time")
    if missing or not isinstance(kind, pl.Datetime) or not frame.schema["load"].is_numeric():
        raise BadInput(
            "The history is not a series of loads",
            code="bad_history",
            where=uri,
            expected="columns time (timestamp) and load (number)",
            found=", ".join(f"{name} {kind}" for name, kind in frame.schema.items()),
        )
    time = (
        pl.col("time").dt.replace_time_zone("UTC")
        if kind.time_zone is None
        else pl.col("time").dt.convert_time_zone("UTC")
    )
    frame = frame.select(time.dt.cast_time_unit("us"), pl.col("load").cast(pl.Float64))
    if frame.null_count().sum_horizontal().item() or not frame["load"].is_finite().all() or (frame["load"] < 0).any():
        raise BadInput(
            "The history has values that are no loads", code="bad_history", where=uri, expected="numbers of 0 or more"
        )
    return frame


def _from_lake(spec: ForecastLoadSpec, store: Store) -> pl.DataFrame:
    rows = [(instant(result.started_at), _measured(result, spec.measure)) for result in _results(store, "runs")]
    schema: pl.Schema = pl.Schema({"time": pl.Datetime("us", "UTC"), "load": pl.Float64})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _results(store: Store, top: str) -> Iterator[Result]:
    """The Results of the lake, at most `_MAX_RESULTS`."""
    left, folders = _MAX_RESULTS, [top]
    while folders and left:
        folder = folders.pop()
        folders += [f"{folder}/{name}" for name in store.folders(folder)]
        for path in store.list(folder):
            if path.endswith("/result.json") and left:
                left -= 1
                result = Result.model_validate(store.read_json(path))
                if result.started_at:
                    yield result


def _measured(result: Result, measure: str) -> float:
    counts = result.counts
    return float({"runs": 1, "rows": counts.rows_in, "bytes": counts.bytes_in, "seconds": result.seconds}[measure])


def _write(found: Forecast, spec: ForecastLoadSpec, ctx: Context) -> DataRef:
    frame = pl.DataFrame({"time": found.moments, "low": found.low, "expected": found.expected, "high": found.high})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    store = Store(spec.target) if spec.target else ctx.lake.store
    path = f"{'' if spec.target else 'forecasts/'}{spec.name}-{found.start:%Y%m%dT%H%M}-{digest[:12]}.parquet"
    store.create(path, data)  # named by its content: there already, it is the same
    key = fingerprint("forecast", spec.name, found.start.isoformat(), digest)
    return DataRef(
        id=key, kind="file", uri=store.uri(path), name=spec.name, rows=len(frame), bytes=len(data), sha256=digest
    )
