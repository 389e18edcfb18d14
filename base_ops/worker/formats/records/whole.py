"""Documents that are read whole, up to a limit."""

from __future__ import annotations

from base_ops.core.errors import BadInput
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.lines import read_full

USE_NDJSON = "have the source write newline-delimited JSON (format: ndjson), which has no limit"


def read_whole(source: ByteSource, what: str, max_bytes: int, expected: str, todo: str = "") -> bytes:
    """All bytes of an object.

    Raises:
        BadInput: too_large; `what`, `expected` and `todo` as in `too_large`.
    """
    data = b""
    if source.size is None or source.size <= max_bytes:
        with source.open() as file:
            data = read_full(file, max_bytes + 1)
    if len(data) > max_bytes or (source.size or 0) > max_bytes:
        raise too_large(source, what, expected, todo)
    return data


def too_large(source: ByteSource, what: str, expected: str, todo: str = "") -> BadInput:
    """The refusal of an object that does not fit `what`, e.g. one JSON document."""
    return BadInput(
        f"{source.name} is too large for {what}", code="too_large", where=source.name, expected=expected, todo=todo
    )
