"""`probe` of connectors of files: a look without a fetch."""

from __future__ import annotations

from pathlib import Path

from fakes.collecting import StillClock

from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.local import LocalFiles


def test_what_there_is_to_fetch(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt", "d.csv.part"):
        (tmp_path / name).write_bytes(b"123")
    source = SourceSpec.model_validate({"id": "s", "files": {"path": f"{tmp_path}/*.csv"}})
    assert LocalFiles(Site(source, tmp_path, clock=StillClock())).probe() == "2 files, 6 bytes"
