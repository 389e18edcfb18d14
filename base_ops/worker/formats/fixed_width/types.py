"""Files that hold records of several types: which are rows, and whether header and trailer agree with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.layouts import RecordTypeOptions
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.fixed_width.cutter import Records

_LISTED = 100


class RecordTypes:
    """Sorts the records of one object, in order.

    Raises:
        BadInput: no_header, no_trailer (the object is cut off), trailer_count.
    """

    def __init__(self, options: RecordTypeOptions, name: str) -> None:
        self._options, self._name = options, name
        self._seen = self._rows = 0
        self._others: dict[str, int] = {}
        self._trailer: tuple[int, str] | None = None

    def rows(self, records: Records) -> tuple[Records, list[Rejected]]:
        """The records that are rows, and those of a type there should not be."""
        if not len(records):
            return records, []
        data = self._are(records, self._options.data)
        self._check_order(records)
        self._seen += len(records)
        self._rows += int(data.sum())
        wrong = ~data & ~self._are(records, self._options.header) & ~self._are(records, self._options.trailer)
        if self._options.skip is None:
            self._note_others(records.pick(wrong))
            wrong &= records.lengths < self._options.start + len(self._options.data) - 1
        for text in self._options.skip or ():
            wrong &= ~self._are(records, text)
        reason = "the record is of none of the declared types"
        rejected = records.refuse(np.flatnonzero(wrong).tolist(), lambda _: ("record_type", reason, ""))
        return records.pick(data), rejected

    def pass_over(self) -> None:
        """Count a record that is refused unread."""
        self._seen += 1
        self._rows += 1

    def finish(self) -> list[Finding]:
        """What was found, after the last record."""
        if self._options.trailer is not None and self._trailer is None:
            raise BadInput(
                f"{self._name} has no trailer: its end is missing",
                code="no_trailer",
                where=self._name,
                expected=f"a last record of type {self._options.trailer!r}",
                todo="fetch the object again",
            )
        if self._options.count is not None and self._trailer is not None:
            self._check_count(*self._trailer)
        if not self._others:
            return []
        message = f"{sum(self._others.values())} records of other types are no rows: {', '.join(self._others)}"
        return [Finding(code="other_record_types", message=message, severity="warning", data=dict(self._others))]

    def _are(self, records: Records, text: str | None) -> NDArray[np.bool_]:
        if text is None:
            return np.zeros(len(records), bool)
        return records.begins_with(text, self._options.start - 1)

    def _check_order(self, records: Records) -> None:
        header, trailers = self._options.header, np.flatnonzero(self._are(records, self._options.trailer))
        if header is not None and not self._seen and not self._are(records, header)[0]:
            raise BadInput(
                f"{self._name} does not begin with a header",
                code="no_header",
                where=f"{self._name}, record {records.numbers[0]}",
                expected=f"type {header!r} at character {self._options.start}",
            )
        if self._trailer is not None or (len(trailers) and trailers[0] != len(records) - 1):
            first = self._trailer[0] if self._trailer else int(records.numbers[trailers[0]])
            raise BadInput(
                f"{self._name} goes on behind its trailer",
                code="behind_trailer",
                where=f"{self._name}, behind record {first}",
                expected=f"one record of type {self._options.trailer!r}, the last",
            )
        if len(trailers):
            self._trailer = int(records.numbers[-1]), records.text(len(records) - 1)

    def _note_others(self, others: Records) -> None:
        start, width = self._options.start - 1, len(self._options.data)
        known = others.pick(others.lengths >= start + width)
        if not len(known):
            return
        found, counts = np.unique(
            known.codes[known.starts[:, None] + start + np.arange(width)], axis=0, return_counts=True
        )
        for one, number in zip(found, counts.tolist(), strict=True):
            text = "".join(map(chr, one))
            if text in self._others or len(self._others) < _LISTED:
                self._others[text] = self._others.get(text, 0) + number

    def _check_count(self, number: int, trailer: str) -> None:
        field = self._options.count
        assert field is not None
        text = trailer[field.start - 1 : field.start - 1 + field.length].strip(f" {field.pad}")
        counted = self._rows if self._options.counts == "data" else self._seen
        if not text.isascii() or not text.isdigit() or int(text[:18]) != counted:
            raise BadInput(
                f"{self._name} holds another number of records than its trailer says",
                code="trailer_count",
                where=f"{self._name}, record {number}",
                expected=f"{text[:18]!r}, as the trailer says",
                found=f"{counted} records",
                todo="fetch the object again; if it is whole, correct read.fixed_width.record_type",
            )
