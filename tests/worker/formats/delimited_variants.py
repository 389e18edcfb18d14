"""Tables of everyday content in every dialect, to see whether the dialect is found again. Made from a seed."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass

_WORDS = [
    "alpha",
    "beta",
    "report",
    "sales",
    "market",
    "north",
    "south",
    "east",
    "blue",
    "green",
    "house",
    "river",
    "the",
    "of",
    "and",
    "with",
    "for",
]


def _words(r: random.Random, least: int, most: int) -> str:
    return " ".join(r.choice(_WORDS) for _ in range(r.randint(least, most)))


def _sentence(r: random.Random) -> str:
    text = _words(r, 3, 10).capitalize()
    text += ", " + _words(r, 2, 6) if r.random() < 0.5 else ""
    text += "; " + _words(r, 1, 4) if r.random() < 0.2 else ""
    text = f'"{text}"' if r.random() < 0.15 else text
    return text + r.choice([".", "!", "", " (see note)", " it's"])


CONTENT: tuple[Callable[[random.Random], str], ...] = (
    lambda r: str(r.randint(-5, 9999)),
    lambda r: f"{r.uniform(-100, 1000):.3f}",
    lambda r: f"{r.uniform(1000, 9e6):,.2f}",
    lambda r: f"{r.uniform(0, 1000):.2f}".replace(".", ","),
    lambda r: f"${r.uniform(1, 9e4):,.2f}",
    lambda r: f"{r.uniform(0, 100):.1f}%",
    lambda r: f"20{r.randint(10, 25)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}",
    lambda r: f"{r.randint(1, 28):02}/{r.randint(1, 12):02}/20{r.randint(10, 25)}",
    lambda r: f"2024-01-{r.randint(1, 28):02}{r.choice('T ')}{r.randint(0, 23):02}:{r.randint(0, 59):02}:00",
    lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}",
    lambda r: r.choice(["Anna Smith", "Ben O'Neil", "Carl Müller", "Jones, Dora"]),
    lambda r: r.choice(["AAPL", "BRK.B", "EUR/USD", "ESZ5"]),
    lambda r: f"{r.choice('ABC')}{r.randint(0, 999999):06}",
    lambda r: f"http://www.x{r.randint(1, 99)}.com/a?b={r.randint(1, 9)}&c=1,2",
    lambda r: f"u{r.randint(1, 99)}@x.org",
    lambda r: r.choice(["true", "false", "Y", "N"]),
    lambda r: r.choice(",;|").join(r.choice(_WORDS) for _ in range(r.randint(2, 4))),
    lambda r: (
        f"{r.randint(1, 99)} {r.choice(_WORDS).title()} St., {r.choice(['Rome', 'Oslo'])}, {r.randint(10000, 99999)}"
    ),
    lambda r: '{"a": 1, "b": "x"}',
    lambda r: "",
    lambda r: _words(r, 1, 3),
    _sentence,
)


@dataclass(frozen=True)
class Variant:
    data: bytes
    delimiter: str
    quote: str | None
    """None where none occurs, so that any will do."""


def variant(seed: int, delimiters: str = ",,,,;;\t\t| ") -> Variant:
    """A table of 2 to 9 columns, in a third of the cases polluted."""
    r = random.Random(seed)
    kinds = [r.choice(CONTENT) for _ in range(r.randint(2, 9))]
    delimiter, quote = r.choice(delimiters), '"' if r.random() < 0.9 else "'"
    escaped = r.random() < 0.08
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=delimiter, quotechar=quote, lineterminator="\n", doublequote=not escaped,
        escapechar="\\" if escaped else None, quoting=r.choice([csv.QUOTE_MINIMAL] * 3 + [csv.QUOTE_ALL]),
    )  # fmt: skip
    if r.random() < 0.8:
        writer.writerow([f"{_words(r, 1, 2)}{r.choice(['', '_1'])}" for _ in kinds])
    for _ in range(r.choice([3, 5, 8, 20, 60, 150])):
        writer.writerow([kind(r) if r.random() > 0.05 else "" for kind in kinds])
    lines = _polluted(text.getvalue().split("\n")[:-1], delimiter, r)
    data = "".join(line + newline for newline in [r.choice(["\n", "\n", "\r\n", "\r"])] for line in lines)
    return Variant(data.encode(), delimiter, quote if quote in data else None)


def _polluted(lines: list[str], delimiter: str, r: random.Random) -> list[str]:
    kind = r.randrange(18)
    if kind == 0:
        return [_sentence(r), "Generated 2024-01-02 03:04", "", *lines]
    if kind == 1:
        return [_words(r, 2, 5), *lines]
    if kind == 2:
        return [line + delimiter + "x" if r.random() < 0.07 else line for line in lines]
    if kind == 3:
        return [line.rsplit(delimiter, 1)[0] if r.random() < 0.07 else line for line in lines]
    if kind == 4:
        return [*lines, "", f"Total {r.randint(1, 999)}", "Source: x, y"]
    return [line + delimiter for line in lines] if kind == 5 else lines
