"""How many requests one worker has under way at once, and how fast it downloads, against a server beside it.

The server answers no request before all `connections` are under way: if the worker could not have so many open at
once, the measurement would not end but with an error.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_WAIT_S = 60.0


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    connections: int
    most_at_once: int
    """Requests that the server saw under way at the same moment."""
    seconds: float
    bytes: int
    peak_mb: float


def measure(connections: int = 1000, body_bytes: int = 10_000) -> Measured:
    """Fetch one object over each of so many connections at once, through the connector that ships."""
    from base_ops.data_ingestion.options.sources.source import SourceSpec
    from base_ops.worker.connectors.base import Fetched, Site
    from base_ops.worker.connectors.http import HttpSource
    from base_ops.worker.lake.landing import History

    fetched: list[Fetched] = []
    with _enough_files(4 * connections + 100), _server(connections, body_bytes) as server:
        source = SourceSpec.model_validate(
            {
                "id": "bench",
                "http": {
                    "path": f"http://127.0.0.1:{server.port}/object",
                    "each": {"n": [str(n) for n in range(connections)]},
                    "connections": connections,
                    "rate": None,
                    "tries": 1,
                    "timeout_s": _WAIT_S,
                },
            }
        )
        with tempfile.TemporaryDirectory() as scratch:
            began = time.perf_counter()
            HttpSource(Site(source, Path(scratch))).fetch(History(), fetched.append)
            seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(connections, server.most, seconds, sum(f.bytes for f in fetched), peak_mb)


@dataclass
class _Server:
    """Holds requests back until enough are under way."""

    enough: int
    body: bytes
    port: int = 0
    most: int = 0
    _under_way: int = 0
    _all_here: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        if self._under_way >= self.enough:
            self._all_here.set()
        await asyncio.wait_for(self._all_here.wait(), _WAIT_S)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(self.body) + self.body)
        await writer.drain()
        self._under_way -= 1
        writer.close()


@contextmanager
def _server(connections: int, body_bytes: int) -> Iterator[_Server]:
    served, loop = _Server(connections, b"x" * body_bytes), asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(served.answer, "127.0.0.1", 0, backlog=connections))
    served.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        listening.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _enough_files(wanted: int) -> Iterator[None]:
    """Both ends of each connection are open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
