"""Many small inputs: other processes take their shares of them, so that all cores have work.

A small file cannot be split, and most of its time goes into finding out what it is, in Python, where threads would
wait for each other. Each process is a worker with the same Request that works on its share of the commit keys alone
and publishes it. The one that answers for the job does its own share, waits, and then finds the others' published; what
a process that died has not published is done here after all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

from base_ops.core.ids import canonical_json
from base_ops.core.protocol import Request, Result
from base_ops.worker.context import Context

SMALL_BYTES = 16 << 20
"""A larger input keeps several cores busy by itself."""
ENOUGH = 16
"""Inputs to do before others are asked, and for each that is asked: a process costs half a second to start."""
_MOST = 8
_PROCESS_MB = 350
"""Memory that a process with small inputs is reckoned to need."""
_SILENT = {"BASE_LOG_LEVEL": "CRITICAL"}  # what cannot be used is told once, by the one that answers for it


def is_of_share(key: str, share: tuple[int, int]) -> bool:
    """Whether a commit key falls to share (number, of)."""
    return int(key[:8], 16) % share[1] == share[0]


def processes_for(small_inputs: int, cores: int, memory_limit_mb: int) -> int:
    """How many processes in all, this one counted."""
    return max(1, min(cores, small_inputs // ENOUGH, memory_limit_mb // _PROCESS_MB, _MOST))


class Crew:
    """The processes that help this one; its own share is number 0. Leaving the context ends what still runs."""

    def __init__(self, ctx: Context, processes: int) -> None:
        self._ctx = ctx
        self.share = (0, processes)
        self._running: list[tuple[subprocess.Popen[bytes], threading.Thread, list[bytes]]] = []

    def __enter__(self) -> Crew:
        for number in range(1, self.share[1]):
            self._running.append(self._start(number))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for process, reader, _ in self._running:
            process.kill()
            process.wait()
            reader.join()

    def wait(self) -> None:
        """Until all shares are done; what each of them took counts as this job's."""
        for process, reader, said in self._running:
            reader.join()
            if process.wait() < 0:
                self._ctx.log.warning("A process with a share of the inputs died; its share is done here")
            if said[0]:
                self._ctx.shares.append(Result.model_validate_json(said[0]))
        self._running.clear()

    def _start(self, number: int) -> tuple[subprocess.Popen[bytes], threading.Thread, list[bytes]]:
        request = self._ctx.request.model_copy(update={"share": (number, self.share[1]), "result_uri": None})
        read_end, write_end = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "base_ops.worker", "--request", "-", "--secrets-fd", str(read_end)],
                env={**os.environ, **_SILENT, "POLARS_MAX_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(read_end,),
            )
        finally:
            os.close(read_end)
        said = [b""]
        arguments = (process, write_end, request, self._ctx.secrets.piped, said)
        thread = threading.Thread(target=_talk, args=arguments, name=f"share {number}", daemon=True)
        thread.start()
        return process, thread, said


def _talk(
    process: subprocess.Popen[bytes], pipe: int, request: Request, secrets: dict[str, Any], said: list[bytes]
) -> None:
    """Hand over secrets and Request, and listen; a process that died unread is no fault of ours."""
    try:
        with os.fdopen(pipe, "wb") as file:
            file.write(canonical_json(secrets).encode())
    except BrokenPipeError:
        pass
    said[0] = process.communicate(request.model_dump_json().encode())[0]
