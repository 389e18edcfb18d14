"""TIFF, BigTIFF and GeoTIFF: one row per page (image file directory) with its tags; pixels are never decoded.

Columns: page, width, height, bits_per_sample, samples_per_pixel, compression, photometric, …, datetime, description,
software; of GeoTIFF (OGC 19-008r4) also epsg, model and raster type, citation, pixel scale, tie points, transformation
(JSON texts), nodata, and the bounds min_x … max_y of the outer edges of the pixels, in units of the model.

Directories are read in a process of its own, bounded in memory (1.5 GiB) and time: those that form a loop, or tags that
claim more than there is, end in a refusal. Limits: read.tiff. Reading text in scans is left to multimodal_processing.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")


class TiffFormat:
    """TIFF, BigTIFF and GeoTIFF."""

    name = "tiff"
    suffixes = (".tif", ".tiff", ".gtiff", ".geotiff")

    def sniff(self, head: bytes, name: str) -> float:
        return 1.0 if head.startswith(_MAGIC) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no TIFF, or is damaged."""
        from base_ops.worker.formats.tiff.reader import open_tiff

        return open_tiff(source, spec)


FORMAT = TiffFormat()
