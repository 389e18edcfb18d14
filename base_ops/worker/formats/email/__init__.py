"""E-mail: one RFC 5322 message (.eml), or many in an mbox.

One row per message: message_id, date (timestamp_utc), subject, from, sender, to, cc, bcc, reply_to (lists of name and
address), in_reply_to, text and html (the first body of each kind), attachments (list of name, content type, size in
bytes, SHA-256; the bytes themselves are not kept), headers (all of them, JSON list of [name, value]), defects. Encoded
words (RFC 2047) and parameters (RFC 2231) are decoded, transfer encodings undone, line ends made `\\n`.

What is malformed but readable (a date that is none, a wrong charset, broken MIME) is named in `defects`; a message
without any header, with too many or too deeply nested parts, or beyond the size limit is refused. An mbox is cut at
lines `From …` behind a blank line, and `>From` loses one `>` (mboxrd); its line numbers are those of these lines.
Limits: read.email. HTML is never rendered, nothing is fetched, no attachment is opened.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_HEADER = re.compile(rb"([!-9;-~]{1,70}):[ \t]?[^\r\n]*(?:\r\n?|\n|\Z)(?:[ \t][^\r\n]*(?:\r\n?|\n|\Z))*")
_KNOWN = {
    *(b"from", b"to", b"cc", b"date", b"subject", b"message-id", b"received", b"return-path", b"mime-version"),
    *(b"content-type", b"delivered-to", b"reply-to", b"sender", b"x-mailer", b"dkim-signature", b"references"),
}
_FROM = re.compile(rb"From [^\r\n]*\d{4}[^\r\n]*\r?\n")


class EmailFormat:
    """RFC 5322 messages, single or in an mbox."""

    name = "email"
    suffixes = (".eml", ".mbox", ".mbx")

    def sniff(self, head: bytes, name: str) -> float:
        """By the header fields at the top."""
        text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
        start = _FROM.match(text)
        position, seen = (start.end() if start else 0), set[bytes]()
        while len(seen) < 20 and (found := _HEADER.match(text, position)):
            seen.add(found[1].lower())
            position = found.end()
        known = len(seen & _KNOWN)
        if start:
            return 0.97 if known else 0.3
        if known >= 2:
            return 0.95 if known >= 3 or name.lower().endswith(self.suffixes) else 0.7
        return 0.4 if known and name.lower().endswith(self.suffixes) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.email.reader import EmailReader

        return EmailReader(source, spec)


FORMAT = EmailFormat()
