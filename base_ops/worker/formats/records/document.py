"""A JSON document record by record: the values of its list of records, one after another, checked to the last byte."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from base_ops.core.errors import BadInput
from base_ops.worker.formats.records.values import WHITESPACE, Decoder, Refused, skip_space

_Walk = Generator["Record", None, int]


@dataclass(frozen=True)
class Record:
    """One value of the list of records (or the one value that is there), by its number from 1."""

    number: int
    value: Any
    start: int
    """Where its text begins and ends, as indices of characters."""
    end: int
    fault: Refused | None
    """Why it cannot be used although it is JSON."""


class Document:
    """The text of a document named `name`; its records lie at `path`, e.g. data.items ('' = at the top).

    Args:
        skip_list: is asked where the list of records that begins at a character ends, and has it passed over: its
            records are not yielded then.
    """

    def __init__(self, text: str, name: str, path: str, skip_list: Callable[[int], int] | None = None) -> None:
        self._skip_list = skip_list
        self.text = text
        self._name = name
        self._path = path.split(".") if path else []
        self._decoder = Decoder()

    def records(self) -> Iterator[Record]:
        """All records, in order.

        Raises:
            BadInput: not_this_format, truncated, too_deep, records_not_found, duplicate_key (above the records);
                also behind the last record.
        """
        end = yield from self._walk(self._skip(int(self.text.startswith("\ufeff"))), self._path)
        if self._skip(end) != len(self.text):
            self._refuse("more text after the end", end)

    def resume(self, at: int) -> Iterator[Record]:
        """The records from the one on that begins at `at`, of a list at the top (numbered from 1); as `records`."""
        end = yield from self._elements(at - 1, at)
        if self._skip(end) != len(self.text):
            self._refuse("more text after the end", end)

    def _walk(self, start: int, path: list[str]) -> _Walk:
        if path:
            return (yield from self._member(start, path))
        if self.text[start : start + 1] == "[":
            return self._skip_list(start) if self._skip_list else (yield from self._elements(start))
        value, end, fault = self._value(start)
        if value is not None or not self._path:  # a null in place of the list holds no records
            yield Record(1, value, start, end, fault)
        return end

    def _elements(self, start: int, first: int | None = None) -> _Walk:
        at, number = first or self._skip(start + 1), 0
        if self.text[at : at + 1] == "]":
            return at + 1
        while True:
            number += 1
            value, end, fault = self._value(at)
            yield Record(number, value, at, end, fault)
            at = self._skip(end)
            if self.text[at : at + 1] == "]":
                return at + 1
            at = self._skip(self._expect(at, ",", "',' or ']'"))

    def _member(self, start: int, path: list[str]) -> _Walk:
        """Walk on inside the member path[0] of the object at `start`, and over all others."""
        if self.text[start : start + 1] != "{":
            self._value(start)
            self._no_records(f"no object that could hold {path[0]!r}")
        keys: dict[str, None] = {}
        at = self._skip(start + 1)
        while self.text[at : at + 1] != "}" or keys:
            key, end, _ = self._value(at)
            if type(key) is not str:
                self._refuse("expected a key in double quotes", at)
            at = self._skip(self._expect(self._skip(end), ":", "':'"))
            if key == path[0] and key in keys:
                raise BadInput(f"{self._name} holds {key!r} twice", code="duplicate_key", where=self._place(at))
            keys[key] = None
            at = (yield from self._walk(at, path[1:])) if key == path[0] else self._value(at)[1]
            at = self._skip(at)
            if self.text[at : at + 1] == "}":
                break
            at = self._skip(self._expect(at, ",", "',' or '}'"))
        if path[0] not in keys:
            self._no_records(f"the keys {', '.join(map(repr, list(keys)[:10]))}" if keys else "no keys")
        return at + 1

    # -- small parts

    def _skip(self, at: int) -> int:
        text = self.text
        return at if text[at : at + 1] not in WHITESPACE else skip_space(text, at)

    def _expect(self, at: int, character: str, expected: str) -> int:
        if self.text[at : at + 1] != character:
            self._refuse(f"expected {expected}", at)
        return at + 1

    def _value(self, at: int) -> tuple[Any, int, Refused | None]:
        try:
            value, end, fault = self._decoder.value_at(self.text, at)
        except Refused as verdict:
            if verdict.rule == "syntax":
                what = verdict.reason.split(" at character")[0]
                self._refuse(what, len(self.text) if what.startswith("Unterminated") else verdict.at or at)
            fault = verdict
        if fault is not None and fault.rule == "too_deep":
            raise BadInput(f"{self._name} is {fault.reason}", code="too_deep", where=self._place(at)) from None
        return value, end, fault

    def _refuse(self, what: str, at: int) -> NoReturn:
        cut_off = skip_space(self.text, at) == len(self.text)
        raise BadInput(
            f"{self._name} is cut off" if cut_off else f"{self._name} is not JSON: {what}",
            code="truncated" if cut_off else "not_this_format",
            where=self._place(at),
            found="the end of the file" if cut_off else "",
            todo="fetch it again" if cut_off else "correct the source; comments, NaN and trailing commas are no JSON",
        ) from None

    def _no_records(self, found: str) -> NoReturn:
        raise BadInput(
            f"{self._name} has no records at {'.'.join(self._path)!r}",
            code="records_not_found",
            where="spec.read.records",
            expected="the path of the list of records, keys joined by '.'",
            found=found,
        )

    def _place(self, at: int) -> str:
        line = self.text.count("\n", 0, at) + 1
        return f"{self._name}, line {line}, character {at - self.text.rfind(chr(10), 0, at)}"
