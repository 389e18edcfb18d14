"""Airflow's processes, each one that can be killed: forked from a server that has no threads and Airflow loaded.

A fork of the test process itself would inherit the locks of threads that it does not have, and sometimes hang.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fakes.kubernetes_tasks import shorten_retries

_SECONDS = 180
_LOADED = ["base_ops.orchestration.kubernetes.operator", "base_ops.orchestration.publish", "base_ops.state", "s3fs"]


class TaskProcess:
    """A process that does one piece of work; what came of it is `{}` if it was killed."""

    def __init__(self, folder: Path, work: Callable[..., Any], *arguments: Any) -> None:
        self._out = folder / f"{uuid4()}.out"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LOADED)
        self._process = context.Process(target=_do, args=(dict(os.environ), self._out, work, arguments), daemon=True)
        self._process.start()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> dict[str, Any]:
        """Wait for it: {"value": …}, {"deferred": [path, arguments]}, {"error": …, "retry": bool} or {}."""
        self._process.join(_SECONDS)
        if self._process.is_alive():
            self.kill()
            raise AssertionError(f"a task's process did not end within {_SECONDS} s")
        self._process.close()
        return dict(json.loads(self._out.read_text())) if self._out.exists() else {}


def _do(environment: dict[str, str], out: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    shorten_retries(pytest.MonkeyPatch())
    draft = out.with_suffix(".draft")
    draft.write_text(json.dumps(_told(work, arguments)))
    draft.rename(out)


def _told(work: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

    try:
        return {"value": work(*arguments)}
    except TaskDeferred as deferred:
        return {"deferred": deferred.trigger.serialize()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "retry": not isinstance(error, AirflowFailException)}
