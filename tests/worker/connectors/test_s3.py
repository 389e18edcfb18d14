"""Files in S3, against a server in this process."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Reply, StillClock, collected, connect, in_turn, serving
from fakes.s3 import client, s3_server

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Site
from base_ops.worker.connectors.s3 import S3Files
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(url: str) -> str:
    name = f"b{uuid.uuid4().hex}"
    client(url).create_bucket(Bucket=name)
    return name


def site(url: str, tmp_path: Path, pattern: str, **more: Any) -> Site:
    source = SourceSpec.model_validate({"id": "s", "files": {"path": f"s3://{pattern}"}, **more})
    found = ConnectionInfo(
        "store", login="test", password="test-secret", extra={"endpoint_url": url, "region_name": "us-east-1"}
    )
    return Site(source, tmp_path, found, clock=StillClock())


def fetch(where: Site, history: History | None = None) -> tuple[dict[str, bytes], Any]:
    taken: dict[str, bytes] = {}

    def keep(fetched: Fetched) -> None:
        taken[fetched.path] = fetched.local.read_bytes()

    return taken, S3Files(where).fetch(history or History(), keep)


def put(url: str, bucket: str, **objects: bytes) -> None:
    for key, body in objects.items():
        client(url).put_object(Bucket=bucket, Key=key, Body=body)


def test_matching_objects_are_fetched(url: str, bucket: str, tmp_path: Path) -> None:
    big = bytes(range(256)) * 80_000  # several ranges
    put(url, bucket, **{"d/EURUSD.csv": b"1", "d/EURGBP.csv": big, "d/USDJPY.csv": b"3", "d/sub/EURX.csv": b"4", "dd/EURY.csv": b"5", "d/EURZ.csv.part": b"6", "d/EUR0.csv": b""})  # fmt: skip
    taken, report = fetch(site(url, tmp_path, f"{bucket}/d/EUR{{quote}}.csv"))
    assert taken == {"EURUSD.csv": b"1", "EURGBP.csv": big}
    assert sorted(f.code for f in report.all_findings()) == ["empty_file", "temporary_file"]


def test_objects_below_folders(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{"a/b/c.csv": b"1", "a/d.csv": b"2", "a?versionId=1.csv": b"3"})
    assert fetch(site(url, tmp_path, f"{bucket}/**/*.csv"))[0] == {"a/b/c.csv": b"1", "a/d.csv": b"2", "a?versionId=1.csv": b"3"}  # fmt: skip
    assert fetch(site(url, tmp_path, f"{bucket}/"))[0].keys() == {"a/b/c.csv", "a/d.csv", "a?versionId=1.csv"}
    assert fetch(site(url, tmp_path, f"{bucket}/nothing/*.csv"))[0] == {}


def test_many_objects_at_once(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{f"{n}.csv": str(n).encode() for n in range(40)})
    assert fetch(site(url, tmp_path, f"{bucket}/*.csv"))[0] == {f"{n}.csv": str(n).encode() for n in range(40)}


def test_unchanged_objects_are_not_read_again(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{"a.csv": b"1", "b.csv": b"2"})
    objects: list[LandedObject] = []
    where = site(url, tmp_path, f"{bucket}/*.csv")
    S3Files(where).fetch(History(), lambda f: objects.append(LandedObject(path=f.path, stored="", sha256=f.sha256, bytes=f.bytes, etag=f.etag)))  # fmt: skip
    history = History([LandingEntry(sequence=1, source="s", objects=objects)])
    put(url, bucket, **{"b.csv": b"3"})
    taken, report = fetch(where, history)
    assert (taken, report.unchanged) == ({"b.csv": b"3"}, 1)


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_an_object_that_changes_after_it_was_listed_is_left(change: str, url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{"a.csv": b"1"})

    class Meddled(S3Files):
        def listed(self) -> list[Any]:
            listed = super().listed()
            if change == "replace":
                put(url, bucket, **{"a.csv": b"2"})
            else:
                client(url).delete_object(Bucket=bucket, Key="a.csv")
            return listed

    seen: list[Fetched] = []
    report = Meddled(site(url, tmp_path, f"{bucket}/*.csv")).fetch(History(), seen.append)
    assert seen == []
    assert [f.code for f in report.all_findings()] == ["changed_while_read"]
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_replaced_between_two_ranges_is_left(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{"a.csv": b"1" * (9 << 20)})

    class Meddled(S3Files):
        def _get(self, asked: dict[str, str]) -> bytes:
            body = super()._get(asked)
            put(url, bucket, **{"a.csv": b"2" * (9 << 20)})
            return body

    seen: list[Fetched] = []
    report = Meddled(site(url, tmp_path, f"{bucket}/*.csv")).fetch(History(), seen.append)
    assert seen == []
    assert [f.code for f in report.all_findings()] == ["changed_while_read"]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_one_ends_all(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{f"{n}.csv": b"1" for n in range(30)})
    failed, later = threading.Event(), []

    def keep(fetched: Fetched) -> None:
        if failed.is_set():
            later.append(fetched)
        failed.set()
        raise Transient("the lake is away", code="x")

    with pytest.raises(Transient):
        S3Files(site(url, tmp_path, f"{bucket}/*.csv")).fetch(History(), keep)
    assert len(later) < 29


@pytest.mark.parametrize(
    ("pattern", "more", "kind", "code"),
    [
        ("no-such-bucket/*.csv", {}, ConfigError, "no_such_bucket"),
        ("*.csv", {}, ConfigError, "bad_pattern"),
        ("{bucket}/*.csv", {"max_object_bytes": 1}, BadInput, "object_too_large"),
    ],
)
def test_refused(
    pattern: str, more: dict[str, Any], kind: type[BaseOpsError], code: str, url: str, bucket: str, tmp_path: Path
) -> None:
    put(url, bucket, **{"a.csv": b"12"})
    with pytest.raises(kind) as error:
        fetch(site(url, tmp_path, pattern.replace("{bucket}", bucket), **more))
    assert error.value.code == code


def test_nothing_answers(tmp_path: Path) -> None:
    where = site("http://127.0.0.1:1", tmp_path, "b/*.csv")
    with pytest.raises(Transient) as error:
        fetch(where)
    assert (error.value.code, error.value.found) == ("s3_failed", "EndpointConnectionError")
    assert len(where.clock.slept) == 3  # type: ignore[attr-defined]


def test_a_range_that_fails_is_asked_for_again(url: str, bucket: str, tmp_path: Path) -> None:
    put(url, bucket, **{"a.csv": b"1"})
    failures = [TimeoutError(), OSError(16, "slow down")]

    class Flaky(S3Files):
        def _get(self, asked: dict[str, str]) -> bytes:
            if failures:
                raise failures.pop()
            return super()._get(asked)

    seen: list[bytes] = []
    report = Flaky(site(url, tmp_path, f"{bucket}/*.csv")).fetch(History(), lambda f: seen.append(f.local.read_bytes()))
    assert seen == [b"1"]
    assert (report.requests, report.retries) == (4, 2)


def test_a_missing_library_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"base-ops\[s3\]"):
        S3Files(site("http://127.0.0.1:1", tmp_path, "b/*.csv"))


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (403, Denied, "forbidden"),
        (400, ConfigError, "s3_failed"),
        (503, Transient, "s3_failed"),
        (500, Transient, "s3_failed"),
    ],
)
def test_failures_are_told_apart(answer: int, kind: type[BaseOpsError], code: str, tmp_path: Path) -> None:
    with serving(in_turn(Reply(answer))) as server, pytest.raises(kind) as error:
        fetch(site(f"http://127.0.0.1:{server.port}", tmp_path, "b/*.csv"))
    assert error.value.code == code
    assert "connection store" in error.value.text() or kind is not Denied
    assert "test-secret" not in error.value.text()
    assert len(server.asked) == (4 if kind is Transient else 1)


def test_from_bucket_to_lake(url: str, bucket: str, tmp_path: Path) -> None:
    connect(
        tmp_path, "store", login="test", password="test-secret", extra={"endpoint_url": url, "region_name": "us-east-1"}
    )
    put(url, bucket, **{"2025/EURUSD.csv": b"1", "2025/USDJPY.csv": b"2"})
    source = {
        "id": "s",
        "connection": "store",
        "files": {"path": f"s3://{bucket}/{{year}}/{{symbol}}.csv"},
        "slice": "{symbol}",
    }
    output = collected(tmp_path, source)
    assert [(r.name, r.slice, Path(r.uri).read_bytes()) for r in output.outputs] == [
        ("2025/EURUSD.csv", "EURUSD", b"1"),
        ("2025/USDJPY.csv", "USDJPY", b"2"),
    ]
    assert collected(tmp_path, source).steps[0].observations["objects_new"] == 0
    assert "test-secret" not in "".join(f.read_text() for f in (tmp_path / "lake").rglob("*") if f.is_file())
