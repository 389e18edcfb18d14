"""Syslog: RFC 5424, with RFC 3164 (BSD, also as it lies in /var/log) as the fallback; one message a line or counted.

    <34>1 2003-10-11T22:14:15.003Z host su 77 ID47 [id@1 key="value"] BOM'su root' failed
    <34>Oct 11 22:14:15 host su[77]: 'su root' failed                        (the priority may be missing)
    83 <34>1 2003-…                                                          octet-counted, RFC 6587

Columns: format, facility, severity (numbers and names), version, timestamp, timestamp_text, host, app_name, proc_id,
msg_id, structured_data (JSON: {id: {name: value, or a list where it is repeated}}), message without its BOM. The
nil value `-` is null. An RFC 3164 time has no year: it stands in timestamp_text, and in timestamp only where
read.syslog.year says which year the first message is of. What is of neither form is refused. Line numbers count lines,
of octet-counted objects messages. Options: read.syslog, encoding (UTF-8), comment, skip_lines, max_record_bytes.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_COUNTED = re.compile(rb"\d{1,8} <\d{1,3}>")
_SURE = re.compile(rb"<\d{1,3}>(?:\d{1,2} (?:-|\d{4}-\d\d-\d\dT)|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )")
_BARE = re.compile(rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:.]{8,15}(?:Z|[+-]\d\d:\d\d)) \S+ \S")


class SyslogFormat:
    """Syslog messages."""

    name = "syslog"
    suffixes = (".syslog",)

    def sniff(self, head: bytes, name: str) -> float:
        """By the share of the first lines that begin as messages do."""
        text = head.removeprefix(b"\xef\xbb\xbf")
        if _COUNTED.match(text) and _SURE.match(text, text.index(b"<")):
            return 0.98
        lines = [line for line in text.split(b"\n", 20)[:20] if line.strip()]
        sure = sum(_SURE.match(line) is not None for line in lines)
        bare = sum(_BARE.match(line) is not None for line in lines)
        return max(0.98 * sure, 0.95 * bare) / len(lines) if lines else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.syslog.reader import SyslogReader

        return SyslogReader(source, spec)


FORMAT = SyslogFormat()
