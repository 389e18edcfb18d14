"""FIX messages (tag=value): FIX 4.0 to 4.4, 5.0 SP2 over FIXT.1.1; files and logs of messages.

    8=FIX.4.4|9=65|35=D|…|10=062|        between fields SOH or '|'; one or many messages in a line

One row per message. Columns are called by the field's standard name (`tag_9999` where it has none here) and typed by
its FIX data type: prices, quantities and amounts as decimal(38,15), UTCTimestamp as timestamp_utc, Y/N as boolean,
dates as date; codes such as MsgType stay codes. Repeating groups, also nested ones, are lists of structs under the name
of their NoXXX field. Data fields (95/96, 354/355 …) may hold the separator. Text before a message in its line is
`log_prefix`, text behind the last one `log_suffix`.

Refused: wrong body length or checksum, a field twice outside a group, a group of another size than it says, an empty
field, a value that is none of its type. Lines without a message are counted in a finding. Options: read.fix.separator,
encoding (UTF-8), max_record_bytes per message.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_BEGIN = re.compile(rb"8=FIXT?\.\d\.\d([\x01|])9=\d{1,9}\1(?:35=)?")


class FixFormat:
    """FIX tag=value messages."""

    name = "fix"
    suffixes = (".fix",)

    def sniff(self, head: bytes, name: str) -> float:
        """Sure where one of the first lines holds the beginning of a message."""
        lines = head[: 1 << 14].split(b"\n", 10)[:10]
        if any(_BEGIN.search(line[:2000]) for line in lines[:1]):
            return 0.98
        return 0.9 if any(_BEGIN.search(line[:2000]) for line in lines) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.fix.reader import FixReader

        return FixReader(source, spec)


FORMAT = FixFormat()
