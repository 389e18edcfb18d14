"""Redis as a source, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from fakes.collecting import StillClock, collected, connect, context
from fakes.databases import redis_server
from fakes.landed import lines

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.redis import RedisSource
from base_ops.worker.lake.landing import History, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server() -> Iterator[ConnectionInfo]:
    with redis_server() as info:
        yield info


@pytest.fixture
def db(server: ConnectionInfo) -> Iterator[redis.Redis]:
    with redis.Redis(host=server.host, port=server.port or 0, password=server.password) as client:
        client.flushall()
        yield client


def fetch(
    info: ConnectionInfo, folder: Path, cursor: Any = None, env: str = "dev", **spec: Any
) -> tuple[dict[str, list[Any]], Report]:
    mode = "append" if spec.get("kind", "stream") == "stream" else "snapshot"
    source = SourceSpec.model_validate({"id": "s", "connection": "redis", "mode": mode, "redis": spec})
    taken: dict[str, list[Any]] = {}

    def keep(fetched: Fetched) -> None:
        found = fetched.local.read_bytes().splitlines()
        taken[fetched.path] = [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in found]

    history = History([LandingEntry(sequence=1, source="s", objects=[], cursor_after=cursor)] if cursor else [])
    return taken, RedisSource(Site(source, folder, info, clock=StillClock(), env=env)).fetch(history, keep)


def test_a_stream_is_read_behind_its_ids(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    for n in range(2500):
        db.xadd("s", {"n": n}, id=f"{n // 10}-{n % 10 + 1}")
    taken, report = fetch(server, tmp_path, key="s", max_entries=1200)
    assert [e["fields"]["n"] for e in taken["s#start.ndjson"]] == [str(n) for n in range(1200)]
    assert report.cursor_after == "119-10"
    taken, report = fetch(server, tmp_path, report.cursor_after, key="s")
    assert [e["fields"]["n"] for e in taken["s#119-10.ndjson"]] == [str(n) for n in range(1200, 2500)]
    taken, after = fetch(server, tmp_path, report.cursor_after, key="s")
    assert (taken, after.cursor_after) == ({}, None)
    assert list(tmp_path.iterdir()) != []  # kept files are the collector's to move


def test_the_log_goes_on_behind_ids_of_more_digits(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    connect(tmp_path, "r", host=server.host, port=server.port, password=server.password, extra={"sslmode": "disable"})
    source = {"id": "s", "connection": "r", "mode": "append", "redis": {"key": "s"}}
    for identity in ("5-9", "5-10", "5-11", "40-0", "100-0"):
        db.xadd("s", {"n": identity}, id=identity)
        assert collected(tmp_path, source).cursor_after == identity
    entries = context(tmp_path).landing("s").entries()
    assert [len(entry.objects) for entry in entries] == [1] * 5
    assert [line["id"] for line in lines(tmp_path, "s")] == ["5-9", "5-10", "5-11", "40-0", "100-0"]


def test_entries_are_kept_exactly(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    db.execute_command("XADD", "s", "1-1", "a", "é", "a", b"\xff")
    db.execute_command("XADD", "s", "1-2", b"\xfe", "")
    db.execute_command("XADD", "s", "1-3", "a", "x\ny")
    taken, _ = fetch(server, tmp_path, key="s")
    assert taken["s#start.ndjson"] == [
        {"id": "1-1", "pairs": [["a", "é"], ["a", {"base64": "/w=="}]]},
        {"id": "1-2", "pairs": [[{"base64": "/g=="}, ""]]},
        {"id": "1-3", "fields": {"a": "x\ny"}},
    ]


def test_what_was_trimmed_before_it_was_read_is_told(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    for n in range(1, 6):
        db.xadd("s", {"n": n}, id=f"{n}-0")
    db.xdel("s", "1-0")
    assert not [f for f in fetch(server, tmp_path, "1-0", key="s")[1].findings if f.code == "entries_lost"]
    db.xdel("s", "3-0")
    assert [f.code for f in fetch(server, tmp_path, "1-0", key="s")[1].findings] == ["entries_lost"]


def test_a_stream_made_anew_is_refused(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    db.xadd("s", {"n": 1}, id="1-0")
    with pytest.raises(BadInput) as refused:
        fetch(server, tmp_path, "9-0", key="s")
    assert refused.value.code == "cursor_ahead"


def test_a_stream_made_anew_that_has_outgrown_the_cursor_is_refused(
    db: redis.Redis, server: ConnectionInfo, tmp_path: Path
) -> None:
    for n in (1, 3, 12):
        db.xadd("s", {"n": n}, id=f"{n}-0")
    with pytest.raises(BadInput, match="made anew: give the source a new id") as refused:
        fetch(server, tmp_path, "9-0", key="s")
    assert refused.value.code == "cursor_ahead"


@pytest.mark.parametrize("gone", ["deleted", "trimmed", "all trimmed", "not"])
def test_the_entry_read_last_may_be_gone(gone: str, db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    for n in (1, 3, 9):
        db.xadd("s", {"n": n}, id=f"{n}-0")
    if gone == "deleted":
        db.xdel("s", "9-0")
    elif gone == "all trimmed":
        db.xtrim("s", maxlen=0, approximate=False)
    db.xadd("s", {"n": 12}, id="12-0")
    if gone == "trimmed":
        db.xtrim("s", maxlen=1, approximate=False)
    taken, report = fetch(server, tmp_path, "9-0", key="s")
    assert [entry["id"] for entry in taken["s#9-0.ndjson"]] == ["12-0"]
    assert report.findings == []


def test_lists_hashes_and_keys(db: redis.Redis, server: ConnectionInfo, tmp_path: Path) -> None:
    db.rpush("l", "b", b"\xff", "a")
    db.hset("h", mapping={"x": 1, "a": "é"})
    db.set("q:1", "v")
    db.sadd("q:2", "b", "a")
    db.zadd("q:3", {"m": 1.5, "z": float("inf")})
    db.hset("q:4", "f", "v")
    db.rpush("q:5", "x")
    db.xadd("q:6", {"n": 1})
    assert fetch(server, tmp_path, key="l", kind="list")[0] == {
        "l.ndjson": [{"index": 0, "value": "b"}, {"index": 1, "value": {"base64": "/w=="}}, {"index": 2, "value": "a"}]
    }
    assert fetch(server, tmp_path, key="h", kind="hash")[0] == {
        "h.ndjson": [{"field": "a", "value": "é"}, {"field": "x", "value": "1"}]
    }
    taken, report = fetch(server, tmp_path, key="q:*", kind="keys")
    assert taken["q:*.ndjson"] == [
        {"key": "q:1", "type": "string", "value": "v"},
        {"key": "q:2", "type": "set", "value": ["a", "b"]},
        {"key": "q:3", "type": "zset", "value": [["m", 1.5], ["z", "inf"]]},
        {"key": "q:4", "type": "hash", "value": [["f", "v"]]},
        {"key": "q:5", "type": "list", "value": ["x"]},
    ]
    assert [f.code for f in report.all_findings()] == ["key_passed_over"]
    with pytest.raises(BadInput):
        fetch(server, tmp_path, key="q:*", kind="keys", max_entries=3)


FAILURES: dict[str, tuple[dict[str, Any], str, type[BaseOpsError], str]] = {
    "password": ({"password": "wrong-secret"}, "dev", Denied, "forbidden"),
    "no password": ({"password": ""}, "dev", Denied, "forbidden"),
    "no server": ({"port": 1}, "dev", Transient, "redis_failed"),
    "other kind": ({}, "dev", ConfigError, "redis_refused"),
    "tls off": ({}, "prod", ConfigError, "tls_not_verified"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart_without_a_secret(
    case: str, db: redis.Redis, server: ConnectionInfo, tmp_path: Path
) -> None:
    change, env, kind, code = FAILURES[case]
    db.set("s", "no stream")
    with pytest.raises(kind) as raised:
        fetch(replace(server, **change), tmp_path, env=env, key="s")
    assert raised.value.code == code
    assert "secret" not in str(raised.value)
