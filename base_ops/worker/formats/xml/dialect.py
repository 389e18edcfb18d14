"""What a dialect of XML says about its documents: where the records lie, and how their columns are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dialect:
    """All names are local names of elements."""

    name: str = "xml"
    records: tuple[str, ...] = ()
    """Elements that are records, wherever they lie (the outermost count); none: found from the content."""
    containers: tuple[str, ...] = ()
    """Every child of these is a record, but for containers and `headers`."""
    headers: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    """Path of the element in which records are looked for."""
    wrappers: frozenset[str] = frozenset()
    """Ancestors of records whose name is left out of column names."""
    lists: frozenset[str] = frozenset()
    """Elements that may repeat: always a list, also where only one is there."""
    keyed: Mapping[str, str] = field(default_factory=dict)
    """Repeated children of a record's ancestors that become columns, by the path of what tells them apart."""
    kind: str | None = None
    """Column that holds the name of each record's element."""
    fault: tuple[str, ...] | None = None
    """Path of an element that says that there is no data but an error."""


GENERIC = Dialect()
