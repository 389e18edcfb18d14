"""Reads TIFFs through `extract`, and makes rows of what it says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.bounded import Stopped, answers
from base_ops.worker.formats.office.fixed import with_columns
from base_ops.worker.formats.office.package import damaged, local_copy
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import FloatText, IntText

_EXTRACT = Path(__file__).with_name("extract.py")
_COLUMNS = {
    **dict.fromkeys(("page", "width", "height", "depth", "bits_per_sample", "samples_per_pixel"), "int64"),
    **dict.fromkeys(("compression", "photometric", "planar", "sample_format", "predictor", "orientation"), "string"),
    "is_tiled": "boolean",
    **dict.fromkeys(("tile_width", "tile_height"), "int64"),
    **dict.fromkeys(("x_resolution", "y_resolution"), "float64"),
    "resolution_unit": "string",
    "datetime": "timestamp",
    **dict.fromkeys(("description", "software", "artist", "copyright", "make", "model", "document"), "string"),
    **dict.fromkeys(("page_name", "nodata"), "string"),
    "epsg": "int64",
    **dict.fromkeys(("model_type", "raster_type", "citation"), "string"),
    **dict.fromkeys(("pixel_scale_x", "pixel_scale_y"), "float64"),
    **dict.fromkeys(("tie_points", "transformation"), "string"),
    **dict.fromkeys(("min_x", "min_y", "max_x", "max_y"), "float64"),
}


def open_tiff(source: ByteSource, spec: ReadSpec) -> RecordReader:
    """Raises: BadInput where the object is no TIFF, or is damaged."""
    options = spec.tiff
    local = local_copy(source, options.max_bytes)
    arguments = {"path": str(local.local), "max_pages": options.max_pages}
    records: list[Record] = []
    odd: dict[str, str] = {}
    try:
        for answer in answers(_EXTRACT, arguments, options.page_timeout_s):
            if "error" in answer:
                damaged(source.name, answer["error"])
            if "too_many" in answer:
                raise BadInput(
                    f"{source.name} has too many pages",
                    code="too_many_pages",
                    where=source.name,
                    expected=f"at most {options.max_pages}",
                    todo="raise read.tiff.max_pages",
                )
            if "page" in answer:
                records.append(Record(answer["page"], {name: _value(answer.get(name)) for name in _COLUMNS}))
                if answer["odd_datetime"] is not None:
                    odd[str(answer["page"])] = answer["odd_datetime"]
    except Stopped as stopped:
        damaged(source.name, f"reading it was given up: {stopped.reason}")
    if not records:
        damaged(source.name, "no image file directory")
    reader = RecordReader(source.name, with_columns(spec, _COLUMNS), lambda: iter(records))
    if odd:
        message = f"{source.name}: {len(odd)} pages have a date and time in another form than TIFF's; it is not read"
        reader.findings.append(Finding(code="odd_datetime", message=message, severity="warning", data=dict(odd)))
    return reader


def _value(value: Any) -> Any:
    """A decoded JSON value as the records have it."""
    if isinstance(value, float):
        return FloatText(repr(value)) if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return IntText(value)
    return value
