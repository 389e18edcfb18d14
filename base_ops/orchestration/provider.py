"""Airflow's view of base_ops as a provider: connection types with a working `Test connection`, and operator links.

Found through the entry point `apache_airflow_provider`. Importing this module imports no heavy library: the connection
is tried by the worker's own code in a process of its own, as a job would.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from base_ops import __version__


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks a provider package for."""
    here = "base_ops.orchestration.provider"
    return {
        "package-name": "base-ops",
        "name": "base_ops",
        "description": "YAML in, dependable data pipelines on Apache Airflow out.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "base_ops",
                "hook-class-name": f"{here}.SourceHook",
                "hook-name": "base_ops source",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"login": "Login, client id or key id", "password": "Password, secret or key"},
                    "placeholders": {"host": "api.example.com"},
                },
            }
        ],
        "extra-links": [f"{here}.ResultLink"],
    }


# Behind the function, which Airflow asks for while it is imported, if this module is what imports it.
from airflow.sdk import BaseHook, BaseOperatorLink  # noqa: E402

from base_ops.core.settings import load_settings, worker_environment  # noqa: E402

_TRY_S = 60


class SourceHook(BaseHook):
    """A connection to a source: host, login, password, and what its authentication template wants in `extra`.

    For the test, `extra` may hold `authentication` (a template and what differs; sources say it in their YAML) and
    `connector` (sftp, kafka, …) where neither template nor type tells what is to be logged in to; else it is HTTP.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "base_ops_default"
    conn_type = "base_ops"
    hook_name = "base_ops source"

    def __init__(self, conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id

    def get_conn(self) -> Any:
        """The connection as Airflow has it."""
        return self.get_connection(self.conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Resolve, connect and authenticate; (whether it stands, what was seen)."""
        connection = self.get_conn()
        fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
        told = {field: getattr(connection, field) for field in fields}
        settings = load_settings()
        try:
            done = subprocess.run(
                [settings.worker_python or sys.executable, "-m", "base_ops.worker.connections"],
                input=json.dumps({"name": self.conn_id, **told}),
                env=worker_environment(),
                capture_output=True,
                text=True,
                timeout=_TRY_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False, f"nobody answered within {_TRY_S} s: see that host and port are right and let us through"
        try:
            answer = json.loads(done.stdout.splitlines()[-1])
            return bool(answer["ok"]), str(answer["told"])
        except (ValueError, IndexError, KeyError):
            return False, f"the test ended with exit code {done.returncode}"


class ResultLink(BaseOperatorLink):
    """From a task to where its Result lies."""

    name = "Result"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The Result's URI, where the task has left one."""
        from airflow.sdk.execution_time.xcom import XCom

        value = XCom.get_value(key="return_value", ti_key=ti_key)
        return str(value.get("result_uri", "")) if isinstance(value, dict) else ""
