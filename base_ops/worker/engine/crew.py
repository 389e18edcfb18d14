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
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from base_ops.core.ids import canonical_json
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Request, Result
from base_ops.worker.context import Context

SMALL_BYTES = 16 << 20
"""A larger input keeps several cores busy by itself."""
ENOUGH = 16
"""Inputs to do before others are asked, and for each that is asked: a process costs half a second to start."""
_MOST = 8
_GRACE_S = 5.0
"""Between SIGTERM, at which a process removes its scratch files, and SIGKILL."""
_PROCESS_MB = 350
"""Memory that a process with small inputs is reckoned to need."""
_SILENT = {"BASE_LOG_LEVEL": "CRITICAL"}  # what cannot be used is told once, by the one that answers for it


def is_of_share(key: str, share: tuple[int, int]) -> bool:
    """Whether a commit key falls to share (number, of)."""
    return int(key[:8], 16) % share[1] == share[0]


def processes_for(small_inputs: int, cores: int, memory_limit_mb: int) -> int:
    """How many processes in all, this one counted."""
    return max(1, min(cores, small_inputs // ENOUGH, memory_limit_mb // _PROCESS_MB, _MOST))


@dataclass
class _Helper:
    """A process with a share, and what it reports."""

    process: subprocess.Popen[bytes]
    thread: threading.Thread
    said: list[bytes]


class Crew:
    """The processes that help this one; its own share is number 0. Leaving the context ends what still runs."""

    def __init__(self, ctx: Context, processes: int) -> None:
        self._ctx = ctx
        self.share = (0, processes)
        self._running: list[_Helper] = []

    def __enter__(self) -> Crew:
        for number in range(1, self.share[1]):
            try:
                self._running.append(self._start(number))
            except OSError as error:  # nobody does the shares that are left: they are done here at the end
                self._ctx.log.warning("No further process can be started: %s", error)
                break
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for helper in self._running:
            helper.process.terminate()
        for helper in self._running:
            try:
                helper.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                helper.process.kill()
                helper.process.wait()
            helper.thread.join()

    def wait(self) -> None:
        """Until all shares are done; what each of them took counts as this job's."""
        while self._running:
            helper = self._running[0]
            helper.thread.join()
            self._report(helper.process.wait(), helper.said[0])
            self._running.pop(0)

    def _report(self, code: int, said: bytes) -> None:
        try:
            result = Result.model_validate_json(said)
        except ValidationError:
            self._ctx.log.warning("A process with a share of the inputs ended early (%d); its share is done here", code)
            return
        self._ctx.shares.append(result)
        if result.error is not None and result.status is not Outcome.BAD_INPUT:  # which is told of each input
            self._ctx.log.warning("A share of the inputs failed, and is done here: %s", result.error.what)

    def _start(self, number: int) -> _Helper:
        request = self._ctx.request.model_copy(update={"share": (number, self.share[1]), "result_uri": None})
        given, taken = os.pipe(), os.pipe()
        command = [sys.executable, "-m", "base_ops.worker", "--request", "-"]
        try:
            process = subprocess.Popen(
                [*command, "--secrets-fd", str(given[0]), "--result-fd", str(taken[1])],
                env={**os.environ, **_SILENT, "POLARS_MAX_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(given[0], taken[1]),
            )
        except BaseException:
            os.close(given[1])
            os.close(taken[0])
            raise
        finally:
            os.close(given[0])
            os.close(taken[1])
        said = [b""]
        arguments = (process, given[1], taken[0], request, self._ctx.secrets.piped, said)
        thread = threading.Thread(target=_talk, args=arguments, name=f"share {number}", daemon=True)
        thread.start()
        return _Helper(process, thread, said)


def _talk(
    process: subprocess.Popen[bytes],
    secrets_pipe: int,
    result_pipe: int,
    request: Request,
    secrets: dict[str, Any],
    said: list[bytes],
) -> None:
    """Hand over secrets and Request, and listen; a process that died unread is no fault of ours."""
    assert process.stdin is not None
    with os.fdopen(result_pipe, "rb") as result:
        with suppress(BrokenPipeError), os.fdopen(secrets_pipe, "wb") as pipe:
            pipe.write(canonical_json(secrets).encode())
        with suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(request.model_dump_json().encode())
        said[0] = result.read()
