"""From the parser's events to values: without constructors, with limits, and without recursion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from base_ops.core.errors import BadInput
from base_ops.worker.formats.records.values import MAX_DEPTH, Refused
from base_ops.worker.formats.yaml.scalars import CORE, plain, tagged

MAX_NODES = 2_000_000
"""Of one record, and of all that anchors hold."""
_FREE_ALIASED = 100_000
_MOST_ALIASED = 10
"""Aliases may repeat at most so many times as many nodes as the object has (beyond _FREE_ALIASED)."""
_MISSING = object()


@dataclass
class _Open:
    """A mapping or sequence that has not ended."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    size: int = 1
    key: Any = _MISSING
    seen: set[Any] = field(default_factory=set)
    merged: list[dict[str, Any]] = field(default_factory=list)


class Builder:
    """Builds one value at a time out of the events of a stream named `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._stack: list[_Open] = []
        self._nodes = self._aliased = self._held = 0
        self._skipped = 0
        """Levels that are open below the deepest level kept."""
        self.fault: Refused | None = None
        """Why the value built last (or being built) cannot be used."""

    def begin_document(self) -> None:
        """Anchors do not reach into the next document."""
        self._anchors.clear()
        self._held = 0

    def begin(self) -> None:
        """A new value begins."""
        self.fault = None
        self._size = 0

    def take(self, event: yaml.Event) -> tuple[bool, Any]:
        """Take the next event: whether the value is complete, and the value."""
        self._nodes += 1
        try:
            if isinstance(event, yaml.ScalarEvent):
                return self._put(self._scalar(event), None, 1, is_plain_key=event.implicit[0])
            if isinstance(event, yaml.AliasEvent):
                value, size = self._alias(event)
                return self._put(value, None, size, is_plain_key=False)
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                return self._open(event)
        except Refused as verdict:
            self.fault = self.fault or verdict
            return self._put(None, getattr(event, "anchor", None), 1, is_plain_key=False)
        return self._close()

    # -- collections

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> tuple[bool, Any]:
        if self._skipped or len(self._stack) >= MAX_DEPTH:
            self._skipped += 1
            self.fault = self.fault or Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
            if self._skipped > 10 * MAX_DEPTH:
                raise BadInput(f"{self._name} is nested far too deep", code="too_deep", where=_place(self._name, event))
            return False, None
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{CORE}{'map' if is_mapping else 'seq'}"):
            self.fault = self.fault or Refused("tag", f"the tag {str(event.tag)[:100]!r} is not supported")
        self._stack.append(_Open({} if is_mapping else [], event.anchor))
        return False, None

    def _close(self) -> tuple[bool, Any]:
        if self._skipped:
            self._skipped -= 1
            return (False, None) if self._skipped else self._put(None, None, 1, is_plain_key=False)
        done = self._stack.pop()
        if isinstance(done.value, dict):
            for mapping in done.merged:
                for key, value in mapping.items():
                    done.value.setdefault(key, value)
        return self._put(done.value, done.anchor, done.size, is_plain_key=False)

    def _put(self, value: Any, anchor: str | None, size: int, *, is_plain_key: bool) -> tuple[bool, Any]:
        """Put a complete value where it belongs."""
        if self._skipped:
            return False, None
        if anchor is not None:
            self._hold(anchor, value, size)
        if not self._stack:
            return True, value
        parent = self._stack[-1]
        parent.size += size
        if parent.size > MAX_NODES:
            raise BadInput(
                f"{self._name} holds a record of more than {MAX_NODES} values", code="too_large", where=self._name
            )
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is _MISSING:
            parent.key = (value, is_plain_key)
        else:
            key, parent.key = parent.key, _MISSING
            try:
                _add(parent, key, value)
            except Refused as verdict:
                self.fault = self.fault or verdict
        return False, None

    # -- scalars, anchors

    @property
    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _MISSING

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if self._skipped:
            return None
        if event.tag is not None:
            value = tagged(event.tag, event.value)
        else:
            value = plain(event.value) if event.implicit[0] else event.value
        if event.anchor is not None:  # an alias may be a key where this is none, and the other way round
            self._hold(event.anchor, _Key(event.value, value), 1)
        return _Key(event.value, value) if self._awaits_key else value

    def _hold(self, anchor: str, value: Any, size: int) -> None:
        self._anchors[anchor] = (value, size)
        self._held += size
        if self._held > MAX_NODES:
            raise BadInput(f"{self._name} holds anchors to more than {MAX_NODES} values", code="too_large")

    def _alias(self, event: yaml.AliasEvent) -> tuple[Any, int]:
        if event.anchor is None or event.anchor not in self._anchors:
            within = any(place.anchor == event.anchor for place in self._stack)
            raise BadInput(
                f"{self._name}: the alias *{str(event.anchor)[:100]} {'holds itself' if within else 'names no anchor'}",
                code="recursive_alias" if within else "not_this_format",
                where=_place(self._name, event),
            )
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > max(_FREE_ALIASED, _MOST_ALIASED * self._nodes):
            raise BadInput(
                f"{self._name}: its aliases repeat {self._aliased} values, which {self._nodes} nodes stand for",
                code="alias_bomb",
                where=_place(self._name, event),
                todo="have the source write the values out",
            )
        return (value.value if isinstance(value, _Key) and not self._awaits_key else value), size


class _Key(str):
    """A key: its text, and the value that the text stands for."""

    value: Any

    def __new__(cls, text: str, value: Any) -> _Key:
        made = super().__new__(cls, text)
        made.value = value
        return made


def _add(parent: _Open, key: tuple[Any, bool], value: Any) -> None:
    name, is_plain = key
    if not isinstance(name, str):
        raise Refused("key", "a key is neither text nor a plain value")
    canonical = name.value if isinstance(name, _Key) else name
    text = str(name)
    assert isinstance(parent.value, dict)
    if text == "<<" and is_plain:
        _merge(parent, value)
        return
    if text in parent.value or (type(canonical), canonical) in parent.seen:
        raise Refused("duplicate_key", "the key appears twice in one mapping", text[:100])
    parent.seen.add((type(canonical), canonical))
    parent.value[text] = value


def _merge(parent: _Open, value: Any) -> None:
    mappings = value if isinstance(value, list) else [value]
    if not all(isinstance(mapping, dict) for mapping in mappings):
        raise Refused("merge_key", "the value of << is neither a mapping nor a list of mappings")
    parent.merged += mappings


def _place(name: str, event: yaml.Event) -> str:
    return f"{name}, line {event.start_mark.line + 1}" if event.start_mark else name
