"""Merging frames as a job merges files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.merge import CONFLICTS, PART, Merged, SourceFile, merge

MergeFrames = Callable[..., tuple[pl.DataFrame, pl.DataFrame, Merged]]


@pytest.fixture
def merge_frames(tmp_path: Path) -> MergeFrames:
    """Merge {source: frame} (in order of arrival): merged rows, conflicts, account."""
    return merging(tmp_path)


def merging(tmp_path: Path) -> MergeFrames:
    """`merge_frames` in a folder."""

    def run(frames: dict[str, pl.DataFrame], sensitive: tuple[str, ...] = (), **spec: Any):
        made = MergerSpec.model_validate({"dataset": "d", "key": ["k"], **spec})
        inputs = []
        for number, (source, frame) in enumerate(frames.items()):
            path = tmp_path / f"in {number}'.parquet"
            frame.write_parquet(path)
            inputs.append(SourceFile(source, path, uri=f"object-{source}", id=str(number), sequence=number))
        quarantine = Quarantine(Store(str(tmp_path)), "quarantine", tmp_path, sensitive)
        done = merge(inputs, made, tmp_path, quarantine, sensitive=sensitive)
        quarantine.finish()
        merged, log = (pl.read_parquet(tmp_path / name, memory_map=False) for name in (PART, CONFLICTS))
        return merged, log, done

    return run
