"""ScheduleTimetable: schedules by the clock (market hours, cron with maintenance, intervals) as an Airflow timetable.

Its moments come from base_ops/calendars/recurrence.py; the calendars are data files, so that neither the parsing of
DAG files nor the scheduler imports pandas. Registered by the plugin (plugin.py), else no DAG that uses it can be
serialised. The data interval of a run reaches from the moment before to its own, so that a backfill knows its window.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from airflow.exceptions import AirflowTimetableInvalid
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from pendulum import DateTime, instance

from base_ops.calendars.recurrence import Recurrence, last_vouched, recurrence
from base_ops.core.errors import BaseOpsError
from base_ops.data_ingestion.options.schedules import CronSchedule, MarketSchedule, TimeSchedule, parse_when

_MOMENT = timedelta(microseconds=1)


class ScheduleTimetable(Timetable):
    """Runs at the moments of a schedule; serialised as its YAML form."""

    def __init__(self, when: TimeSchedule) -> None:
        self.when = when
        self.description = describe(when)

    def serialize(self) -> dict[str, Any]:
        return {"when": self.when.model_dump(mode="json", exclude_unset=True)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        when = parse_when(data["when"])
        assert isinstance(when, TimeSchedule)
        return cls(when)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScheduleTimetable) and self.when == other.when

    def __hash__(self) -> int:
        return hash(self.description)

    @property
    def summary(self) -> str:
        return self.description

    @property
    def moments(self) -> Recurrence:
        """Raises: ConfigError for an unknown calendar."""
        return recurrence(self.when)

    def validate(self) -> None:
        """Refuse at parse what would never run: an unknown calendar, or one whose file has run out."""
        try:
            next(self.moments.after(datetime.now(UTC)))
        except BaseOpsError as error:
            raise AirflowTimetableInvalid(error.text()) from None

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Of a run by hand: the latest interval that is over."""
        end, start = islice(self.moments.until(_plain(run_after)), 2)
        return DataInterval(instance(start), instance(end))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        at = self._next(last_automated_data_interval, restriction)
        if at is None or (restriction.latest is not None and at > restriction.latest):
            return None
        return DagRunInfo.interval(instance(self._before(at)), instance(at))

    def _next(self, last: DataInterval | None, restriction: TimeRestriction) -> datetime | None:
        """As Airflow's own triggers: without catch-up, missed runs are left out but for the latest."""
        begin: list[datetime] = []
        if last is not None:
            begin.append(_plain(last.end))
        elif restriction.earliest is not None:
            begin.append(_plain(restriction.earliest) - _MOMENT)  # a run may be at the start itself
        if not restriction.catchup:
            begin.append(next(self.moments.until(datetime.now(UTC))) - _MOMENT)
        return next(self.moments.after(max(begin))) if begin else None

    def _before(self, at: datetime) -> datetime:
        """The moment before; where the calendar does not reach further back, the moment itself."""
        earlier: Iterator[datetime] = self.moments.until(at - _MOMENT)
        try:
            return next(earlier)
        except BaseOpsError:
            return at


def _plain(moment: datetime) -> datetime:
    """Airflow's moments are pendulum's, whose differences do not divide by those of the standard library."""
    utc = moment.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time(), UTC)


def describe(when: TimeSchedule) -> str:
    """One line for people."""
    if isinstance(when, MarketSchedule):
        how = f"every {when.every} from {when.start} to {when.end}" if when.every else " and ".join(when.at)
        text = f"{when.market}: {how}"
    elif isinstance(when, CronSchedule):
        text = f"{when.cron} {when.timezone}" + (f", while {when.market} is open" if when.market else "")
    else:
        text = f"every {getattr(when, 'every', '')}"
    last = last_vouched(when)
    windows = f"; not in maintenance ({len(when.maintenance)})" if when.maintenance else ""
    return text + windows + (f"; calendar up to {last.isoformat()}" if last else "")
