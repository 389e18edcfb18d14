"""A layout for text whose columns are aligned, found from the positions that are blank in all lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEAST_LINES = 3
_LINES = 500


@dataclass(frozen=True)
class Span:
    """A proposed field: characters from `start` (1-based)."""

    name: str
    start: int
    length: int


def aligned_lines(text: str) -> list[str]:
    """The first lines where all are equally long and there are enough to tell, else nothing."""
    lines = [line.removesuffix("\r") for line in text.split("\n")[: _LINES + 1]]
    lines = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line]
    same = len({len(line) for line in lines}) == 1
    return lines if same and len(lines) >= _LEAST_LINES and len(lines[0]) > 1 else []


def find_spans(lines: list[str]) -> list[Span]:
    """Runs of positions that are not blank in all lines; named by the first line where it reads like names."""
    width = max(map(len, lines), default=0)
    used = [any(line[i : i + 1].strip() for line in lines) for i in range(width)]
    edges = [i for i in range(width + 1) if (i < width and used[i]) != (i > 0 and used[i - 1])]
    places = list(zip(edges[::2], edges[1::2], strict=True))
    names = [re.sub(r"\W+", "_", lines[0][start:stop].strip()).strip("_").lower() for start, stop in places]
    if not has_names(lines) or not all(names) or len(set(names)) < len(names):
        names = [f"column_{number}" for number in range(1, len(places) + 1)]
    return [Span(name, start + 1, stop - start) for name, (start, stop) in zip(names, places, strict=True)]


def has_names(lines: list[str]) -> bool:
    """Whether the first line names the columns: it has no digits, and those below have some."""
    return bool(lines) and not re.search(r"\d", lines[0]) and any(re.search(r"\d", line) for line in lines[1:])


def as_yaml(spans: list[Span], *, header: bool) -> str:
    """The spans as `read:` takes them, to be pasted and corrected."""
    fields = "".join(f"      - {{name: {s.name}, start: {s.start}, length: {s.length}}}\n" for s in spans)
    first = "  header: true\n" if header else ""
    return f"read:\n  format: fixed_width\n{first}  fixed_width:\n    fields:\n{fields}"
