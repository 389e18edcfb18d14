"""What one worker collects and converts in a second, beside what a whole platform must move in an hour.

Sources are local: a web server in a process of its own, and a folder. All are whole worker processes, start-up, hashes,
landing log and manifest included.
"""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base_ops.bench.measure import run_once, worker
from base_ops.core.ids import uuid7
from base_ops.core.protocol import StepRequest

MB = 1_000_000
COLLECT_MB_S = 27.8
"""100 GB an hour."""
CONVERT_MB_S = 13.9
"""50 GB an hour."""
BULK_FILES, BULK_S = 1000, 6 * 3600 / 100
"""1000 files of 100 GB in 6 h, scaled 1:100: files of 1 MB."""


def collected_mb_s(folder: Path, size_bytes: int) -> dict[str, float]:
    """MB/s of one worker, by the kind of source."""
    big = folder / "collect" / "big.bin"
    big.parent.mkdir(parents=True, exist_ok=True)
    if not big.exists() or big.stat().st_size != size_bytes:
        with big.open("wb") as file:
            file.truncate(size_bytes)
    found = {"a folder": _mb_s(folder, {"files": {"path": str(big)}}, size_bytes)}
    with _web_server(big.parent) as url:
        found["HTTP"] = _mb_s(folder, {"http": {"path": f"{url}/big.bin", "rate": None}}, size_bytes)
    return found


def workers_for(mb_s: float) -> int:
    """How many of such workers collect 100 GB an hour."""
    return math.ceil(COLLECT_MB_S / mb_s)


def bulk_seconds(folder: Path, files: int = BULK_FILES, size_bytes: int = MB) -> tuple[float, float]:
    """Seconds in which one worker collects so many CSV files of a folder, and in which another converts them."""
    drop = folder / f"drop-{files}-{size_bytes}"
    line = b"%06d,2024-01-02,101.25,AAPL,some text that fills the line\n"
    if not drop.exists():
        drop.mkdir(parents=True)
        body = b"".join(line % n for n in range(size_bytes // len(line % 0)))
        for number in range(files):  # which differ from their first line on: the same bytes are looked at once
            (drop / f"{number:05d}.csv").write_bytes(b"id,day,price,symbol,note\n" + line % number + body)
    lake = _lake(folder)
    source = {"id": "bench", "mode": "append", "files": {"path": f"{drop}/*.csv"}}
    collect = {"source": source, "dataset": "bench"}
    convert = {"source": source, "target": "staging:bench"}
    return (
        _run(folder, lake, "data_ingestion.collector", "collect_data_from_source", collect),
        _run(folder, lake, "data_ingestion.converter", "convert_to_standard_format", convert),
    )


def _mb_s(folder: Path, kind: dict[str, Any], size_bytes: int) -> float:
    source = {"id": "bench", "mode": "append", **kind}
    spec = {"source": source, "dataset": "bench"}
    return size_bytes / MB / _run(folder, _lake(folder), "data_ingestion.collector", "collect_data_from_source", spec)


def _lake(folder: Path) -> Path:
    lake = folder / "out" / uuid7()
    lake.mkdir(parents=True)
    return lake


def _run(folder: Path, lake: Path, agent: str, action: str, spec: dict[str, Any]) -> float:
    """Seconds of a worker process."""
    step = StepRequest(agent=agent, action=action, spec=spec)
    return run_once(worker(folder, "throughput", [step], lake=lake)).seconds


@contextmanager
def _web_server(folder: Path) -> Iterator[str]:
    """Serves a folder from a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
