"""The tree of names a document uses: each path of elements once, with what was learned about it and its column name.

Names come from expat as `namespace}local}prefix`. A column is called by local names; where two children of an element
(or a child and an attribute) share one, the later gets its prefix, `@` for an attribute, or a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from base_ops.worker.formats.declared import free_name
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.dialect import Dialect

MAX_DEPTH = 100
"""Levels of elements; deeper is refused: no real document needs it, hostile ones do."""
MAX_NAMES = 10_000
"""Different elements and attributes, by path."""
_FEW = 20
"""One in so many elements may differ from the others of its name."""
TEXT = "#text"
"""Key of the text of an element that is an object, since it has attributes or children."""
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_IGNORED = ("schemaLocation", "noNamespaceSchemaLocation")


def split_name(name: str) -> tuple[str, str, str]:
    """(namespace, local name, prefix) of a name as expat gives it."""
    parts = name.split("}")
    return ("", name, "") if len(parts) == 1 else (parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def raw_name(name: str) -> str:
    """The name as it stands in the document."""
    _, local, prefix = split_name(name)
    return f"{prefix}:{local}" if prefix else local


class Attribute:
    """One attribute of one element."""

    __slots__ = ("dotted", "is_ignored", "is_nil", "key", "local", "prefix", "raw")

    def __init__(self, name: str) -> None:
        namespace, self.local, self.prefix = split_name(name)
        self.raw = raw_name(name)
        self.key = ""
        """Key in the element's own object."""
        self.dotted = ""
        """Key beside the element's text, in the object of its parent: Amt.Ccy."""
        self.is_nil = namespace == _XSI and self.local == "nil"
        self.is_ignored = namespace == _XSI and self.local in _IGNORED


@dataclass(slots=True)
class Seen:
    """What was seen of the elements of one node."""

    count: int = 0
    most: int = 0
    """Most siblings of this name that one parent has."""
    branches: int = 0
    """Elements with children."""
    mixed: int = 0
    """Elements with text beside their children."""
    has_text: bool = False
    """Some have text and no children."""


class Node:
    """One element by its path."""

    __slots__ = (
        "attributes", "by_identity", "children", "has_lists", "identity", "is_branch", "is_container", "is_dotted",
        "is_list", "is_mixed", "is_record", "key", "leads", "local", "order", "parent", "prefix", "raw", "seen",
        "taken",
    )  # fmt: skip

    def __init__(self, name: str, parent: Node | None) -> None:
        namespace, self.local, self.prefix = split_name(name)
        self.identity = (namespace, self.local)
        self.raw, self.parent, self.key = raw_name(name), parent, ""
        self.children: dict[str, Node] = {}
        """By the name as expat gives it; another prefix of the same namespace leads to the same node."""
        self.by_identity: dict[tuple[str, str], Node] = {}
        self.order: list[Node] = []
        """The children in the order in which they stand in the document."""
        self.attributes: dict[str, Attribute] = {}
        self.taken: set[str] = {"", TEXT}
        self.seen = Seen()
        self.is_list = False
        self.has_lists = False
        """Some element below it is a list."""
        self.is_branch = False
        """An object; a few elements with children among texts do not make one."""
        self.is_mixed = False
        """Text beside children is the rule; where it is the exception, it is a fault."""
        self.is_dotted = False
        """Text, and attributes that stand beside it: `Amt` and `Amt.Ccy`."""
        self.is_record = self.is_container = self.leads = False

    def decide(self) -> None:
        """Settle what its elements become, from what was seen of them."""
        seen = self.seen
        self.is_list |= seen.most > 1
        self.is_branch = seen.branches * _FEW > seen.count
        self.is_mixed = self.is_branch and seen.mixed * 2 > seen.branches
        self.is_dotted = seen.has_text and not self.is_branch and not self.is_list
        self.has_lists = any(child.is_list or child.has_lists for child in self.order)

    @property
    def path(self) -> tuple[str, ...]:
        """Local names from the root to this element."""
        names: list[str] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            names.append(node.local)
            node = node.parent
        return tuple(reversed(names))

    def below(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.order:
            yield from child.below()


class Names:
    """All nodes; `wanted` is the path, or its end, of the elements that are records."""

    def __init__(self, dialect: Dialect, wanted: tuple[str, ...] = ()) -> None:
        self.root = Node("", None)
        self.dialect = dialect
        self.wanted = wanted
        self.namespaces: dict[str, str] = {}
        self.is_settled = False
        self.is_sure = True
        """False where nothing repeats, so that the record element is a guess."""
        self._records: dict[tuple[str, str], Node] = {}
        self._marked: set[str] = set()
        self._count = 0

    def child(self, parent: Node, name: str, behind: Node | None = None) -> Node:
        """The child of a node by its name; made where it is new, and put behind the sibling it was seen behind."""
        if name in parent.children:
            return parent.children[name]
        self._count_one()
        node = Node(name, parent)
        known = parent.by_identity.get(node.identity)
        if known is not None:
            parent.children[name] = known
            return known
        node = self._as_record(parent, node)
        parent.children[name] = parent.by_identity[node.identity] = node
        if behind is None or parent.order[-1:] == [behind] or behind not in parent.order:
            parent.order.append(node)
        else:
            parent.order.insert(parent.order.index(behind) + 1, node)
        if self.is_settled and not node.key:
            self._name(parent, node)
        return node

    def attribute(self, node: Node, name: str) -> Attribute:
        """An attribute of a node by its name; made where it is new."""
        self._count_one()
        made = node.attributes[name] = Attribute(name)
        if self.is_settled:
            self._name_attribute(node, made)
        return made

    def _count_one(self) -> None:
        self._count += 1
        if self._count > MAX_NAMES:
            raise Refused("too_many_names", f"more than {MAX_NAMES} different elements and attributes")

    def _as_record(self, parent: Node, node: Node) -> Node:
        """Mark what is a record; a record of the same name elsewhere is the same node."""
        node.is_list = node.local in self.dialect.lists
        node.is_container = node.local in self.dialect.containers
        inside = parent.is_container and not node.is_container and node.local not in self.dialect.headers
        by_name = node.local in self.dialect.records and not self.wanted
        by_path = bool(self.wanted) and node.path[-len(self.wanted) :] == self.wanted
        if not (by_path or by_name or (inside and not self.wanted)) or self._is_inside_record(parent):
            return node
        return self.mark(self._records.setdefault(node.identity, node), parent)

    @staticmethod
    def _is_inside_record(parent: Node) -> bool:
        node: Node | None = parent
        while node is not None:
            if node.is_record:
                return True
            node = node.parent
        return False

    def may_record(self, local: str) -> bool:
        """Whether an element of this name may be a record, wherever it stands."""
        if self.wanted:
            return local == self.wanted[-1]
        if self.dialect.containers:
            return local not in self.dialect.containers and local not in self.dialect.headers
        return local in self.dialect.records or local in self._marked

    def mark(self, node: Node, parent: Node | None) -> Node:
        """Make a node one whose elements are records."""
        node.is_record, node.key = True, node.local
        self._marked.add(node.local)
        while parent is not None:
            parent.leads = True
            parent = parent.parent
        return node

    def records(self) -> list[Node]:
        """The nodes whose elements are records, the most frequent first."""
        found = {id(node): node for node in self.root.below() if node.is_record}
        return sorted(found.values(), key=lambda node: -node.seen.count)

    def forget(self) -> None:
        """Keep the names, and nothing of what was seen of them."""
        for node in self.root.below():
            node.seen = Seen()

    # -- column names

    def settle(self) -> None:
        """Name everything seen so far: children first, then attributes. What comes later takes what is free."""
        for node in reversed(list(self.root.below())):
            node.decide()
        for node in self.root.below():
            for child in node.order:
                if not child.key:
                    self._name(node, child)
            for attribute in node.attributes.values():
                if not attribute.key:
                    self._name_attribute(node, attribute)
        self.is_settled = True

    def _name(self, parent: Node, node: Node) -> None:
        name = node.local
        if name in parent.taken and node.prefix:
            name = f"{node.prefix}:{name}"
        node.key = free_name(name, parent.taken)

    def _name_attribute(self, node: Node, attribute: Attribute) -> None:
        name = attribute.local if attribute.local not in node.taken else f"@{attribute.local}"
        attribute.key = free_name(name, node.taken)
        if node.parent is not None:
            attribute.dotted = free_name(f"{node.key}.{attribute.key}", node.parent.taken)
