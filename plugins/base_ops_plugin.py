"""The Airflow plugin of base_ops: metrics of whole workflows, by a listener."""

from airflow.plugins_manager import AirflowPlugin

from base_ops.orchestration import listener


class BaseOpsPlugin(AirflowPlugin):
    """Registers the listener; the operators need no plugin."""

    name = "base_ops"
    listeners = [listener]  # noqa: RUF012 - Airflow reads a plain class attribute
