"""The local runner: the job is a subprocess of the task. Same arguments and Results as in a pod."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.log import mask_secret

from base_ops.core.errors import BaseOpsError
from base_ops.core.outcomes import outcome_of_exit
from base_ops.core.protocol import Request
from base_ops.core.settings import load_settings, worker_environment
from base_ops.orchestration.agent import AgentMixin
from base_ops.orchestration.errors import JobTransient
from base_ops.orchestration.process import GRACE_S, WorkerProcess

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class LocalAgentOperator(AgentMixin, BaseOperator):
    """Runs an agent as a subprocess (`BASE_RUNNER=local`)."""

    worker_command: Sequence[str] = ("-m", "base_ops.worker")
    """What follows the interpreter; tests put their own worker here."""
    grace_s: float = GRACE_S
    """Seconds a job that is to end has before it is killed."""
    _process: WorkerProcess | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job and return references to its Result (the XCom value)."""
        try:
            request = self.build_request(context)
            where = self.store_request(request)
        except BaseOpsError as error:
            raise self.fail_early(error, context) from None
        returncode = self._run(where, request)
        return self.finish(
            context, str(request.result_uri), request.identity.attempt, outcome_of_exit(returncode), _how(returncode)
        )

    def on_kill(self) -> None:
        """Called on SIGTERM, a time-out, or when the task is marked in the UI: end the job's process group."""
        if self._process is not None:
            self._process.stop()

    def _run(self, where: str, request: Request) -> int:
        settings = load_settings()
        self._process = WorkerProcess(
            [settings.worker_python or sys.executable, *self.worker_command, "--request", where],
            env=worker_environment(),
            secrets=resolve_connections(request.connections),
            log=lambda level, text: self.log.log(level, text),
            grace_s=self.grace_s,
        )
        returncode = self._process.wait()
        if self._process.stopped:
            raise JobTransient(f"{self.task_id}: the job was interrupted and its processes ended; a retry resumes it.")
        return returncode


def resolve_connections(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Airflow connections by name, their secrets registered for masking.

    One that Airflow does not know is left to the worker, which looks in its own folder and names all places.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            connection = BaseHook.get_connection(name)
        except AirflowException:
            continue
        for secret in (connection.password, *_texts(connection.extra_dejson)):
            if secret:
                mask_secret(secret)
        fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
        found[name] = {field: getattr(connection, field) for field in fields}
    return found


def _texts(value: Any) -> list[str]:
    """All texts inside a connection's extra that are long enough to be a secret."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and len(value) >= 8 else []


def _how(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
