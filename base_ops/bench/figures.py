"""Figures that have a limit of their own: start-up, parsing, schedules, connections, rows a second of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from base_ops.bench import convert, merge, parse
from base_ops.bench.measure import Comparison


@dataclass(frozen=True)
class Figure:
    """One figure and what it must be."""

    what: str
    value: float
    unit: str
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def figures(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Figure]:
    """Measure those whose name contains `only`; `rows` is the size of it all, as `bench --rows` says it."""
    makers: dict[str, Callable[[], Iterator[Figure]]] = {
        "startup": lambda: _startup(folder),
        "parse": lambda: _parsing(folder, rounds),
        "detection": _detection,
        "throughput": lambda: _throughput(folder, rows / 9e6),
        "schedules": _schedules,
        "connections": _connections,
        "stream": _stream,
    }
    for name, make in makers.items():
        if only is None or only in name:
            yield from make()


def derived(done: Sequence[Comparison]) -> Iterator[Figure]:
    """Rows a second of what was compared."""
    for c in done:
        if c.rows is None:
            continue
        if c.name == merge.PER_FIELD:
            yield Figure(f"{c.name}: input rows", c.rows / c.ours_s, "rows/s", 2e6, at_least=True)
            yield Figure(f"{c.name}: a record", c.ours_s / c.rows * 1e3, "ms", 50)
        elif c.floor is not None:
            cores = f"{c.name}, beside {c.peer}: rows per second of two cores' own work"
            yield Figure(cores, c.rows / (c.ours_cpu_s / 2), "rows/s", c.floor, at_least=True)


def _startup(folder: Path) -> Iterator[Figure]:
    seconds = convert.startup_seconds(folder)
    yield Figure("agent start-up (process start to first byte of work)", seconds, "s", 0.6)


def _parsing(folder: Path, rounds: int) -> Iterator[Figure]:
    seconds, dags = parse.parse_seconds(folder, rounds)
    yield Figure(f"parsing {dags} DAGs, over importing the operator base", seconds, "s", 0.5)


def _detection() -> Iterator[Figure]:
    from base_ops.bench.detection import LIMIT_MS, SIZE_BYTES, slowest

    name, milliseconds = slowest()
    yield Figure(f"detection in {SIZE_BYTES >> 30} GB, slowest format ({name})", milliseconds, "ms", LIMIT_MS)


def _throughput(folder: Path, scale: float) -> Iterator[Figure]:
    from base_ops.bench import throughput as t

    for kind, mb_s in t.collected_mb_s(folder, max(t.MB, int(1000 * t.MB * scale))).items():
        what = f"collecting from {kind}, one worker ({t.workers_for(mb_s)} of them: 100 GB an hour)"
        yield Figure(what, mb_s, "MB/s", t.COLLECT_MB_S, at_least=True)
    files = max(10, int(t.BULK_FILES * scale))
    collected_s, converted_s = t.bulk_seconds(folder, files)
    yield Figure(f"collecting {files} files of 1 MB, one worker", collected_s, "s", t.BULK_S)
    yield Figure(f"converting {files} CSV files of 1 MB, one worker", files / converted_s, "MB/s", t.CONVERT_MB_S, True)


def _schedules() -> Iterator[Figure]:
    from base_ops.bench.schedules import LIMIT_S, forecast_seconds, next_runs_seconds

    cold, warm = next_runs_seconds()
    yield Figure("next run of 1000 schedules, nothing read yet", cold, "s", LIMIT_S)
    yield Figure("next run of 1000 schedules, calendars in memory", warm, "s", LIMIT_S)
    seconds, error, rule = forecast_seconds()
    yield Figure("7-day forecast of the load", seconds, "s", LIMIT_S)
    yield Figure(f"its error (MAPE; the same slot last week: {rule:.1%})", error * 100, "%", 10)


def _stream() -> Iterator[Figure]:
    from base_ops.bench.stream import measure

    found = measure()
    yield Figure(f"a message's way into the table, {found.rate:,} a second, p95", found.p95_s, "s", 1.0)
    yield Figure("the same, at the end of the measurement", found.late_p95_s, "s", 1.0)
    yield Figure("validating one part of it", found.validation_s * 1e3, "ms", 500)


def _connections() -> Iterator[Figure]:
    from base_ops.bench.connect import overhead_ms
    from base_ops.bench.http import measure

    yield Figure("connection set-up with a token at hand", overhead_ms()["median_ms"], "ms", 100)
    found = measure()
    yield Figure("HTTP connections at once from one worker", found.most_at_once, "connections", 1000, at_least=True)
    yield Figure("its memory", found.peak_mb, "MB", 1024)
