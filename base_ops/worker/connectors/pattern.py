"""Path patterns: `*`, `**` and captures, matched in bounded time whatever the name.

*        any characters within a name
**       any number of folders (a whole segment)
{name}   one or more characters within a name, kept; as long as possible; used again, it means the same text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from base_ops.core.errors import ConfigError

_TOKEN = re.compile(
    r"\{(?P<capture>[a-z_][a-z0-9_]*)\}|(?P<deep>(?:(?<=/)|^)\*\*(?:/|$))|(?P<star>\*)|(?P<text>[^*{}]+)"
)
_WILD = re.compile(r"[*{]")


@dataclass(frozen=True)
class PathPattern:
    """A pattern below a base folder. `base` holds no wildcard; `tail` is matched against relative paths."""

    base: str
    tail: str

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Split at the last `/` before the first wildcard; a folder (trailing `/`) means everything below it.

        Raises:
            ConfigError: braces that are no capture.
        """
        if text.endswith("/"):
            text += "**"
        wild = _WILD.search(text)
        cut = text.rfind("/", 0, wild.start() if wild else len(text)) + 1
        pattern = cls(text[:cut].rstrip("/") or text[:cut], text[cut:])
        _ = pattern.tokens
        return pattern

    @cached_property
    def tokens(self) -> tuple[tuple[str, str], ...]:
        """(kind, text) in order; kinds: text, star, deep, capture."""
        found, at = [], 0
        while at < len(self.tail):
            match = _TOKEN.match(self.tail, at)
            if match is None or match.lastgroup is None:
                raise ConfigError(
                    f"The pattern {self.tail!r} has a brace that is no capture",
                    code="bad_pattern",
                    where="source.files.path",
                    expected="{name} with lower-case letters, digits and '_'",
                )
            found.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tuple(found)

    @property
    def captures(self) -> tuple[str, ...]:
        """Names of the captures, each once."""
        return tuple(dict.fromkeys(text for kind, text in self.tokens if kind == "capture"))

    @property
    def prefix(self) -> str:
        """How every matching name begins, for servers that can list by it."""
        kind, text = self.tokens[0] if self.tokens else ("", "")
        return text.split("/")[0] if kind == "text" else ""

    @property
    def depth(self) -> int | None:
        """How many folders deep a match lies below the base; None: any number."""
        return None if any(kind == "deep" for kind, _ in self.tokens) else self.tail.count("/")

    def match(self, path: str) -> dict[str, str] | None:
        """The captures of a relative path, or None where it does not fit."""
        return _Match(self.tokens, path).at(0, 0, {})


class _Match:
    """Backtracking that never tries the same state twice: at most tokens × length states."""

    def __init__(self, tokens: tuple[tuple[str, str], ...], path: str) -> None:
        self.tokens, self.path = tokens, path
        names = [text for kind, text in tokens if kind == "capture"]
        self.repeated = {name for name in names if names.count(name) > 1}
        self.failed: set[tuple[int, int, tuple[tuple[str, str], ...]]] = set()

    def at(self, token: int, start: int, bound: dict[str, str]) -> dict[str, str] | None:
        """Match the tokens from `token` on with the path from `start` on."""
        if token == len(self.tokens):
            return bound if start == len(self.path) else None
        state = (token, start, tuple((k, v) for k, v in bound.items() if k in self.repeated))
        if state in self.failed:
            return None
        kind, text = self.tokens[token]
        for end in self._ends(kind, text, start, bound):
            now = {**bound, text: self.path[start:end]} if kind == "capture" else bound
            if (found := self.at(token + 1, end, now)) is not None:
                return found
        self.failed.add(state)
        return None

    def _ends(self, kind: str, text: str, start: int, bound: dict[str, str]) -> list[int]:
        """Where this token may end, longest first."""
        path = self.path
        if kind == "deep":
            if text == "**":
                return [len(path)] if start < len(path) else []
            return [i + 1 for i in range(len(path) - 1, start - 1, -1) if path[i] == "/"] + [start]
        literal = bound.get(text) if kind == "capture" else text if kind == "text" else None
        if literal is not None:
            return [start + len(literal)] if path.startswith(literal, start) else []
        stop = path.find("/", start)
        stop = len(path) if stop < 0 else stop
        return list(range(stop, start - (kind == "star"), -1))
