"""Runs in a process of its own: says what the tags of each page of a TIFF are, without decoding any pixel."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from datetime import datetime
from typing import Any

from base_ops.worker.formats.office.bounded import limit_memory, say

_MAX_TEXT = 10_000
_USER_DEFINED = 32767
_POINT = 2
"""GTRasterTypeGeoKey: a pixel is a point, not an area, so that its corner is half a pixel away."""
_TEXTS = {
    "datetime": 306,
    "description": 270,
    "software": 305,
    "artist": 315,
    "copyright": 33432,
    "make": 271,
    "model": 272,
    "document": 269,
    "page_name": 285,
    "nodata": 42113,
}


def main(arguments: dict[str, Any]) -> None:
    """Arguments: path, max_pages."""
    import tifffile

    problems = _Problems()
    log = logging.getLogger("tifffile")
    log.propagate = False
    log.addHandler(problems)
    try:
        with tifffile.TiffFile(arguments["path"]) as file:
            say({"is_bigtiff": file.is_bigtiff, "byteorder": file.byteorder})
            _pages(file, arguments["max_pages"])
    except Exception as error:  # whatever a hostile file makes of it
        problems.messages.append(f"{type(error).__name__}: {error}")
    finally:
        log.removeHandler(problems)
    if problems.messages:
        say({"error": problems.messages[0][:300]})


class _Problems(logging.Handler):
    """The library tells of a chain of directories that is cut off in its log only."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _pages(file: Any, most: int) -> None:
    seen: set[int] = set()
    number = 0
    while True:
        try:
            page = file.pages[number]
        except IndexError:
            return
        number += 1
        if page.offset in seen:
            raise ValueError(f"the directories form a loop at page {number}")
        if number > most:
            say({"too_many": True})
            return
        seen.add(page.offset)
        say({"page": number, **_tags(page)})


def _tags(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "width": page.imagewidth,
        "height": page.imagelength,
        "depth": page.imagedepth,
        "bits_per_sample": page.bitspersample,
        "samples_per_pixel": page.samplesperpixel,
        "compression": _name(page.compression),
        "photometric": _name(page.photometric),
        "planar": _name(page.planarconfig, "PLANARCONFIG"),
        "sample_format": _name(page.sampleformat, "SAMPLEFORMAT"),
        "predictor": _name(page.predictor, "PREDICTOR"),
        "orientation": _name(_value(page, 274), "ORIENTATION"),
        "is_tiled": bool(page.is_tiled),
        "tile_width": page.tilewidth or None,
        "tile_height": page.tilelength or None,
        "x_resolution": _ratio(_value(page, 282)),
        "y_resolution": _ratio(_value(page, 283)),
        "resolution_unit": _name(_value(page, 296), "RESUNIT"),
    }
    found |= {name: _text(_value(page, code)) for name, code in _TEXTS.items()}
    found["datetime"], found["odd_datetime"] = _stamp(found["datetime"])
    return found | _geo(page)


def _value(page: Any, code: int) -> Any:
    try:
        return page.tags.valueof(code)
    except Exception:  # a damaged tag is none
        return None


def _name(value: Any, enumeration: str = "") -> str | None:
    """Name of a coded value; its number where it has none."""
    import tifffile

    if isinstance(value, tuple):
        value = value[0] if value else None
    if enumeration and isinstance(value, int):
        with contextlib.suppress(ValueError):
            value = getattr(tifffile, enumeration)(value)
    return None if value is None else str(getattr(value, "name", value)).lower()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "").strip()[:_MAX_TEXT] or None


def _stamp(text: str | None) -> tuple[str | None, str | None]:
    """`YYYY:MM:DD HH:MM:SS` as ISO 8601, or else the text that is none."""
    if text is None:
        return None, None
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").isoformat(), None  # noqa: DTZ007 - TIFF has no zone
    except ValueError:
        return None, text


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(value[0] / value[1])
    return None


# -- GeoTIFF, OGC 19-008r4


def _geo(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        keys = page.geotiff_tags if page.is_geotiff else None
    except Exception:  # a damaged directory of keys is none
        keys = None
    scale, tie, matrix = _numbers(page, 33550), _numbers(page, 33922), _numbers(page, 34264)
    if scale and len(scale) >= 2:
        found |= {"pixel_scale_x": scale[0], "pixel_scale_y": scale[1]}
    if tie and len(tie) >= 6:
        found |= {"tie_points": json.dumps([tie[i : i + 6] for i in range(0, len(tie) - 5, 6)])}
    if matrix and len(matrix) == 16:
        found |= {"transformation": json.dumps([matrix[i : i + 4] for i in range(0, 16, 4)])}
    if keys:
        code = next((c for k in ("ProjectedCSTypeGeoKey", "GeographicTypeGeoKey") if (c := _code(keys.get(k)))), None)
        found |= {
            "epsg": code,
            "model_type": _name(keys.get("GTModelTypeGeoKey")),
            "raster_type": _name(keys.get("GTRasterTypeGeoKey")),
            "citation": next((_text(v) for k, v in keys.items() if str(k).endswith("CitationGeoKey")), None),
        }
    is_point = keys is not None and _code(keys.get("GTRasterTypeGeoKey")) == _POINT
    return found | _bounds(page, scale, tie, matrix, 0.5 if is_point else 0.0)


def _code(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < _USER_DEFINED or number > _USER_DEFINED else None


def _numbers(page: Any, code: int) -> list[float] | None:
    value = _value(page, code)
    if value is None:
        return None
    try:
        numbers = [float(v) for v in value]
    except (TypeError, ValueError):
        return None
    return numbers[:600]


def _bounds(
    page: Any, scale: list[float] | None, tie: list[float] | None, matrix: list[float] | None, shift: float
) -> dict[str, float]:
    """Of the outer edges of the pixels, by the transformation or by the first tie point and the pixel scale."""
    width, height = float(page.imagewidth), float(page.imagelength)
    corners = [(i - shift, j - shift) for i in (0.0, width) for j in (0.0, height)]
    if matrix and len(matrix) == 16:
        points = [
            (matrix[0] * i + matrix[1] * j + matrix[3], matrix[4] * i + matrix[5] * j + matrix[7]) for i, j in corners
        ]
    elif scale and tie and len(scale) >= 2 and len(tie) >= 6:
        points = [(tie[3] + (i - tie[0]) * scale[0], tie[4] - (j - tie[1]) * scale[1]) for i, j in corners]
    else:
        return {}
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return {"min_x": min(xs), "min_y": min(ys), "max_x": max(xs), "max_y": max(ys)}


if __name__ == "__main__":
    limit_memory()
    main(json.loads(sys.argv[1]))
