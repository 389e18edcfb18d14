"""Web server logs: Apache common and combined log format (NCSA), as nginx writes them too.

    host ident user [10/Oct/2000:13:55:36 -0700] "GET /x HTTP/1.0" 200 2326 "referer" "user agent"

Columns: host, ident, user, time (timestamp_utc), method, path, protocol, request, status, bytes, referer, user_agent;
the last two are null in the common format. `-` is null. `request` holds a request line that is not method, path and
protocol, as it stands. Escapes inside quotes (`\\"`, `\\x22`) are kept as the server wrote them. A line of another
form, or with a time that does not exist, is refused. Options: encoding (UTF-8), comment, skip_lines, max_record_bytes.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_LINE = re.compile(
    rb'[^ \n]+ [^ \n]+ [^\n"\[]+ \[\d\d?/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "[^\n]*" (?:\d{3}|-) (?:\d+|-)'
)


class CommonLogFormat:
    """Common and combined log format."""

    name = "common_log"
    suffixes = (".clf",)

    def sniff(self, head: bytes, name: str) -> float:
        """By the share of the first lines that have the form."""
        lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 20)[:20] if line.strip()]
        lines = lines[:-1] if len(lines) > 1 else lines  # the last one may be cut off
        good = sum(_LINE.match(line[:5000]) is not None for line in lines)
        return 0.98 * good / len(lines) if lines else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.common_log.reader import CommonLogReader

        return CommonLogReader(source, spec)


FORMAT = CommonLogFormat()
