"""Tables on S3: conditional puts by delta-rs, data files by s3fs, options from the environment."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from threading import Thread

import polars as pl
import pytest
import s3fs

from base_ops.core.protocol import DataRef
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables import Rules, Tables, storage_options

RULES = Rules(("k",))


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        (None, {}),
        ("https://s3.example", {}),
        ("http://minio:9000", {"aws_endpoint_url": "http://minio:9000", "aws_allow_http": "true"}),
    ],
)
def test_plain_http_is_allowed_by_the_endpoint_itself(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, options: dict[str, str]
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert storage_options() == options


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    # a process of its own: some calls of delta-rs hold the GIL while they wait for an answer
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        endpoint = next(found[0] for line in server.stderr if (found := re.search(r"http://127[.0-9]+:[0-9]+", line)))
        Thread(target=server.stderr.read, daemon=True).start()
        _use(monkeypatch, endpoint)
        yield "s3://lake/base"
        s3fs.S3FileSystem.clear_instance_cache()
        server.kill()


def _use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("lake")


@pytest.mark.server
def test_a_table_on_s3(bucket: str) -> None:
    store = Store(bucket)
    tables = Tables(store, threads=1)

    def offer(commit: str, content: dict[int, str], number: int) -> str:
        path = f"staging/{commit}.parquet"
        with store.fs.open(store.uri(path), "wb") as file:
            pl.DataFrame({"k": list(content), "v": list(content.values())}).write_parquet(file)
        ref = DataRef(id=commit, kind="staging", uri=store.uri(path), slice="EUR/USD é")
        return tables.store_units("fx", [ref], RULES, commit, considered={"s": number}).outcome

    def rows(as_of: datetime | None = None) -> list[tuple[object, ...]]:
        return tables.read("fx", as_of).select("k", "v", "_slice").sort("k").collect().rows()

    assert offer("c1", {1: "a", 2: "b"}, 1) == "stored"
    first = tables.read("fx").select(pl.col("_known_from").max()).collect().item()
    assert offer("c2", {1: "A", 2: "b"}, 2) == "stored"
    assert offer("c2", {1: "A", 2: "b"}, 2) == "adopted"
    assert rows() == [(1, "A", "EUR/USD é"), (2, "b", "EUR/USD é")]
    assert rows(first) == [(1, "a", "EUR/USD é"), (2, "b", "EUR/USD é")]
    assert tables.consumed("fx") == {"s": 2}
    tables.open("fx").restore(0)
    assert tables.consumed("fx") == {"s": 1}
    why = tables.why("fx", {"k": 1})
    assert why is not None
    assert (why.commit, [ref.id for ref in why.inputs]) == ("c1", ["c1"])
