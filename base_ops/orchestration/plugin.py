"""The Airflow plugin of base_ops: metrics of whole workflows, by a listener, and the timetable of its schedules.

The installed package registers it by its entry point in the group `airflow.plugins`: no folder has to be set.
"""

from airflow.plugins_manager import AirflowPlugin

from base_ops.orchestration import disabling, listener, pools, timeouts
from base_ops.orchestration.timetables import ScheduleTimetable


class BaseOpsPlugin(AirflowPlugin):
    """Registers listener and timetable; the operators need no plugin."""

    name = "base_ops"
    listeners = [listener, disabling, timeouts, pools]  # noqa: RUF012 - Airflow reads a plain class attribute
    timetables = [ScheduleTimetable]  # noqa: RUF012
