"""Start, correct and stop the sample market of a home folder."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from base_ops.core.errors import Transient
from base_ops.sample import market
from base_ops.sample.server import CORRECTED, write_private

_PATIENCE_S = 15.0
LATE_FILE = "NVDA.zip"
"""Of the bulk folder: only from the second start on it is whole."""


@dataclass(frozen=True)
class SampleServer:
    """A running API, and the folder of both vendors' files (drop/ is vendor B's)."""

    url: str
    pid: int
    folder: Path
    secure_url: str = ""
    """The same API over TLS 1.3; '' where the libraries for it are missing."""


def start(home: Path) -> SampleServer:
    """Write the files and connections, start the API unless it runs, and wait until it answers. Repeatable.

    Raises:
        Transient: the API did not come up; names its log.
    """
    home = home.absolute()
    folder = home / "sample"
    _write_drop(folder)
    _write_bulk(folder)
    for name in ("masking_key", "encryption_key"):
        key = home / "connections" / f"{name}.json"
        if not key.exists():  # kept, since the same key gives the same tokens
            write_private(key, {"conn_type": "generic", "password": secrets.token_urlsafe(32)})
    command = [sys.executable, "-m", "base_ops.sample", str(home)]
    with (folder / "server.log").open("ab") as log:
        subprocess.run(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
    if not _wait(lambda: _answers(folder)):
        raise Transient("The sample API did not start", code="sample_down", where=str(folder / "server.log"))
    return _read(folder)


def correct(home: Path) -> None:
    """From now on both vendors send their later corrections: new records, and new files of the same names."""
    folder = home.absolute() / "sample"
    (folder / CORRECTED).touch()
    _write_drop(folder)


def stop(home: Path) -> bool:
    """Stop the API of this home; False where none runs. Files and connections stay."""
    folder = home.absolute() / "sample"
    if not _is_held(folder) or not _wait(lambda: (folder / "server.json").exists() or not _is_held(folder)):
        return False
    try:
        os.kill(_read(folder).pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):  # it ended by itself meanwhile
        return False
    return _wait(lambda: not _is_held(folder))


def _write_drop(folder: Path) -> None:
    """Only files that differ are written, each at once."""
    drop = folder / "drop"
    drop.mkdir(parents=True, exist_ok=True)
    for name, data in market.drop_files(later=(folder / CORRECTED).exists()).items():
        if not (drop / name).exists() or (drop / name).read_bytes() != data:
            fresh = drop / f"{name}.{os.getpid()}.part"
            fresh.write_bytes(data)
            fresh.replace(drop / name)


def _write_bulk(folder: Path) -> None:
    """Vendor B's files once more, for bulk loads; one comes late: it is still being written at the first start."""
    bulk = folder / "bulk"
    first = not bulk.exists()
    bulk.mkdir(parents=True, exist_ok=True)
    for name, data in market.drop_files().items():
        if first and name == LATE_FILE:
            (bulk / f"{name}.part").write_bytes(data[: len(data) // 2])
        elif not (bulk / name).exists():
            (bulk / f"{name}.tmp").write_bytes(data)
            (bulk / f"{name}.tmp").replace(bulk / name)
            (bulk / f"{name}.part").unlink(missing_ok=True)


def _read(folder: Path) -> SampleServer:
    found = json.loads((folder / "server.json").read_text())
    return SampleServer(found["url"], found["pid"], folder, found.get("secure_url", ""))


def _answers(folder: Path) -> bool:
    """Whether the process that server.json names answers at its address."""
    try:
        server = _read(folder)
        with urllib.request.urlopen(f"{server.url}/health", timeout=2) as answer:  # noqa: S310 - loopback
            return bool(json.load(answer)["pid"] == server.pid)
    except (OSError, ValueError):
        return False


def _is_held(folder: Path) -> bool:
    """Whether a server lives: it holds its lock as long as it does, so a stale process id is never trusted."""
    try:
        with (folder / "server.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wait(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
