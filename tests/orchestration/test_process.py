"""The worker's process: logs as they come, secrets through the pipe, and nothing left behind."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from processes import is_gone

from base_ops.orchestration.process import WorkerProcess, read_line

ROOT = Path(__file__).parent.parent.parent


def start(code: str, log: list[tuple[int, str]], secrets: Mapping[str, Any] | None = None) -> WorkerProcess:
    return WorkerProcess(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]},
        secrets=secrets or {},
        log=lambda level, text: log.append((level, text)),
        grace_s=0.2,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level": "ERROR", "msg": "no"}', (logging.ERROR, "no")),
        ('{"msg": "plain"}', (logging.INFO, "plain")),
        ('{"level": "ERROR", "msg": "no", "error": "Traceback …"}', (logging.ERROR, "no\nTraceback …")),
        ("Traceback (most recent call last):", (logging.WARNING, "Traceback (most recent call last):")),
        ('{"level": "SHOUT", "msg": "x"}', (logging.WARNING, '{"level": "SHOUT", "msg": "x"}')),
        ("[1, 2]", (logging.WARNING, "[1, 2]")),
        ('{"level": ["ERROR"], "msg": "x"}', (logging.WARNING, '{"level": ["ERROR"], "msg": "x"}')),
        ("{", (logging.WARNING, "{")),
    ],
)
def test_lines_of_the_log(line: str, expected: tuple[int, str]) -> None:
    assert read_line(line) == expected


def test_all_lines_arrive_in_order_before_wait_returns() -> None:
    log: list[tuple[int, str]] = []
    code = "import sys\nfor n in range(500): print(n, file=sys.stderr)\nprint('on stdout')\nsys.exit(3)"
    assert start(code, log).wait() == 3
    assert [text for _, text in log] == [str(n) for n in range(500)]


def test_secrets_larger_than_a_pipe_and_a_worker_that_never_reads() -> None:
    big = {"vendor": {"password": "x" * 300_000}}
    log: list[tuple[int, str]] = []
    read = "import os,sys,json; d=json.load(os.fdopen(int(sys.argv[2]))); print(len(d['vendor']['password']),file=sys.stderr)"
    assert start(read, log, big).wait() == 0
    assert log == [(logging.WARNING, "300000")]
    assert start("pass", log, big).wait() == 0


def test_left_overs_of_the_group_are_ended_with_the_worker() -> None:
    log: list[tuple[int, str]] = []
    code = (
        "import subprocess,sys\n"
        "child=subprocess.Popen([sys.executable,'-c','import signal; signal.pause()'])\n"
        "print(child.pid,file=sys.stderr)"
    )
    assert start(code, log).wait() == 0
    child = int(log[0][1])
    assert is_gone(child)


def test_stop_ends_a_worker_that_ignores_sigterm() -> None:
    log: list[tuple[int, str]] = []
    process = start("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()", log)
    process.stop()
    assert process.wait() in (-signal.SIGKILL, -signal.SIGTERM)
    assert process.stopped


def test_a_command_that_cannot_start_leaks_nothing() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        WorkerProcess(["/no/such/python"], env={}, secrets={}, log=lambda *_: None)
    assert set(Path("/proc/self/fd").iterdir()) == before


TASK = """
import signal, sys
from base_ops.orchestration.process import WorkerProcess
process = WorkerProcess(
    [sys.executable, "-c", "import os,signal,sys; print(os.getpid(),file=sys.stderr,flush=True); signal.pause()"],
    env={}, secrets={}, log=lambda level, text: print(text, flush=True), grace_s=2)
signal.signal(signal.SIGTERM, lambda *_: process.stop())  # as Airflow's task runner calls on_kill
code = process.wait()
print("stopped" if process.stopped else "ended", code, flush=True)
"""


def test_a_task_process_that_gets_sigterm_takes_its_worker_along() -> None:
    task = subprocess.Popen(
        [sys.executable, "-c", TASK], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert task.stdout is not None
    with task.stdout as lines:
        worker = int(lines.readline())
        task.send_signal(signal.SIGTERM)
        assert lines.readline().split() == ["stopped", str(-signal.SIGTERM)]
    assert task.wait() == 0
    assert is_gone(worker)


def test_secrets_are_not_on_the_command_line() -> None:
    log: list[tuple[int, str]] = []
    code = (
        "import os,sys,json; print(json.dumps([open('/proc/self/cmdline').read(), dict(os.environ)]),file=sys.stderr)"
    )
    assert start(code, log, {"v": {"password": "hunter2"}}).wait() == 0
    assert "--secrets-fd" in json.loads(log[0][1])[0]
    assert "hunter2" not in log[0][1]
