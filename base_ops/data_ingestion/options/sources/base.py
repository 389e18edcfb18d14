"""What the blocks of all protocols have in common."""

from __future__ import annotations

from typing import Literal

from base_ops.core.spec import Spec


class ProtocolSpec(Spec):
    """Base of a source's protocol block."""

    @property
    def moves_cursor(self) -> bool:
        """Whether a fetch brings only what is new behind a cursor: such objects add up (mode: append)."""
        return False

    @property
    def takes_window(self) -> bool:
        """Whether a fetch can be limited to a window of time (backfill)."""
        return False

    @property
    def needs_mode(self) -> Literal["snapshot", "append"] | None:
        """The only mode of a source that its objects are right for: what is fetched adds up, or replaces by name."""
        return "append" if self.moves_cursor else None

    @property
    def repeatable(self) -> bool:
        """Whether the peer gives the same again when it is asked from an earlier cursor."""
        return True
