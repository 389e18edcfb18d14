"""TIFF and GeoTIFF: the tags of every page, without a pixel; directories that lie are refused, in bounded time."""

from __future__ import annotations

import io
import json
import random
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from office_kit import codes, mutated, open_bytes, refusal, rows_of, survives

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.tiff import FORMAT, extract


def tiff(pages: int = 1, shape: tuple[int, int] = (20, 30), **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(
        file, bigtiff=options.pop("bigtiff", False), byteorder=options.pop("byteorder", None)
    ) as made:
        for _ in range(pages):
            made.write(np.zeros(shape, np.uint16), metadata=None, contiguous=False, **options)
    return file.getvalue()


def opened(data: bytes, **spec: Any) -> Reader:
    return open_bytes(FORMAT, data, "image.tif", **spec)


def first(data: bytes) -> dict[str, Any]:
    return rows_of(opened(data))[0].row(0, named=True)


@pytest.mark.parametrize(("bigtiff", "byteorder"), [(False, "<"), (False, ">"), (True, "<"), (True, ">")])
def test_tags_of_every_page(bigtiff: bool, byteorder: str) -> None:
    data = tiff(3, bigtiff=bigtiff, byteorder=byteorder, description="hi", datetime="2024:01:02 03:04:05", software="S")
    assert FORMAT.sniff(data[:64], "x") == 1.0
    frame, rejected = rows_of(opened(data))
    assert (frame.height, frame["page"].to_list(), rejected) == (3, [1, 2, 3], [])
    row = frame.row(0, named=True)
    assert (row["width"], row["height"], row["bits_per_sample"], row["compression"]) == (30, 20, 16, "none")
    assert (row["description"], row["software"], row["photometric"]) == ("hi", "S", "minisblack")
    assert row["datetime"] == datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001


def geo_keys(*keys: tuple[int, int]) -> tuple[int, str, int, list[int], bool]:
    values = [1, 1, 0, len(keys)]
    for key, value in keys:
        values += [key, 0, 1, value]
    return (34735, "H", len(values), values, False)


def doubles(code: int, *values: float) -> tuple[int, str, int, tuple[float, ...], bool]:
    return (code, "d", len(values), values, False)


SCALE, TIE = doubles(33550, 10.0, 20.0, 0.0), doubles(33922, 0, 0, 0, 500_000.0, 4_600_000.0, 0)


def test_geotiff_by_tie_point_and_scale() -> None:
    row = first(tiff(extratags=[SCALE, TIE, geo_keys((1024, 1), (1025, 1), (3072, 32631))]))
    assert (row["epsg"], row["model_type"], row["raster_type"]) == (32631, "projected", "isarea")
    bounds = tuple(row[name] for name in ("min_x", "min_y", "max_x", "max_y"))
    assert bounds == (500_000.0, 4_600_000.0 - 20 * 20, 500_000.0 + 30 * 10, 4_600_000.0)
    assert json.loads(row["tie_points"]) == [[0, 0, 0, 500_000.0, 4_600_000.0, 0]]
    assert (row["pixel_scale_x"], row["pixel_scale_y"]) == (10.0, 20.0)


def test_geotiff_of_points_by_transformation() -> None:
    matrix = doubles(34264, 2.0, 0, 0, 100.0, 0, -2.0, 0, 50.0, 0, 0, 0, 0, 0, 0, 0, 1.0)
    row = first(tiff(extratags=[matrix, geo_keys((1024, 2), (1025, 2), (2048, 4326), (3072, 32767))]))
    assert (row["epsg"], row["raster_type"]) == (4326, "ispoint")
    assert tuple(row[n] for n in ("min_x", "min_y", "max_x", "max_y")) == (99.0, 51.0 - 40, 159.0, 51.0)


def test_columns_are_the_same_for_every_file() -> None:
    plain = opened(tiff())
    assert plain.schema == opened(tiff(extratags=[SCALE, TIE])).schema
    assert plain.schema["epsg"] == pl.Int64()
    reader = opened(tiff(), columns=[ColumnSpec(name="w", source_name="width")])
    assert rows_of(reader)[0].rows() == [(30, 1)]


def test_an_odd_time_is_told_and_refuses_nothing() -> None:
    data = tiff(datetime="2024:01:02 03:04:05").replace(b"2024:01:02 03:04:05", b"some time in 2024  ")
    reader = opened(data)
    assert rows_of(reader)[0]["datetime"].to_list() == [None]
    assert "odd_datetime" in codes(reader)


def looped(pages: int, back_to: int) -> bytes:
    """A TIFF whose last directory is followed by an earlier one."""
    data = bytearray(tiff(pages))
    offsets = [struct.unpack_from("<I", data, 4)[0]]
    while True:
        count = struct.unpack_from("<H", data, offsets[-1])[0]
        place = offsets[-1] + 2 + 12 * count
        following = struct.unpack_from("<I", data, place)[0]
        if not following:
            break
        offsets.append(following)
    struct.pack_into("<I", data, place, offsets[back_to])
    return bytes(data)


def huge_count() -> bytes:
    """A description that claims four gigabytes."""
    data = bytearray(tiff(description="some longer text"))
    start = struct.unpack_from("<I", data, 4)[0]
    for number in range(struct.unpack_from("<H", data, start)[0]):
        place = start + 2 + 12 * number
        if struct.unpack_from("<H", data, place)[0] == 270:
            struct.pack_into("<I", data, place + 4, 0xFFFFFFFF)
    return bytes(data)


def test_directories_that_form_a_loop_are_refused() -> None:
    assert refusal(FORMAT, looped(1, 0)) == "damaged"
    assert refusal(FORMAT, looped(4, 1)) == "damaged"


def test_a_tag_that_claims_more_than_there_is_refuses_the_file() -> None:
    assert refusal(FORMAT, huge_count()) == "damaged"


def test_limits() -> None:
    assert refusal(FORMAT, tiff(3), tiff={"max_pages": 2}) == "too_many_pages"
    assert refusal(FORMAT, tiff(), tiff={"max_bytes": 100}) == "too_large"
    assert refusal(FORMAT, tiff(2)[:100]) == "damaged"


SAMPLE = tiff(2, description="hi", extratags=[SCALE, TIE, geo_keys((3072, 32631))])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_the_bytes_something_is_said(tmp_path: Path, places: list[tuple[int, int]]) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(mutated(SAMPLE, places))
    said: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "say", said.append)
        extract.main({"path": str(path), "max_pages": 100})
    assert said
    assert json.loads(json.dumps(said)) is not None


def test_mutated_files_are_read_or_refused() -> None:
    noise = random.Random(6)
    for _ in range(2):
        survives(FORMAT, mutated(SAMPLE, [(noise.randrange(400), noise.randrange(256)) for _ in range(5)]))
    with pytest.raises(BadInput):
        opened(b"II*\0")
