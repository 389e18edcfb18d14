"""The local runner's process: a worker in its own process group, its secrets in a pipe, its logs as they come."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, cast

from base_ops.core.ids import canonical_json

GRACE_S = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_MAX_LINE = 1 << 16
_POLL_S = 0.2

Log = Callable[[int, str], None]


class WorkerProcess:
    """One run of the worker.

    The secrets go through an inherited pipe: never on the command line, in the environment or in a file. The
    process leads its own group, so that `stop` reaches whatever it started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        secrets: Mapping[str, Any],
        log: Log,
        grace_s: float = GRACE_S,
    ) -> None:
        self._log = log
        self._grace_s = grace_s
        self._stopped = False
        read_end, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command, "--secrets-fd", str(read_end)],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(read_end,),
                start_new_session=True,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        self._threads = [
            threading.Thread(target=_feed, args=(write_end, canonical_json(secrets).encode()), daemon=True),
            threading.Thread(target=self._relay, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> int:
        """The return code, after all log lines. Whatever interrupts the wait also ends the process group."""
        try:
            # Short waits: a signal handler that calls `stop` must not find the wait holding Popen's lock.
            while True:
                try:
                    self._process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            self.stop()
            raise
        self._signal(signal.SIGKILL)  # left-overs of the group would hold the log pipe open
        for thread in self._threads:
            thread.join(GRACE_S)
        return self._process.returncode

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called: the run then counts as interrupted, whatever it returned."""
        return self._stopped

    def stop(self) -> None:
        """End the whole group: SIGTERM, after the grace SIGKILL. Safe inside a signal handler."""
        self._stopped = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._grace_s)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is gone
            os.killpg(self._process.pid, number)

    def _relay(self) -> None:
        with cast(IO[bytes], self._process.stderr) as lines:
            while raw := lines.readline(_MAX_LINE):
                level, text = read_line(raw.decode("utf-8", "replace").rstrip("\n"))
                if text:
                    self._log(level, text)


def read_line(line: str) -> tuple[int, str]:
    """(level, text) of one line of the worker's log; a line that is not JSON is passed on as a warning."""
    try:
        record = json.loads(line)
        level = logging.getLevelNamesMapping()[record.get("level", "INFO")]
        text = str(record["msg"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return logging.WARNING, line
    return level, f"{text}\n{record['error']}" if record.get("error") else text


def _feed(descriptor: int, data: bytes) -> None:
    """Write the secrets; a worker that died unread is no fault of ours."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)
