"""Records as values: nested objects of texts, with what the elements around them say.

    <Amt Ccy="EUR">1.00</Amt>    Amt: "1.00", Amt.Ccy: "EUR"        text and attributes stand side by side
    <Pty ID="A" R="1"/>          Pty: {ID: "A", R: "1"}             what has attributes or children is an object
    <n>a</n><n>b</n>             n: ["a", "b"]                      what repeats is a list
    <Leg a="1"/><Leg a="2"/>     Leg: '[{"a":"1"},{"a":"2"}]'       of objects as JSON text
    <p>a <b>c</b></p>            p: "a <b>c</b>"                    mixed content is its XML text
    <a/>                         a: ""
    <a xsi:nil="true"/>          a: null

With nested: keep, lists of objects stay lists; as JSON text their type is the same for every document of a feed.
"""

from __future__ import annotations

import json
from typing import Any

from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.handlers import WHITESPACE, Frame, Handler
from base_ops.worker.formats.xml.names import MAX_DEPTH, TEXT, Names, Node

_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NIL = "\0nil"
_MAX_KEYED = 100


class Walker(Handler):
    """Makes values.

    Args:
        max_bytes: of the texts that stand around a record.
        keep_nested: lists of objects stay lists.
    """

    def __init__(self, names: Names, max_bytes: int, *, keep_nested: bool = False) -> None:
        super().__init__(names)
        self.unread: dict[str, int] = {}
        """Paths of elements that are no part of any row, and how often they were met."""
        self._max_bytes, self._keep_nested = max_bytes, keep_nested
        self._context: dict[str, Any] | None = None
        self._taken = {key for node in names.records() for key in node.taken}
        self._node: Node = names.root
        self._value: dict[str, Any] = {}
        self._stack: list[tuple[Node, dict[str, Any]]] = []
        self._branch = False
        """The element that is about to end had children."""
        self._mixed: tuple[int, int] | None = None
        """Where the content of a mixed element begins, and how many of its descendants are open."""

    def _listen(self) -> None:
        self.parser.StartElementHandler = self._start_outer
        self.parser.EndElementHandler = self._end_outer

    def abandon(self) -> None:
        super().abandon()
        self._stack.clear()
        self._mixed = None

    def take(self) -> dict[str, Any] | None:
        """The value of the record that just ended, with that of the elements around it."""
        value = super().take()
        return None if value is None else {**self.context(), **value}

    # -- around the records

    def _start_outer(self, name: str, attributes: dict[str, str]) -> None:
        self._stray()
        frame = self._push(name)
        if frame.node.is_record:
            self._begin(frame.node, attributes)
        else:
            self._context = None
            frame.value = self._attributes(frame.node, attributes)
            if frame.node.leads:
                frame.value.pop(_NIL, None)
            frame.size = sum(map(len, attributes.values()))
            self.frames.append(frame)
            self._branch = False

    def _end_outer(self, name: str) -> None:
        branch, self._branch = self._branch, True
        frame = self.frames.pop()
        outer = self.frames[-1] if self.frames else None
        if outer is None or frame.node.leads:
            self._stray()
            if not frame.has_records and not any(c.leads for c in frame.node.order):
                self._miss(frame.node, "without records")
            self._context = None
            return
        size = frame.size + sum(map(len, self.parts))
        item = self._item(frame.node, frame.value, branch)
        self._context = None
        self._keep(outer, frame.node, item, size)

    def _keep(self, outer: Frame, node: Node, item: Any, size: int) -> None:
        """Put a finished element into the one around it; what repeats or comes behind records has no place there."""
        path = self.names.dialect.keyed.get(node.local)
        is_keyed = path is not None and outer.node.leads
        if outer.has_records or (not is_keyed and (node.is_list or node.key in outer.value)):
            self._miss(node)
            return
        outer.size += size
        if outer.size > self._max_bytes:
            raise Refused("too_long", f"more than {self._max_bytes} bytes around the records")
        if is_keyed and path is not None:
            self._keep_keyed(outer, node, item, path)
        else:
            self._put(outer.value, node, item)

    def _keep_keyed(self, outer: Frame, node: Node, item: Any, path: str) -> None:
        kept = outer.value.setdefault(node.key, {})
        key: Any = item
        for step in path.split("."):
            key = key.get(step) if isinstance(key, dict) else None
        if isinstance(key, str) and key and key not in kept and len(kept) < _MAX_KEYED:
            kept[key] = item
        else:
            self._miss(node)

    def _stray(self) -> None:
        """Text directly inside an element that has children."""
        if self.parts:
            if "".join(self.parts).strip(WHITESPACE) and self.frames:
                self._miss(self.frames[-1].node, "text")
            self.parts.clear()

    def _miss(self, node: Node, what: str = "") -> None:
        path = "/".join(node.path) + (f" ({what})" if what else "")
        if path in self.unread or len(self.unread) < 100:
            self.unread[path] = self.unread.get(path, 0) + 1

    def context(self) -> dict[str, Any]:
        """What the elements around the record say, by the names of its columns."""
        if self._context is None:
            taken, made = self._taken, dict[str, Any]()
            for frame in self.frames:
                name, content = frame.node.local, frame.value
                if frame.node.local in self.names.dialect.wrappers:
                    for key, item in content.items():
                        made[_free(key, name, taken, made)] = item
                elif content:
                    made[_free(name, "parent", taken, made)] = content
            self._context = made
        return self._context

    # -- inside a record

    def _begin(self, node: Node, attributes: dict[str, str]) -> None:
        for frame in self.frames:
            frame.has_records = True
        self.opened = self.is_inside = True
        self.began = self.parser.CurrentByteIndex
        self._node, self._branch = node, False
        kind = self.names.dialect.kind
        self._value = {kind: node.local} if kind is not None else {}
        self._value.update(self._attributes(node, attributes))
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        if node.is_mixed:
            self._begin_mixed()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self.parts:
            self._check_blank()
        outer = self._node
        node = outer.children.get(name) or self.names.child(outer, name)
        self._stack.append((outer, self._value))
        if len(self._stack) + len(self.frames) >= MAX_DEPTH:
            raise Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
        self._node, self._branch = node, False
        self._value = self._attributes(node, attributes) if attributes else {}
        if node.is_mixed:
            self._begin_mixed()

    def _end(self, name: str) -> None:
        node, value, branch = self._node, self._value, self._branch
        self._branch = True
        if not self._stack:
            self._finish(node, value, branch)
            return
        self._node, self._value = self._stack.pop()
        if branch or value:
            item = self._item(node, value, branch)
        else:  # the most frequent case: text and nothing else
            item = "".join(self.parts)
            self.parts.clear()
            if "\n" in item and not item.strip(WHITESPACE):
                item = ""
            if (node.is_branch and not node.is_mixed) or (node.attributes and not node.is_dotted):
                item = {TEXT: item} if item else {}
        if node.is_list:
            self._value.setdefault(node.key, []).append(item)
        elif node.key in self._value:
            self._repeat(node, item)
        elif type(item) is tuple:
            self._put(self._value, node, item)
        else:
            self._value[node.key] = item

    def _finish(self, node: Node, value: dict[str, Any], branch: bool) -> None:
        text = self._text()
        value.pop(_NIL, None)
        if branch:
            self._check(text)
        elif text or not (value or node.is_branch):
            value[node.local if node.local not in value else TEXT] = text
        if node.has_lists and not self._keep_nested:
            _write_lists(node, value)
        self.value, self.is_inside = value, False
        self._bindings = []
        self._listen()

    def _item(self, node: Node, value: dict[str, Any], branch: bool) -> Any:
        """The value of an element that ends: what `_put` takes."""
        text = self._text()
        if branch:
            self._check(text)
            return value
        is_nil = value.pop(_NIL, False)
        if node.is_dotted:
            return (None if is_nil else text, value)
        if is_nil and not value:
            return None
        if text or (node.seen.has_text and not is_nil):
            if not value and not node.attributes and not node.is_branch:
                return text
            value[TEXT] = text
        return value

    def _put(self, outer: dict[str, Any], node: Node, item: Any) -> None:
        if type(item) is not tuple:
            outer[node.key] = item
            return
        outer[node.key], attributes = item
        for attribute in node.attributes.values():
            if attribute.key in attributes:
                outer[attribute.dotted] = attributes[attribute.key]

    def _repeat(self, node: Node, item: Any) -> None:
        """An element is there again that the first records had once: its texts become a list."""
        if (type(item) is tuple and item[1]) or any(a.dotted in self._value for a in node.attributes.values()):
            raise Refused("repeated", "the element repeats, unlike in the first records", node.key)
        item = item[0] if type(item) is tuple else item
        known = self._value[node.key]
        self._value[node.key] = [*known, item] if isinstance(known, list) else [known, item]

    def _attributes(self, node: Node, attributes: dict[str, str]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for name, text in attributes.items():
            attribute = node.attributes.get(name) or self.names.attribute(node, name)
            if attribute.is_nil:
                if text.strip(WHITESPACE) in ("true", "1"):
                    value[_NIL] = True
            elif not attribute.is_ignored:
                value[attribute.key] = text
        return value

    def _text(self) -> str:
        if not self.parts:
            return ""
        text = "".join(self.parts)
        self.parts.clear()
        return text if "\n" not in text or text.strip(WHITESPACE) else ""

    def _check_blank(self) -> None:
        text = "".join(self.parts)
        self.parts.clear()
        self._check(text)

    def _check(self, text: str) -> None:
        if text.strip(WHITESPACE):
            raise Refused("mixed_content", "text beside elements, unlike in the first records", self._node.key)

    # -- mixed content

    def _begin_mixed(self) -> None:
        self._mixed = (self.parser.CurrentByteIndex, 0)
        self.parser.StartElementHandler = self._start_mixed
        self.parser.EndElementHandler = self._end_mixed

    def _start_mixed(self, name: str, attributes: dict[str, str]) -> None:
        assert self._mixed is not None
        start, depth = self._mixed
        if depth + len(self._stack) + len(self.frames) >= MAX_DEPTH:
            raise Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
        self._mixed = (start, depth + 1)

    def _end_mixed(self, name: str) -> None:
        assert self._mixed is not None
        start, depth = self._mixed
        if depth:
            self._mixed = (start, depth - 1)
            return
        self._mixed = None
        self.parts.clear()
        self.parts.append(self.raw(start, self.parser.CurrentByteIndex))
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self._end(name)


def _write_lists(node: Node, value: dict[str, Any]) -> None:
    """Put JSON text in place of the lists of objects."""
    for child in node.order:
        item = value.get(child.key)
        if child.is_list and (child.order or child.attributes):
            if item is not None:
                value[child.key] = _write(item)
        elif child.has_lists and type(item) is dict:
            _write_lists(child, item)


def _free(key: str, prefix: str, taken: set[str], made: dict[str, Any]) -> str:
    while key in taken or key in made:
        key = f"{prefix}.{key}"
    return key
