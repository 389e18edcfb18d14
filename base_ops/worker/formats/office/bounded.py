"""Work on hostile files in a process of its own, bounded in memory and time; it speaks in lines of JSON.

Native code may crash and a page may take forever: that must cost one page, never the worker. The process runs a script
and not a module, lest it import the worker.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEMORY_BYTES = 3 << 29
_MAX_LINE_BYTES = 64 << 20
_START_S = 20.0
"""Added to the time of the first line: the process starts, and imports what it needs."""


class Stopped(Exception):
    """The process gave up or was ended: `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def limit_memory() -> None:
    """Called first by the process itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(message: dict[str, Any]) -> None:
    """Called by the process: one answer."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answers(script: Path, arguments: dict[str, Any], timeout_s: float) -> Iterator[dict[str, Any]]:
    """What a script says of its arguments, one answer within every `timeout_s`.

    Raises:
        Stopped: no answer in time, or the process ended with an error.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-P", str(script), json.dumps(arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        deadline = time.monotonic() + timeout_s + _START_S
        for line in _lines(process, deadline, timeout_s):
            yield json.loads(line)
        if process.wait(timeout=10) != 0:
            raise Stopped("it crashed, or took more memory than is allowed")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[bytes], deadline: float, timeout_s: float) -> Iterator[bytes]:
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise Stopped(f"it took more than {timeout_s:g} s")
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                raise Stopped(f"it holds more than {_MAX_LINE_BYTES} bytes of text")
            if lines:
                deadline = time.monotonic() + timeout_s
            yield from lines
