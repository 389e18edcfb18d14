"""JSON logs: one object per line, by the conventions of the usual libraries and collectors.

    bunyan      v level name hostname pid time msg          docker      log stream time
    pino        level time (epoch ms) pid hostname msg      CloudWatch  timestamp (epoch ms) message ingestionTime
    ECS         @timestamp ecs.version log.level message    GELF        version host short_message timestamp (epoch s)
    logstash    @timestamp @version message                 structlog   event level timestamp

They are read as newline-delimited JSON (see `ndjson`), keys and level as they are. The time of the log becomes
timestamp_utc: ISO 8601 with an offset, and epoch times in the unit of the convention (a time that is none refuses its
record; fractions of seconds to the microsecond). A naive ISO time stays a timestamp without zone. Lines that are no
JSON, as processes write them in between, are refused one by one. Only what is surely one of these is taken; a finding
says which. Options: as ndjson; with declared columns nothing is converted.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.jsonlog.conventions import convention_of_lines, lines_of


class JsonLogFormat:
    """JSON logs."""

    name = "jsonlog"
    suffixes = (".log",)

    def sniff(self, head: bytes, name: str) -> float:
        """Sure where every line that is JSON follows one convention, and most lines are JSON."""
        lines = lines_of(head)
        found, good = convention_of_lines(lines)
        if found is None or good < 0.5 * len(lines):
            return 0.0
        return 0.99 if good == len(lines) else 0.7 + 0.25 * good / len(lines)

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.jsonlog.reader import JsonLogReader

        return JsonLogReader(source, spec)


FORMAT = JsonLogFormat()
