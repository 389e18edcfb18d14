"""The lake on S3: the operations that everything is built on, and the collector on top."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.collecting import collected, context
from fakes.s3 import client, s3_server

from base_ops.core.errors import ConfigError
from base_ops.worker.lake.store import Store

pytestmark = pytest.mark.server


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    import s3fs

    with s3_server() as url:
        client(url).create_bucket(Bucket="lake")
        names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        for name, value in zip(names, (url, "test", "test", "us-east-1"), strict=True):
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield Store("s3://lake/base")
        s3fs.S3FileSystem.clear_instance_cache()


def test_one_of_many_creates(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.create("x/_manifest.json", str(n).encode()), range(16)))
    assert won.count(True) == 1
    assert store.read_bytes("x/_manifest.json") == str(won.index(True)).encode()


def test_a_store_with_conditional_puts_is_accepted(store: Store) -> None:
    store.check_conditional_create()
    assert store.list("_probe") == []


def test_a_store_that_ignores_the_condition_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = store.fs.pipe_file
    monkeypatch.setattr(store.fs, "pipe_file", lambda path, data, mode="overwrite": pipe(path, data))
    with pytest.raises(ConfigError) as error:
        store.check_conditional_create()
    assert error.value.code == "no_conditional_put"


def test_put_list_read_remove(store: Store, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"abc")
    store.put(tmp_path / "part", "d/1/part")
    store.write("d/b.json", b"{}")
    store.write("d/a.json", b"[1]")
    assert not (tmp_path / "part").exists()
    assert store.list("d") == ["d/a.json", "d/b.json"]
    assert store.folders("d") == ["1"]
    assert (store.list("nothing"), store.folders("nothing")) == ([], [])
    assert (store.read_json("d/a.json"), store.try_read_json("d/c.json")) == ([1], None)
    assert (store.exists("d/1/part"), store.exists("d/2")) == (True, False)
    with store.as_local("d/1/part", tmp_path) as local:
        assert local.read_bytes() == b"abc"
    with store.open("d/1/part") as file:
        assert (file.seek(1), file.read()) == (1, b"bc")
    store.remove_tree("d")
    assert store.list("d") == []


def test_collecting_into_a_lake_on_s3(store: Store, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    source = {"id": "s", "files": {"path": f"{tmp_path}/drop/{{symbol}}.csv"}}
    for number in range(3):
        (tmp_path / "drop" / f"{number}.csv").write_bytes(str(number).encode())
        output = collected(tmp_path, source, ctx=context(tmp_path, lake_url=store.url))
        assert output.steps[0].observations["objects_new"] == 1
    assert [store.read_bytes(store.path_of(r.uri)) for r in output.outputs] == [b"0", b"1", b"2"]
    assert [r.sequence for r in output.outputs] == [1, 2, 3]
    assert len(store.list("landing/s/_log")) == 3
