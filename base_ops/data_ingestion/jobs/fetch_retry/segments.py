"""What is still missing of a download that broke off, cut into segments."""

from __future__ import annotations

from collections.abc import Iterable

from base_ops.data_ingestion.options.retries import PartialPolicy

Range = tuple[int, int]


def missing(total: int, done: Iterable[Range]) -> list[Range]:
    """The byte ranges (end excluded) of `total` that are in none of `done`."""
    gaps: list[Range] = []
    at = 0
    for start, stop in sorted((max(0, start), min(total, stop)) for start, stop in done):
        if start >= stop:
            continue
        if start > at:
            gaps.append((at, start))
        at = max(at, stop)
    if at < total:
        gaps.append((at, total))
    return gaps


def plan(total: int, done: Iterable[Range], policy: PartialPolicy) -> list[Range]:
    """Segments that together are what is missing: none larger than need be, `policy.segments` at most where the
    gaps allow it."""
    gaps = missing(total, done)
    left = sum(stop - start for start, stop in gaps)
    size = max(policy.segment_bytes, -(-left // policy.segments))
    return [(at, min(at + size, stop)) for start, stop in gaps for at in range(start, stop, size)]
