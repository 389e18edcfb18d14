"""A text that is read on as it is looked at."""

from __future__ import annotations

from collections.abc import Iterator


class Text:
    """The part of the text that is looked at; lines are counted as it moves on."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self.data, self.at, self.line, self.is_all = "", 0, 1, False
        self.read = 0

    def more(self) -> bool:
        """Read on; False at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.is_all = True
            return False
        self.data, self.at = self.data[self.at :] + chunk, 0
        self.read += len(chunk)
        return True

    def need(self, size: int) -> None:
        while len(self.data) - self.at < size and self.more():
            pass

    def move(self, end: int) -> None:
        self.line += self.data.count("\n", self.at, end)
        self.at = end

    @property
    def left(self) -> int:
        return len(self.data) - self.at
