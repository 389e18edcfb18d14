"""Whether the beginning of a text has the structure of YAML records, whatever its name."""

from __future__ import annotations

import re

import yaml

_STRUCTURED, _FLAT, _LIST = 0.97, 0.9, 0.3
_DEPTH = 20
_EVENTS = 5_000
_KEY = re.compile(r"[A-Za-z_$][\w./$ -]{0,60}|\d{1,6}")
_BLOCK = frozenset("|>")


def structure(head: bytes, *, complete: bool) -> float:
    """How sure it is: a list of mappings, or a mapping with something in it, are no other format; a flat one might be.

    Args:
        complete: `head` is the whole object, else it is cut anywhere.
    """
    text = head if complete else head[: head.rfind(b"\n") + 1]
    seen = _Seen()
    try:
        for number, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
            if number > _EVENTS or not seen.take(event):
                break
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        if complete or mark is None or mark.line < text.count(b"\n") - 1:
            return 0.0
    return seen.verdict()


class _Seen:
    """What the events up to here say of the first document."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.keys: list[str] = []
        self.mappings = self.scalars = 0
        self.is_nested = self.is_wrong = False
        self._expects_key = False

    def take(self, event: yaml.Event) -> bool:
        """Whether there is more to look at."""
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin("m" if isinstance(event, yaml.MappingStartEvent) else "s", flow=bool(event.flow_style))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.path.pop()
            self._expects_key = self.path == ["m"]
        elif isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
            self._scalar(event)
        return not (self.is_wrong or isinstance(event, yaml.DocumentEndEvent))

    def _begin(self, kind: str, *, flow: bool) -> None:
        if self.path == ["s"]:
            self.mappings += kind == "m"
            self.scalars += kind != "m"
        elif self.path == ["m"]:
            self.is_wrong = self._expects_key  # a key that is no text
            self.is_nested = True
        self.path.append(kind)
        self.is_wrong = self.is_wrong or len(self.path) > _DEPTH or (flow and len(self.path) == 1)
        self._expects_key = self.path == ["m"]

    def _scalar(self, event: yaml.Event) -> None:
        if self.path == ["s"]:
            self.scalars += 1
        elif self.path == ["m"]:
            if self._expects_key:
                key = getattr(event, "value", "")
                self.is_wrong = key in self.keys or not _KEY.fullmatch(key)
                self.keys.append(key)
            else:
                self.is_nested = self.is_nested or getattr(event, "style", None) in _BLOCK
            self._expects_key = not self._expects_key

    def verdict(self) -> float:
        if self.is_wrong:
            return 0.0
        if (self.mappings and not self.scalars) or self.is_nested:
            return _STRUCTURED
        if len(self.keys) > 1:
            return _FLAT
        return _LIST if self.scalars > 1 and not self.mappings else 0.0
