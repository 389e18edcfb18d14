"""Where the items of a copybook lie in a record, and which columns they make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.worker.formats.cobol.copybook import Item

_BINARY_BYTES = ((4, 2), (9, 4), (18, 8))


@dataclass(frozen=True)
class Place:
    """Bytes from the beginning of the record: a constant, and so many for every occurrence of a variable table."""

    fixed: int = 0
    terms: tuple[tuple[int, int], ...] = ()
    """(number of the variable table, bytes of one occurrence)"""

    def __add__(self, other: Place) -> Place:
        return Place(self.fixed + other.fixed, self.terms + other.terms)

    def moved(self, size: int) -> Place:
        return Place(self.fixed + size, self.terms)


@dataclass(frozen=True)
class Table:
    """OCCURS … DEPENDING ON."""

    counter: Leaf
    least: int
    greatest: int


@dataclass(frozen=True)
class Leaf:
    """One elementary item, or one occurrence of it: a column."""

    name: str
    item: Item
    place: Place
    size: int
    present: tuple[tuple[int, int], ...] = ()
    """(variable table, occurrence from 0): it is there where the table has more occurrences."""
    alternatives: tuple[tuple[int, int], ...] = ()
    """(storage that is redefined, which alternative), the outermost first."""


@dataclass
class RecordLayout:
    """All of one record."""

    leaves: list[Leaf] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    storages: list[list[str]] = field(default_factory=list)
    """Names of the alternatives of every storage that is redefined; the first is what was redefined."""
    parents: list[tuple[int, int] | None] = field(default_factory=list)
    """The alternative every storage lies in."""
    size: Place = field(default_factory=Place)

    @property
    def least_bytes(self) -> int:
        return self.size.fixed + sum(self.tables[t].least * size for t, size in self.size.terms)

    @property
    def most_bytes(self) -> int:
        return self.size.fixed + sum(self.tables[t].greatest * size for t, size in self.size.terms)


def lay_out(record: Item, max_columns: int, max_bytes: int) -> RecordLayout:
    """Places and columns of a record.

    Raises:
        ConfigError: too_many_columns, record_too_long, bad_copybook.
    """
    builder = _Builder(max_columns)
    builder.layout.size = builder.add(record, Place(), (), (), (), ())
    if not builder.layout.leaves:
        raise fault(record, "it names no data")
    if builder.layout.most_bytes > max_bytes:
        raise ConfigError(
            f"The copybook describes records of {builder.layout.most_bytes} bytes",
            code="record_too_long",
            where="read.cobol.copybook",
            expected=f"at most max_record_bytes={max_bytes}",
        )
    return builder.named()


def fault(item: Item, what: str) -> ConfigError:
    name = item.name or "FILLER"
    return ConfigError(
        f"The copybook cannot be used: {name}: {what}",
        code="bad_copybook",
        where=f"read.cobol.copybook, line {item.line}",
    )


_Path = tuple[str, ...]
_Pairs = tuple[tuple[int, int], ...]


class _Builder:
    def __init__(self, max_columns: int) -> None:
        self.layout = RecordLayout()
        self._max_columns = max_columns
        self._paths: list[tuple[_Path, tuple[int, ...]]] = []
        self._counts: dict[int, int] = {}
        self._sizes: dict[int, int] = {}

    def add(
        self, item: Item, place: Place, path: _Path, subscripts: tuple[int, ...], present: _Pairs, within: _Pairs
    ) -> Place:
        """Lay out an item with all its occurrences; returns the bytes it takes."""
        if item.name:
            path = (*path, item.name)
        if item.occurs is None:
            return self._one(item, place, path, subscripts, present, within)
        _, greatest = item.occurs
        self._limit(item, greatest)
        table = self._table(item, subscripts, present, within) if item.depending is not None else None
        size = self._size(item)
        if self._columns(item):
            for index in range(greatest):
                there = present if table is None else (*present, (table, index))
                self._one(item, place.moved(index * size), path, (*subscripts, index + 1), there, within)
        return Place(greatest * size) if table is None else Place(0, ((table, size),))

    def _one(
        self, item: Item, place: Place, path: _Path, subscripts: tuple[int, ...], present: _Pairs, within: _Pairs
    ) -> Place:
        if item.children:
            return self._group(item, place, path, subscripts, present, within)
        size = _bytes(item)
        if item.name:
            self._limit(item, 1)
            self.layout.leaves.append(Leaf(item.name, item, place, size, present, within))
            self._paths.append((path, subscripts))
        return Place(size)

    def _group(
        self, item: Item, place: Place, path: _Path, subscripts: tuple[int, ...], present: _Pairs, within: _Pairs
    ) -> Place:
        total = Place()
        for base, others in _storages(item):
            if not others:
                total += self.add(base, place + total, path, subscripts, present, within)
                continue
            number = len(self.layout.storages)
            self.layout.storages.append([each.name or "FILLER" for each in (base, *others)])
            self.layout.parents.append(within[-1] if within else None)
            sizes = []
            for which, each in enumerate((base, *others)):
                inside = (*within, (number, which))
                sizes.append(self.add(each, place + total, path, subscripts, present, inside))
            if any(size.terms for size in sizes):
                raise fault(base, "REDEFINES and DEPENDING ON do not go together")
            total = total.moved(max(size.fixed for size in sizes))
        return total

    def _table(self, item: Item, subscripts: tuple[int, ...], present: _Pairs, within: _Pairs) -> int:
        if subscripts or present or within:
            raise fault(item, "DEPENDING ON is not supported inside OCCURS or REDEFINES")
        assert item.depending is not None and item.occurs is not None
        name = " OF ".join(item.depending)
        found = [
            leaf
            for leaf, (path, at) in zip(self.layout.leaves, self._paths, strict=True)
            if _is_called(path, item.depending) and not at and not leaf.alternatives
        ]
        if len(found) != 1:
            raise fault(item, f"what it depends on, {name}, is not one item before it")
        counter = found[0].item
        if counter.picture is None or counter.picture.kind != "number" or counter.picture.scale > 0:
            raise fault(item, f"what it depends on, {name}, is not a whole number")
        self.layout.tables.append(Table(found[0], *item.occurs))
        return len(self.layout.tables) - 1

    def _limit(self, item: Item, times: int) -> None:
        if len(self.layout.leaves) + times * self._columns(item) > self._max_columns:
            raise ConfigError(
                f"The copybook describes more than {self._max_columns} columns",
                code="too_many_columns",
                where=f"read.cobol.copybook, line {item.line}: {item.name or 'FILLER'}",
                found=f"OCCURS {times}",
                todo="name the items that are not wanted FILLER, or raise read.max_columns",
            )

    def _columns(self, item: Item) -> int:
        """Columns of one occurrence."""
        if id(item) not in self._counts:
            inner = sum(self._columns(child) * (child.occurs[1] if child.occurs else 1) for child in item.children)
            self._counts[id(item)] = inner if item.children else int(item.name is not None)
        return self._counts[id(item)]

    def _size(self, item: Item) -> int:
        """Bytes of one occurrence, which must not vary."""
        if id(item) not in self._sizes:
            self._sizes[id(item)] = self._sum(item) if item.children else _bytes(item)
        return self._sizes[id(item)]

    def _sum(self, group: Item) -> int:
        total = 0
        for base, others in _storages(group):
            sizes = []
            for each in (base, *others):
                if each.depending is not None:
                    raise fault(each, "DEPENDING ON is not supported inside OCCURS or REDEFINES")
                sizes.append(self._size(each) * (each.occurs[1] if each.occurs else 1))
            total += max(sizes)
        return total

    def named(self) -> RecordLayout:
        """The layout with names of columns: lower case, qualified by groups where that is needed, subscripts last."""
        own = Counter((path[-1], at) for path, at in self._paths)
        leaves, taken = [], set()
        for leaf, (path, at) in zip(self.layout.leaves, self._paths, strict=True):
            for parts in range(1 if own[path[-1], at] == 1 else 2, len(path) + 1):
                name = "_".join([".".join(path[-parts:]).replace("-", "_").lower(), *map(str, at)])
                if name not in taken:
                    break
            number = 2
            while name in taken:
                name, number = f"{name}_{number}", number + 1
            taken.add(name)
            leaves.append((leaf, name))
        renamed = {id(leaf): _renamed(leaf, name) for leaf, name in leaves}
        self.layout.leaves = [renamed[id(leaf)] for leaf, _ in leaves]
        self.layout.tables = [Table(renamed[id(t.counter)], t.least, t.greatest) for t in self.layout.tables]
        return self.layout


def _is_called(path: _Path, names: tuple[str, ...]) -> bool:
    """Whether an item has a name that groups qualify, the innermost first; some may be left out."""
    groups = iter(path[-2::-1])
    return path[-1] == names[0] and all(name in groups for name in names[1:])


def _renamed(leaf: Leaf, name: str) -> Leaf:
    return Leaf(name, leaf.item, leaf.place, leaf.size, leaf.present, leaf.alternatives)


def _storages(group: Item) -> list[tuple[Item, list[Item]]]:
    """The items below a group, each with those that redefine it."""
    found: list[tuple[Item, list[Item]]] = []
    by_name: dict[str, int] = {}
    for child in group.children:
        if child.redefines is None:
            found.append((child, []))
        elif (index := by_name.get(child.redefines)) is not None:
            found[index][1].append(child)
            if index != len(found) - 1:
                raise fault(child, f"it does not follow {child.redefines}, which it redefines")
        else:
            hint = did_you_mean(child.redefines, by_name)
            raise fault(child, f"it redefines {child.redefines}, which is not before it at its level. {hint}")
        if child.name:
            by_name[child.name] = len(found) - 1
    return found


def _bytes(item: Item) -> int:
    """Bytes of an elementary item."""
    usage, picture = item.usage or "display", item.picture
    if usage in ("float", "double"):
        size = 4 if usage == "float" else 8
    elif picture is None:
        raise fault(item, "it has neither a PICTURE nor items below it")
    elif picture.kind == "national" or usage == "national":
        if picture.kind == "number":
            raise fault(item, "numbers of USAGE NATIONAL are not supported")
        return 2 * picture.length
    elif picture.kind != "number":
        return picture.length
    elif usage == "display":
        return picture.length + int(bool(item.sign and item.sign[1] and picture.signed))
    elif usage == "packed":
        return picture.length // 2 + 1
    else:
        fitting = [bytes for digits, bytes in _BINARY_BYTES if picture.length <= digits]
        if not fitting:
            raise fault(item, "binary numbers of more than 18 digits are not supported")
        if picture.scale < 0:
            raise fault(item, "P in binary numbers is not supported")
        size = fitting[0]
    if item.synchronized:
        raise fault(item, "SYNCHRONIZED moves items to boundaries, which is not supported; put the slack as FILLER")
    return size
