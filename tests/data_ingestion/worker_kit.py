"""Converter and merger through the worker's entry point, as an operator starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import load_settings
from base_ops.worker.main import run


def job(tmp_path: Path, agent: str, action: str, spec: dict[str, Any]) -> Result:
    """One job through the worker's entry point."""
    request = Request(
        steps=[StepRequest(agent=agent, action=action, spec=spec)],
        identity=Identity(attempt=uuid7()),
        lake_url=str(tmp_path / "lake"),
        result_uri=f"{tmp_path}/lake/runs/{uuid7()}.json",
    )
    result = run(request, load_settings())
    counts = result.counts
    # 7.15, in every Result of these tests
    assert counts.rows_in == counts.rows_out + counts.quarantined + counts.merged_away + sum(counts.dropped.values())
    return result


def convert(
    tmp_path: Path, name: str, data: bytes, read: dict[str, Any] | None = None, target: str = "out.parquet"
) -> Result:
    (tmp_path / name).write_bytes(data)
    spec = {"source": str(tmp_path / name), "target": str(tmp_path / target), "read": read or {}}
    return job(tmp_path, "data_ingestion.converter", "convert_to_standard_format", spec)


def merge(tmp_path: Path, frames: dict[str, pl.DataFrame], **spec: Any) -> pl.DataFrame:
    """The merged rows of one frame per source, without the columns that the merge adds."""
    for source, frame in frames.items():
        frame.write_parquet(tmp_path / f"{source}.parquet")
    inputs = {source: [str(tmp_path / f"{source}.parquet")] for source in frames}
    spec = {"dataset": "d", "inputs": inputs, "target": str(tmp_path / "merged"), **spec}
    result = job(tmp_path, "data_ingestion.merger", "merge_processed_files", spec)
    assert result.error is None, result.error
    rows = pl.read_parquet(tmp_path / "merged" / "part-0.parquet")
    return rows.select(name for name in rows.columns if not name.startswith("_"))
