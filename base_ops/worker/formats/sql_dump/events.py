"""What a dump holds, as its scanner tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from base_ops.worker.engine.plan import Rejected

BATCH_ROWS = 1 << 13
HELD_CHARS = 1 << 22
Name = tuple[str, ...]
"""Of a table: its parts, without quotes."""


@dataclass(frozen=True)
class Definition:
    """A CREATE TABLE statement."""

    table: Name
    text: str


@dataclass
class Rows:
    """Rows of one table: the texts of their values as they stand in the dump."""

    table: Name
    columns: tuple[str, ...] | None
    is_copy: bool
    values: list[tuple[str, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    chars: int = 0

    def goes_on(self, other: Rows) -> bool:
        """Whether the rows of `other` are of the same form."""
        same = (self.table, self.columns, self.is_copy) == (other.table, other.columns, other.is_copy)
        return same and len(self.values[0]) == len(other.values[0])


@dataclass(frozen=True)
class Broken:
    """A row or statement that cannot be read."""

    table: Name | None
    rejected: Rejected


Event = Definition | Rows | Broken


def gathered(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, the rows of statements that follow each other as one: dumps with one row per statement."""
    held: Rows | None = None
    for event in events:
        if isinstance(event, Rows) and held is not None and held.goes_on(event):
            held.values += event.values
            held.lines += event.lines
            held.chars += event.chars
        else:
            if held is not None:
                yield held
            held = event if isinstance(event, Rows) else None
            if held is None:
                yield event
        if held is not None and (len(held.lines) >= BATCH_ROWS or held.chars > HELD_CHARS):
            yield held
            held = None
    if held is not None:
        yield held
