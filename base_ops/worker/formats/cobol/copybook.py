"""Copybooks: the text of COBOL data descriptions to a tree of items.

Read are levels 01 to 49, 66 and 88 (which describe no bytes of their own), 77 (not part of a record), the clauses
PICTURE, USAGE, OCCURS (DEPENDING ON), REDEFINES, SIGN, JUSTIFIED, BLANK WHEN ZERO, VALUE, SYNCHRONIZED, EXTERNAL,
GLOBAL; fixed form (columns 7 to 72, continuation lines) and free form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn

from base_ops.core.errors import ConfigError
from base_ops.worker.formats.cobol.picture import BadPicture, Picture, parse_picture

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^\s'\"]+|['\"]")
_INCLUDES = ("COPY", "REPLACE", "EXEC", "++INCLUDE", "-INC")
_LISTING = re.compile(r"\s*(EJECT|SKIP[123]|TITLE\s.*)\.?\s*", re.I)
"""Statements that only lay out a compiler's listing."""
_NO_CODE = ("*", "/", "$", "D", "d")
"""In column 7: comments, directives, and lines that only debugging compiles."""
_USAGES = {
    **dict.fromkeys(("COMP", "COMPUTATIONAL", "COMP-4", "COMPUTATIONAL-4", "BINARY"), "binary"),
    **dict.fromkeys(("COMP-5", "COMPUTATIONAL-5"), "native"),
    **dict.fromkeys(("COMP-1", "COMPUTATIONAL-1"), "float"),
    **dict.fromkeys(("COMP-2", "COMPUTATIONAL-2"), "double"),
    **dict.fromkeys(("COMP-3", "COMPUTATIONAL-3", "PACKED-DECIMAL"), "packed"),
    "DISPLAY": "display",
    "NATIONAL": "national",
}
_CLAUSES = {
    "REDEFINES", "PIC", "PICTURE", "USAGE", "OCCURS", "VALUE", "VALUES", "SIGN", "LEADING", "TRAILING", "SEPARATE",
    "JUST", "JUSTIFIED", "BLANK", "SYNC", "SYNCHRONIZED", "EXTERNAL", "GLOBAL", "INDEXED", "ASCENDING", "DESCENDING",
    *_USAGES,
}  # fmt: skip


@dataclass
class Item:
    """One data description entry."""

    level: int
    name: str | None
    """Upper case; None: FILLER."""
    line: int
    picture: Picture | None = None
    usage: str | None = None
    redefines: str | None = None
    occurs: tuple[int, int] | None = None
    """Least and greatest number of occurrences."""
    depending: tuple[str, ...] | None = None
    """The item that tells how often, and the groups it is said to be in, the innermost first."""
    sign: tuple[Literal["leading", "trailing"], bool] | None = None
    """Where the sign stands, and whether in a byte of its own."""
    right: bool = False
    blank_is_zero: bool = False
    synchronized: bool = False
    children: list[Item] = field(default_factory=list)


def parse_copybook(text: str, form: str | None = None) -> list[Item]:
    """The top-level items: records.

    Args:
        form: fixed or free; default: fixed where all lines look like it and none is longer than a card.

    Raises:
        ConfigError: copy_not_supported, bad_copybook; with the line.
    """
    if not text.strip() or (len(text.split()) == 1 and not text.strip().endswith(".")):
        raise ConfigError(
            "read.cobol.copybook is not the text of a copybook",
            code="bad_copybook",
            where="read.cobol.copybook",
            expected="the text itself, e.g. 'copybook: |' and the lines below it; not a path",
        )
    lines = text.expandtabs(8).splitlines()
    items = [item for item in map(_item, _sentences(lines, form or _form_of(lines))) if item is not None]
    if not items:
        raise _fault(1, "it describes no data")
    return _tree(items)


# -- lines to sentences


def _form_of(lines: list[str]) -> str:
    full = [line for line in lines if line.strip()]
    if any(len(line.rstrip()) > 80 for line in full):  # no card: what stands behind column 72 would be lost
        return "free"
    is_fixed = all(re.match(r"(\d{6}| {6})([ *\-/Dd$]|$)|[\d ]{0,6}$", line) for line in full)
    return "fixed" if is_fixed and any(re.match(r"(\d{6}| {6}) +\d", line) for line in full) else "free"


def _sentences(lines: list[str], form: str) -> Iterator[list[tuple[str, int]]]:
    """Words with their lines, up to each period."""
    words: list[tuple[str, int]] = []
    for number, text in _code(lines, form):
        for token in _TOKEN.findall(text):
            if token in ("'", '"'):
                raise _fault(number, "a literal has no end")
            if token[0] in "'\"":
                words.append((token, number))
                continue
            word = token.rstrip(",;").upper() if not token.endswith(".") else token.upper()
            ends = word.endswith(".")
            word = word[:-1] if ends else word
            if word:
                words.append((word, number))
            if ends and words:
                yield words
                words = []
    if words:
        raise _fault(words[0][1], "the entry does not end with a period")


def _code(lines: list[str], form: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and margins, continuation lines joined to theirs."""
    if form == "free":
        for number, line in enumerate(lines, 1):
            code = line.split("*>")[0]
            if code.strip() and not code.lstrip().startswith("*") and not _LISTING.fullmatch(code):
                yield number, code
        return
    kept: tuple[int, str] | None = None
    for number, line in enumerate(lines, 1):
        mark, code = line[6:7], line[7:72]
        if not code.strip() or mark in _NO_CODE or _LISTING.fullmatch(code):
            continue
        code = code.split("*>")[0]
        if mark == "-" and kept is not None:
            kept = kept[0], _continued(kept[1], code)
        else:
            if kept is not None:
                yield kept
            kept = number, code
    if kept is not None:
        yield kept


def _continued(before: str, code: str) -> str:
    text = code.lstrip()
    for quote in "'\"":
        if before.count(quote) % 2:  # an open literal: blanks up to column 72 belong to it
            return before.ljust(65) + text.removeprefix(quote)
    return before.rstrip() + text


# -- sentences to items


def _fault(line: int, what: str) -> ConfigError:
    return ConfigError(
        f"The copybook cannot be read: {what}", code="bad_copybook", where=f"read.cobol.copybook, line {line}"
    )


class _Words:
    """The words of one sentence, taken from the front."""

    def __init__(self, words: list[tuple[str, int]]) -> None:
        self._words, self._at = words, 0
        self.line = words[0][1]

    def peek(self) -> str | None:
        return self._words[self._at][0] if self._at < len(self._words) else None

    def take(self, what: str) -> str:
        word = self.peek()
        if word is None:
            self.fail(f"{what} is missing")
        self.line = self._words[self._at][1]
        self._at += 1
        return word

    def skip(self, *noise: str) -> None:
        while self.peek() in noise:
            self._at += 1

    def skip_names(self) -> None:
        """Names up to the next clause; a number begins an entry whose predecessor has no period."""
        while (word := self.peek()) is not None and word not in _CLAUSES and not word.isdigit():
            self._at += 1

    def skip_value(self) -> None:
        """One value, or several literals; nothing behind them, which is an entry where a period is missing."""
        self.skip("IS", "ARE", "ALL")
        self.take("the value")
        while (word := self.peek()) is not None and (word == "&" or word[0] in "'\""):
            self._at += 1
            if word == "&":
                self.take("the rest of the value")

    def integer(self, what: str) -> int:
        word = self.take(what)
        if not word.isascii() or not word.isdigit() or len(word) > 9:
            self.fail(f"{what} is not a number: {word[:30]!r}")
        return int(word)

    def fail(self, what: str) -> NoReturn:
        raise _fault(self.line, what)


def _item(sentence: list[tuple[str, int]]) -> Item | None:
    """The entry of a sentence; None where it describes no bytes of a record."""
    words = _Words(sentence)
    first = words.peek()
    if first in _INCLUDES:
        raise ConfigError(
            f"The copybook holds {first}, which is not supported",
            code="copy_not_supported",
            where=f"read.cobol.copybook, line {words.line}",
            todo="put the text that is copied in its place",
        )
    level = words.integer("the level")
    if level in (66, 77, 78, 88):
        return None
    if not 1 <= level <= 49:
        words.fail(f"there is no level {level}")
    item = Item(level, None, words.line)
    if (word := words.peek()) is not None and word not in _CLAUSES:
        name = words.take("the name")
        if not re.fullmatch(r"[A-Z0-9_#@$-]{1,60}", name):
            words.fail(f"{name[:60]!r} is not a name")
        item.name = None if name == "FILLER" else name
    while words.peek() is not None:
        _clause(words, item)
    return item


def _clause(words: _Words, item: Item) -> None:
    word = words.take("a clause")
    if word in _USAGES:
        item.usage = _USAGES[word]
    elif word == "USAGE":
        words.skip("IS")
        usage = words.take("the usage")
        if usage not in _USAGES:
            words.fail(f"USAGE {usage[:30]} is not supported")
        item.usage = _USAGES[usage]
    elif word in ("PIC", "PICTURE"):
        words.skip("IS")
        picture = words.take("the picture")
        if item.picture is not None:
            words.fail(f"a second PICTURE, {picture[:40]}")
        try:
            item.picture = parse_picture(picture)
        except BadPicture as error:
            words.fail(f"PICTURE {picture[:40]}: {error}")
    elif word == "REDEFINES":
        item.redefines = words.take("the name of what is redefined")
    elif word == "OCCURS":
        _occurs(words, item)
    elif word in ("VALUE", "VALUES"):
        words.skip_value()
    elif word in ("INDEXED", "ASCENDING", "DESCENDING"):
        words.skip_names()
    elif word == "SIGN":
        words.skip("IS")
    elif word in ("LEADING", "TRAILING"):
        item.sign = ("leading" if word == "LEADING" else "trailing", words.peek() == "SEPARATE")
    elif word in ("JUST", "JUSTIFIED"):
        item.right = True
        words.skip("RIGHT")
    elif word == "BLANK":
        words.skip("WHEN")
        item.blank_is_zero = words.take("ZERO").startswith("ZERO")
    elif word in ("SYNC", "SYNCHRONIZED"):
        item.synchronized = True
        words.skip("LEFT", "RIGHT")
    elif word in ("SEPARATE", "EXTERNAL", "GLOBAL"):
        words.skip("CHARACTER", "IS")
    else:
        words.fail(f"{word[:40]!r} is not known or not supported")


def _occurs(words: _Words, item: Item) -> None:
    least = greatest = words.integer("the number of occurrences")
    if words.peek() == "TO":
        words.skip("TO")
        greatest = words.integer("the greatest number of occurrences")
    words.skip("TIMES")
    if words.peek() == "DEPENDING":
        words.skip("DEPENDING")
        words.skip("ON")
        names = [words.take("what OCCURS depends on")]
        while words.peek() in ("OF", "IN"):
            words.skip("OF", "IN")
            names.append(words.take("the group of what OCCURS depends on"))
        item.depending = tuple(names)
        least = 0 if least == greatest else least
    elif least != greatest:
        words.fail("OCCURS … TO … needs DEPENDING ON")
    if not 0 <= least <= greatest or not greatest:
        words.fail(f"OCCURS {least} TO {greatest} cannot be")
    item.occurs = (least, greatest)


# -- items to trees


def _tree(items: list[Item]) -> list[Item]:
    roots: list[Item] = []
    stack: list[Item] = []
    for item in items:
        while stack and stack[-1].level >= item.level:
            stack.pop()
        (stack[-1].children if stack else roots).append(item)
        stack.append(item)
    if roots[0].level != 1:  # a part of a record: its items stand one after the other
        if any(root.level == 1 for root in roots):
            raise _fault(items[0].line, "items stand before the first level 01")
        roots = [Item(1, None, items[0].line, children=roots)]
    return [_inherited(root, root) for root in roots]


def _inherited(item: Item, group: Item) -> Item:
    """USAGE, SIGN and SYNCHRONIZED of a group hold for its items. Levels bound the depth."""
    usage, sign = item.usage or group.usage, item.sign or group.sign
    synchronized = item.synchronized or group.synchronized
    if item.children and item.picture is not None:
        raise _fault(item.line, "an item with a PICTURE has items below it")
    item = replace(item, usage=usage, sign=sign, synchronized=synchronized)
    item.children = [_inherited(child, item) for child in item.children]
    return item
