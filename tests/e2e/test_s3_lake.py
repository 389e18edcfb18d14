"""The whole pipeline on an object store: the same rows as on a local folder, published once."""

from __future__ import annotations

from pathlib import Path

import pytest
import s3fs
from chaos.world import World
from fakes.s3 import client, s3_server

from base_ops.worker.lake import Store
from base_ops.worker.lake.tables import Tables

pytestmark = pytest.mark.server


def rows(store: Store) -> list[tuple[object, ...]]:
    frame = Tables(store).read("d").collect()
    return sorted(frame.select(c for c in frame.columns if not c.startswith("_")).rows())


def test_the_pipeline_runs_on_s3_as_it_does_locally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = World(tmp_path / "in", tmp_path / "lake")
    local.write_inputs()
    local.run_all()
    with s3_server() as url:
        client(url).create_bucket(Bucket="lake")
        access = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        remote = World(tmp_path / "in", tmp_path / "unused", lake_url="s3://lake/base", environment=access)
        first = remote.run_all()
        s3fs.S3FileSystem.clear_instance_cache()  # else a file system that talks to another test's server
        store = Store("s3://lake/base")
        assert rows(store) == local.table()
        assert first["store"].outputs[0].version == 0
        again = remote.run_all()
        assert rows(store) == local.table()
        assert not again["merge"].outputs and again["store"].outputs[0].version == 0
        assert len(store.list("landing/a/_log")) == 1
    assert not (tmp_path / "unused").exists()
