"""What the tests of the office formats share."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource, Format


def open_bytes(format: Format, data: bytes, name: str = "book", **spec: Any) -> Reader:
    return format.read(ByteSource(name, len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))


def rows_of(reader: Reader) -> tuple[pl.DataFrame, list[Rejected]]:
    batches = list(reader.batches())
    frames = [b.frame for b in batches]
    frame = pl.concat(frames) if frames else pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64})
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected]


def codes(reader: Reader) -> set[str]:
    return {finding.code for finding in reader.findings}


def refusal(format: Format, data: bytes, **spec: Any) -> str:
    with pytest.raises(BadInput) as error:
        rows_of(open_bytes(format, data, **spec))
    return error.value.code


def survives(format: Format, data: bytes, **spec: Any) -> None:
    """Only refusals may come of it."""
    try:
        rows_of(open_bytes(format, data, **spec))
    except (BadInput, ConfigError) as error:
        assert error.code


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None], **more: bytes) -> bytes:
    """A zip with parts changed, left out (None) or added."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            made = change(info.filename, old.read(info))
            if made is not None:
                new.writestr(info.filename, made)
        for name, content in more.items():
            new.writestr(name, content)
    return file.getvalue()


def mutated(data: bytes, places: list[tuple[int, int]]) -> bytes:
    """Some bytes changed; of a zip see `mutated_parts`."""
    changed = bytearray(data)
    for place, byte in places:
        changed[place % len(changed)] = byte
    return bytes(changed)


def mutated_parts(data: bytes, part: str, places: list[tuple[int, int]]) -> bytes:
    """A zip that is sound, one part of which has some bytes changed."""
    return repacked(data, lambda name, content: mutated(content, places) if name == part else content)
