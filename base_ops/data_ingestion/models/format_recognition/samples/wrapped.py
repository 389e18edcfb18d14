"""Compressed objects and archives of the other samples."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from random import Random


def _pyarrow(codec: str) -> Callable[[Random, bytes, str], bytes]:
    def pack(rng: Random, data: bytes, name: str) -> bytes:
        import pyarrow as pa

        return bytes(pa.compress(data, codec, asbytes=True))

    return pack


def _gzip(rng: Random, data: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(
        name if rng.random() < 0.5 else "", "wb", rng.randint(1, 9), file, mtime=rng.randrange(1 << 31)
    ) as out:
        out.write(data)
    return file.getvalue()


def _zip(rng: Random, data: bytes, name: str) -> bytes:
    file = io.BytesIO()
    method = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(file, "w", method) as archive:
        stamp = rng.choice(
            [(1980, 1, 1, 0, 0, 0), (rng.randint(2000, 2026), rng.randint(1, 12), 9, rng.randint(0, 23), 5, 6)]
        )
        folder = rng.choice(["", "", "data/", "2024/01/"])
        for number in range(rng.randint(1, 4)):
            info = zipfile.ZipInfo(f"{folder}{number}_{name}", stamp)
            archive.writestr(info, data[: len(data) // (number + 1)], method)
    return file.getvalue()


def _tar(rng: Random, data: bytes, name: str) -> bytes:
    file = io.BytesIO()
    style = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        for number in range(rng.randint(1, 4)):
            info = tarfile.TarInfo(f"{number}_{name}")
            info.size, info.mtime = len(data), rng.randrange(1 << 31)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


WRAPPED: dict[str, Callable[[Random, bytes, str], bytes]] = {
    "gzip": _gzip,
    "zip": _zip,
    "bz2": lambda rng, data, _: bz2.compress(data, rng.randint(1, 9)),
    "xz": lambda rng, data, _: lzma.compress(data, preset=rng.randint(0, 6)),
    "zstd": _pyarrow("zstd"),
    "lz4": _pyarrow("lz4"),
    "tar": _tar,
}
