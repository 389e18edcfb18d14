"""data_ingestion.collector: everything once, whatever comes between."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Asked, Reply, StillClock, collected, connect, context, page, serving

from base_ops.core.errors import BaseOpsError, ConfigError, Transient
from base_ops.core.protocol import DataRef
from base_ops.data_ingestion.jobs.collector import slice_name
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.context import JobOutput
from base_ops.worker.lake.landing import Landing, LandingEntry
from base_ops.worker.lake.store import Store


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    for name in ("A.csv", "B.csv"):
        (folder / name).write_bytes(name.encode())
    return folder


def files(drop: Path, **more: Any) -> dict[str, Any]:
    return {"id": "s", "files": {"path": f"{drop}/{{symbol}}.csv"}, "slice": "{symbol}", **more}


def names(output: JobOutput) -> list[str]:
    return [ref.name for ref in output.outputs]


def log_of(home: Path) -> list[LandingEntry]:
    return Landing(Store(str(home / "lake")), "s", "test").entries()


def seen(output: JobOutput, *names: str) -> tuple[Any, ...]:
    return tuple(output.steps[0].observations[name] for name in names)


def test_new_files_land_and_are_handed_on(drop: Path, tmp_path: Path) -> None:
    output = collected(tmp_path, files(drop))
    assert [(r.name, r.slice, r.labels, r.sequence) for r in output.outputs] == [
        ("A.csv", "A", {"symbol": "A"}, 1),
        ("B.csv", "B", {"symbol": "B"}, 1),
    ]
    assert [Path(r.uri).read_bytes() for r in output.outputs] == [b"A.csv", b"B.csv"]
    assert seen(output, "objects_new", "objects_unchanged", "considered") == (2, 0, {"s": 1})
    assert output.considered == {"s": 1}
    assert output.steps[0].counts.bytes_in == 10
    assert [e["type"] for e in output.steps[0].events] == ["collection_completed"]
    assert not list((tmp_path / "lake" / ".scratch").iterdir())


def test_a_second_run_adds_nothing(drop: Path, tmp_path: Path) -> None:
    collected(tmp_path, files(drop))
    output = collected(tmp_path, files(drop))
    assert seen(output, "objects_new", "objects_unchanged") == (0, 2)
    assert [f.code for f in output.steps[0].findings] == ["nothing_new"]
    assert len(log_of(tmp_path)) == 1


def test_a_changed_file_replaces_the_older_one(drop: Path, tmp_path: Path) -> None:
    first = collected(tmp_path, files(drop))
    (drop / "A.csv").write_bytes(b"A2csv")
    second = collected(tmp_path, files(drop))
    assert [(r.name, r.sequence) for r in second.outputs] == [("B.csv", 1), ("A.csv", 2)]
    (drop / "A.csv").write_bytes(b"A.csv")  # and back
    third = collected(tmp_path, files(drop))
    assert [(r.name, r.sequence) for r in third.outputs] == [("B.csv", 1), ("A.csv", 3)]
    assert first.outputs[0].id == third.outputs[1].id


def test_append_keeps_all(drop: Path, tmp_path: Path) -> None:
    collected(tmp_path, files(drop, mode="append"))
    (drop / "A.csv").write_bytes(b"A2")
    assert names(collected(tmp_path, files(drop, mode="append"))) == ["A.csv", "B.csv", "A.csv"]


def test_the_same_bytes_under_another_name_are_reported(drop: Path, tmp_path: Path) -> None:
    collected(tmp_path, files(drop))
    (drop / "A2.csv").write_bytes(b"A.csv")
    output = collected(tmp_path, files(drop))
    assert "duplicate_found" in [f.code for f in output.steps[0].findings]
    assert "duplicate_found" in [e["type"] for e in output.steps[0].events]


def consume(lake: Path, dataset: str, **considered: int) -> None:
    """Store a table that has taken in the landing logs up to these numbers."""
    import polars as pl

    from base_ops.worker.lake.tables import Rules, Tables

    unit = lake / "staging" / "unit.parquet"
    unit.parent.mkdir(exist_ok=True)
    pl.DataFrame({"k": [1]}).write_parquet(unit)
    ref = DataRef(id="unit", kind="staging", uri=str(unit), rows=1)
    Tables(Store(str(lake)), threads=1).store_units(dataset, [ref], Rules(key=("k",)), "commit", considered=considered)


def test_only_what_the_table_has_not_consumed_is_handed_on(drop: Path, tmp_path: Path) -> None:
    collected(tmp_path, files(drop), dataset="d")
    assert names(collected(tmp_path, files(drop), dataset="d")) == ["A.csv", "B.csv"]  # nobody consumed it yet
    consume(tmp_path / "lake", "d", s=1)
    (drop / "C.csv").write_bytes(b"C")
    assert names(collected(tmp_path, files(drop), dataset="d")) == ["C.csv"]
    assert names(collected(tmp_path, files(drop), dataset="d")) == ["C.csv"]
    assert names(collected(tmp_path, files(drop), dataset="other")) == ["A.csv", "B.csv", "C.csv"]
    assert names(collected(tmp_path, files(drop), dataset="d", reprocess=True)) == ["A.csv", "B.csv", "C.csv"]


@pytest.mark.parametrize(
    ("template", "captures", "name"),
    [
        ("all", {}, "all"),
        ("{symbol}", {"symbol": "EURUSD"}, "EURUSD"),
        ("{y}-{m}", {"y": "2025", "m": "01"}, "2025-01"),
        ("{symbol}", {"symbol": "EUR/USD '; --"}, "EUR_USD_--"),
        ("{symbol}", {"symbol": "../../x"}, "x____x"),
        ("{symbol}", {"symbol": ".."}, "x_"),
        ("{symbol}", {"symbol": "-x"}, "x-x"),
    ],
)
def test_slices_are_harmless_names(template: str, captures: dict[str, str], name: str) -> None:
    assert slice_name(template, captures) == name


def test_long_slices_stay_apart() -> None:
    one, other = (slice_name("{a}", {"a": "x" * 200 + end}) for end in "12")
    assert one != other
    assert len(one) == 128


@pytest.mark.parametrize(
    ("source", "spec", "code"),
    [
        ({}, {"mode": "window"}, "no_window"),
        ({"connection": "nobody"}, {}, "unknown_connection"),
        ({"files": {"path": "/nowhere/{symbol}"}}, {}, "no_such_folder"),
    ],
)
def test_refused(source: dict[str, Any], spec: dict[str, Any], code: str, drop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        collected(tmp_path, files(drop) | source, **spec)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"files": {"path": "/d/{symbol}"}, "slice": "{symbo}"}, "Did you mean 'symbol'"),
        ({"http": {"path": "/q"}, "slice": "{symbol}"}, "does not capture"),
        ({"http": {"path": "/q", "cursor_field": "a", "cursor_param": "b"}}, "mode: append"),
        ({"http": {"path": "/q", "cursor_field": "a"}, "mode": "append"}, "go together"),
        ({}, "exactly one"),
    ],
)
def test_sources_that_cannot_work_are_refused_when_they_are_read(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceSpec.model_validate({"id": "s", **source})


def test_templates_are_taken_on_trust() -> None:
    SourceSpec.model_validate({"id": "s", "files": {"path": "{{ params.d }}/{symbol}"}, "slice": "{symbol}"})


# -- a source with a cursor


class Feed:
    """An API over a growing list of numbered records; two a page."""

    def __init__(self, count: int) -> None:
        self.records = [{"id": n} for n in range(1, count + 1)]
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, asked: Asked) -> Reply:
        self.meanwhile()
        left = [r for r in self.records if r["id"] > int(asked.params.get("since", 0))]
        start = int(asked.params.get("cursor", 0))
        return page(left[start : start + 2], start + 2 if start + 2 < len(left) else None)


HTTP = {
    "id": "s",
    "connection": "api",
    "mode": "append",
    "http": {"path": "/q", "auth": "bearer", "paging": {"style": "cursor"}, "records": "data", "cursor_field": "id", "cursor_param": "since"},
}  # fmt: skip


def ids(output: JobOutput) -> list[int]:
    return [r["id"] for ref in output.outputs for r in json.loads(Path(ref.uri).read_bytes())["data"]]


def test_only_what_came_since_is_fetched(tmp_path: Path) -> None:
    feed = Feed(5)
    with serving(feed) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")
        first = collected(tmp_path, HTTP)
        feed.records += [{"id": 6}]
        second = collected(tmp_path, HTTP)
        third = collected(tmp_path, HTTP)
    assert ids(first) == [1, 2, 3, 4, 5]
    assert ids(third) == ids(second) == [1, 2, 3, 4, 5, 6]
    assert [(o.cursor_before, o.cursor_after) for o in (first, second, third)] == [(None, 5), (5, 6), (6, 6)]
    assert [len(e.objects) for e in log_of(tmp_path)] == [3, 1]
    assert "token-1234" not in "".join(f.read_text() for f in (tmp_path / "lake").rglob("*") if f.is_file())


def test_a_window_lands_beside_the_cursor(tmp_path: Path) -> None:
    source = HTTP | {"http": {**HTTP["http"], "window_params": ["since", "until"]}}  # type: ignore[dict-item]
    with serving(Feed(5)) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")
        collected(tmp_path, source)
        ctx = context(tmp_path, window_start="3", window_end="5")
        output = collected(tmp_path, source, ctx=ctx, mode="window")
        again = collected(tmp_path, source, ctx=ctx, mode="window")
    assert (output.cursor_after, seen(output, "objects_new"), seen(again, "objects_new")) == (5, (1,), (0,))
    assert [e.window for e in log_of(tmp_path)] == [None, ("3", "5")]


def rival(monkeypatch: pytest.MonkeyPatch, before_append: Callable[[], object]) -> None:
    """Something else happens right before this attempt's first append."""
    append, once = Landing.append, iter([1])

    def interrupted(self: Landing, entry: LandingEntry) -> bool:
        if next(once, None):
            before_append()
        return append(self, entry)

    monkeypatch.setattr(Landing, "append", interrupted)


def test_a_faster_attempt_moved_the_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(4)
    with serving(feed) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")

        def other() -> None:
            feed.records += [{"id": 5}]
            collected(tmp_path, HTTP)

        rival(monkeypatch, other)
        output = collected(tmp_path, HTTP)
    assert ids(output) == [1, 2, 3, 4, 5]
    assert (output.adopted, output.cursor_after, len(log_of(tmp_path))) == (True, 5, 1)


def test_another_attempt_landed_some_of_the_files(drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None:
        collected(tmp_path, files(drop) | {"files": {"path": f"{drop}/{{symbol}}.csv"}})
        (drop / "A.csv").write_bytes(b"A3")
        collected(tmp_path, files(drop))

    (drop / "C.csv").write_bytes(b"C")
    rival(monkeypatch, other)
    output = collected(tmp_path, files(drop, mode="append"))
    assert sorted(names(output)) == ["A.csv", "B.csv", "C.csv"]
    assert (output.adopted, len(log_of(tmp_path))) == (True, 2)


def test_a_backfill_took_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not move the cursor, so what was fetched is still right: it is logged under the next number."""
    source = HTTP | {"http": {**HTTP["http"], "window_params": ["since", "until"]}}  # type: ignore[dict-item]
    with serving(Feed(4)) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")
        ctx = context(tmp_path, window_start="3", window_end="5")
        rival(monkeypatch, lambda: collected(tmp_path, source, ctx=ctx, mode="window"))
        output = collected(tmp_path, source)
    assert [e.window is None for e in log_of(tmp_path)] == [False, True]
    assert (output.adopted, output.cursor_after) == (False, 4)


def test_a_full_fetch_never_takes_the_cursor_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(2)
    with serving(feed) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")

        def other() -> None:
            feed.records += [{"id": 3}]
            collected(tmp_path, HTTP)

        rival(monkeypatch, other)
        output = collected(tmp_path, HTTP, mode="full")
    assert (output.cursor_after, len(log_of(tmp_path))) == (3, 2)


def test_many_attempts_at_once(drop: Path, tmp_path: Path) -> None:
    feed = Feed(9)
    start = threading.Barrier(6)
    with serving(feed) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")

        def attempt(number: int) -> JobOutput:
            start.wait()
            return collected(tmp_path, HTTP if number % 2 else files(drop, id="t"))

        with ThreadPoolExecutor(6) as pool:
            outputs = list(pool.map(attempt, range(6)))
    assert {tuple(ids(o)) for o in outputs[1::2]} == {tuple(range(1, 10))}
    assert {tuple(names(o)) for o in outputs[::2]} == {("A.csv", "B.csv")}
    assert len(log_of(tmp_path)) == 1


def test_endless_contention_is_given_up(drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Landing, "append", lambda self, entry: False)
    with pytest.raises(Transient) as error:
        collected(tmp_path, files(drop))
    assert error.value.code == "landing_contention"


def test_a_put_under_way_is_waited_for(drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StillClock()

    def conflict() -> None:
        raise Transient("under way", code="create_conflict")

    rival(monkeypatch, conflict)
    assert names(collected(tmp_path, files(drop), clock)) == ["A.csv", "B.csv"]
    assert clock.slept == [0.5]


def test_a_failed_collect_lands_nothing(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return page([{"id": 1}], "x") if "cursor" not in asked.params else Reply(body=b"<html>")

    with serving(script) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")
        with pytest.raises(BaseOpsError, match="nothing of this collect was landed"):
            collected(tmp_path, HTTP)
    assert log_of(tmp_path) == []


# -- killed

WORKER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from fakes.collecting import collected
from base_ops.worker.failpoints import arm
import json
arm({point!r})
collected(Path({home!r}), json.loads({source!r}))
"""
POINTS = {
    "collector.after_download:2": 0,
    "landing.bytes_stored": 0,
    "landing.before_append": 0,
    "store.create.before_link": 0,
    "landing.after_append": 1,
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_nothing_is_missed_and_nothing_doubled(point: str, tmp_path: Path) -> None:
    with serving(Feed(5)) as server:
        connect(tmp_path, "api", conn_type="http", host="127.0.0.1", port=server.port, password="token-1234")
        script = WORKER.format(
            tests=str(Path(__file__).parents[1]), point=point, home=str(tmp_path), source=json.dumps(HTTP)
        )
        root = Path(__file__).parents[2]
        killed = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, check=False)
        assert killed.returncode == -9, killed.stderr.decode()
        assert len(log_of(tmp_path)) == POINTS[point]
        output = collected(tmp_path, HTTP)
    assert ids(output) == [1, 2, 3, 4, 5]
    assert len(log_of(tmp_path)) == 1


def test_a_text_cursor_of_two_numbers_goes_on_as_text(tmp_path: Path) -> None:
    """ "9-1" is after "10-1" for texts, as the feed's own comparison has it: only ids of Redis are two numbers."""
    asked: list[str | None] = []

    def feed(request: Asked) -> Reply:
        asked.append(request.params.get("since"))
        return page([{"id": "10-1" if asked[-1] is None else "9-1"}])

    with serving(feed) as server:
        connect(tmp_path, "vendor", host="127.0.0.1", port=server.port, conn_type="http")
        source = {"id": "s", "mode": "append", "connection": "vendor"}
        source["http"] = {"path": "/q", "records": "data", "cursor_field": "id", "cursor_param": "since"}
        runs = [collected(tmp_path, source) for _ in range(3)]
    assert [run.cursor_after for run in runs] == ["10-1", "9-1", "9-1"]
    assert asked == [None, "10-1", "9-1"]
