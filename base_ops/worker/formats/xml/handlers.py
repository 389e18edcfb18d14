"""What listens to expat: `Learner` finds out what a document holds, `Walker` (walker.py) makes its values."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.names import MAX_DEPTH, Names, Node, Seen, raw_name

DTD_RULES = ("xml_entities", "xml_dtd")
WHITESPACE = " \t\r\n"


class Frame:
    """One open element outside of records."""

    __slots__ = ("bindings", "counts", "has_records", "has_text", "last", "name", "node", "scope", "size", "value")

    def __init__(
        self, node: Node, name: str, bindings: list[tuple[str | None, str | None]], outer: Frame | None
    ) -> None:
        self.node, self.name, self.bindings = node, name, bindings
        self.scope: dict[str | None, str | None] = outer.scope if outer else {}
        """Namespaces by prefix that hold inside of it."""
        if bindings:
            self.scope = {**self.scope, **dict(bindings)}
        self.value: dict[str, Any] = {}
        self.counts: dict[Node, int] = {}
        self.last: Node | None = None
        self.has_records = self.has_text = False
        self.size = 0


class Handler:
    """What all listeners share: the open elements outside of records, and what is refused wherever it stands."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.frames: list[Frame] = []
        self.parts: list[str] = []
        """Pieces of the current text."""
        self.opened = False
        """A record began since this was last set to False."""
        self.is_inside = False
        """Inside a record."""
        self.value: dict[str, Any] | None = None
        """Of the last record that ended, until it is taken."""
        self.raw: Callable[[int, int], str] = lambda start, end: ""
        """The document's text between two positions of the parser."""
        self.began = 0
        """Position in the parser of the last record's start tag."""
        self._bindings: list[tuple[str | None, str | None]] = []
        self._may_record: dict[bytes, bool] = {}
        self.parser: Any = None

    def abandon(self) -> None:
        """Forget the record that is open."""
        self.is_inside = False
        self.parts.clear()
        self._bindings = []

    def attach(self, parser: Any) -> None:
        """Listen to a parser that stands where `frames` says, outside of records."""
        self.parser = parser
        parser.StartNamespaceDeclHandler = self._bind
        parser.EntityDeclHandler = _refuse_entity
        parser.SkippedEntityHandler = _refuse_skipped
        parser.AttlistDeclHandler = _refuse_default
        parser.CharacterDataHandler = self.parts.append
        self._listen()

    def _listen(self) -> None:
        raise NotImplementedError

    def reopening(self) -> bytes:
        """Start tags of the open elements, for a new parser."""
        return "".join(
            f"<{raw_name(frame.name)}{''.join(map(_xmlns, frame.bindings))}>" for frame in self.frames
        ).encode()

    def may_record(self, raw: bytes) -> bool:
        """Whether an element of this name, as it stands in the document, may be a record."""
        known = self._may_record.get(raw)
        if known is None:
            local = raw.decode(errors="replace").rpartition(":")[2]
            known = self._may_record[raw] = self.names.may_record(local)
        return known

    def take(self) -> dict[str, Any] | None:
        """The value of the record that just ended."""
        value, self.value = self.value, None
        return value

    def context(self) -> dict[str, Any]:
        """What the elements around the record say, by the names of its columns."""
        return {}

    def _bind(self, prefix: str | None, uri: str | None) -> None:
        self._bindings.append((prefix, uri))
        if len(self.names.namespaces) < 100 and uri:
            self.names.namespaces.setdefault(prefix or "", uri)

    def _push(self, name: str) -> Frame:
        outer = self.frames[-1] if self.frames else None
        if len(self.frames) >= MAX_DEPTH:
            raise Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
        parent = outer.node if outer else self.names.root
        behind = outer.last if outer else None
        node = parent.children.get(name) or self.names.child(parent, name, behind)
        frame = Frame(node, name, self._bindings, outer)
        self._bindings = []
        if outer is not None:
            outer.last = node
        return frame


class Learner(Handler):
    """Learns names, kinds and counts; records are looked into like everything else."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._depth = 0
        """Of `frames` where the record began."""
        self._before: dict[Node, Seen] = {}
        """What was known of the nodes before the record began; a record that is refused teaches nothing."""
        self.fault_text: str | None = None

    def _listen(self) -> None:
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def abandon(self) -> None:
        if self.is_inside:
            del self.frames[self._depth :]
            for node, seen in self._before.items():
                node.seen = seen
        self._before.clear()
        super().abandon()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._text(is_end=False)
        frame = self._push(name)
        node = frame.node
        if node.is_record and not self.is_inside:
            self.is_inside = self.opened = True
            self.began = self.parser.CurrentByteIndex
            self._depth = len(self.frames)
        self._remember(node)
        if self.frames:
            counts = self.frames[-1].counts
            self.frames[-1].node.seen.branches += not counts
            counts[node] = counts.get(node, 0) + 1
            node.seen.most = max(node.seen.most, counts[node])
        node.seen.count += 1
        for attribute in attributes:
            if attribute not in node.attributes:
                self.names.attribute(node, attribute)
        self.frames.append(frame)

    def _remember(self, node: Node) -> None:
        if self.is_inside and node not in self._before:
            self._before[node], node.seen = node.seen, copy(node.seen)

    def _end(self, name: str) -> None:
        self._text(is_end=True)
        frame = self.frames.pop()
        seen = frame.node.seen
        if frame.counts:
            seen.mixed += frame.has_text
        seen.has_text |= frame.has_text and not frame.counts
        if self.is_inside and len(self.frames) == self._depth:
            self.is_inside, self.value = False, {}
            self._before.clear()
            self._bindings = []

    def _text(self, *, is_end: bool) -> None:
        if not self.parts:
            return
        text = "".join(self.parts)
        self.parts.clear()
        if self.frames:
            frame = self.frames[-1]
            node = frame.node
            if text.strip(WHITESPACE) or (is_end and not frame.counts and "\n" not in text):
                frame.has_text = True
                fault = self.names.dialect.fault
                if fault is not None and node.path[: len(fault)] == fault:
                    self.fault_text = f"{self.fault_text or ''} {text.strip(WHITESPACE)}"[:300].strip()


class Ended(Exception):
    """The record that is skipped has ended."""


class Skipper:
    """Listens for the end of one element."""

    def __init__(self) -> None:
        self._depth = 0
        self._parser: Any = None
        self.end = 0
        """Where its end tag begins, by the parser."""

    def attach(self, parser: Any) -> None:
        self._parser = parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > 1000:
            raise Refused("too_deep", "nested too deep")

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.end = self._parser.CurrentByteIndex
            raise Ended


def _xmlns(binding: tuple[str | None, str | None]) -> str:
    prefix, uri = binding
    escaped = (uri or "").replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f' xmlns:{prefix}="{escaped}"' if prefix else f' xmlns="{escaped}"'


def _refuse_entity(*_: Any) -> None:
    reason = "the DOCTYPE declares entities; they are not expanded, since they can fetch files and fill memory"
    raise Refused("xml_entities", reason)


def _refuse_skipped(name: str, is_parameter: bool) -> None:
    if not is_parameter:
        raise Refused("undefined_entity", f"&{name[:50]}; is declared in a DTD, which is not read")


def _refuse_default(element: str, attribute: str, type: str, default: str | None, required: bool) -> None:
    if default is not None:
        raise Refused("xml_dtd", "the DOCTYPE gives default values of attributes; DTDs are not applied")
