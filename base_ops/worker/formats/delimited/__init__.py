"""Delimited text, the heart of reading: never lose, double or misread a row.

    bytes ─ blocks.decoded ─ cutter ─► Block ─ parse ─► Batch
                              │           │
                     structure (numpy)  convert (polars)      cells: the exact way, for odd records only

A thread reads, decodes and cuts ahead; the caller's thread parses. A clean block costs two byte counts over its bare
parsing; only where a count, a null or a quote leaves a doubt is the block looked at more closely, then the record.

What is read. Text of any encoding, delimiter and quote, found from its first megabyte (sniff, encoding) or as ReadSpec
says; line ends of all three kinds, also mixed. What breaks such files is either read right and reported, or refused
record by record with its line:

    above the header       titles, blank lines, names of groups: passed over; finding `preamble` has their text (start)
    below it               units and other label rows: passed over; finding `label_row`
    the header once more   `repeated_header`; the last row of totals: `total`, or finding `possible_total` (footer)
    too many, few cells    `ragged_long`, `ragged_short`; where every record ends with a delimiter, that is no column:
                           finding `trailing_delimiter`; where the header is at odds with all: `header_differs`
    blank lines, comments  passed over; findings `blank_lines`, `comment_lines` count them
    quotes                 one inside of a bare cell is a character; one that does not close, or opens within a cell and
                           closes another, is `malformed_quote`; blanks around a quoted cell belong to nothing
    bytes                  `encoding`, `nul_byte`; findings `encoding_disagrees`, `encoding_guessed`
    cells                  `type`, `required`; what is a number, a date or text is settled by a sample (infer, numbers);
                           finding `codes_among_values` where that would cost too many records (codes)

Limits: max_record_bytes, max_columns, sample_rows; DETAILED refusals of a block and rule are listed one by one.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.sniff import likelihood


class DelimitedFormat:
    """CSV, TSV, semicolon or pipe separated text."""

    name = "csv"
    suffixes = (".csv", ".tsv", ".tab", ".psv", ".txt")

    def sniff(self, head: bytes, name: str) -> float:
        return likelihood(head, name)

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is empty, is no text, or lacks a declared column."""
        from base_ops.worker.formats.delimited.reader import DelimitedReader

        return DelimitedReader(source, spec)


FORMAT = DelimitedFormat()
