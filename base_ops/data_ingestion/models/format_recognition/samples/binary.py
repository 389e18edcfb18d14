"""Binary formats, written by the libraries that people write them with, and bytes that are none of ours."""

# ruff: noqa: E501 - long literals
from __future__ import annotations

import io
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from base_ops.data_ingestion.models.format_recognition.samples.words import (
    language,
    names,
    record,
    sentence,
    table,
    token,
    words,
)


def _arrow_table(rng: Random) -> Any:
    import pyarrow as pa

    rows = table(rng, language(rng), rows=rng.randint(1, 200), columns=rng.randint(1, 10))
    columns: list[Any] = []
    for i in range(len(rows[0])):
        texts = [row[i] for row in rows[1:]]
        makers: list[Callable[[], list[Any]]] = [
            lambda texts=texts: texts, lambda texts=texts: [len(t) for t in texts],  # type: ignore[misc]
            lambda texts=texts: [float(len(t)) / 3 for t in texts], lambda texts=texts: [bool(t) for t in texts],  # type: ignore[misc]
        ]  # fmt: skip
        columns.append(pa.array(rng.choice(makers)()))
    return pa.table(dict(zip(rows[0], columns, strict=True)))


def parquet(rng: Random) -> bytes:
    import pyarrow.parquet as pq

    file = io.BytesIO()
    codec = rng.choice(["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
    pq.write_table(
        _arrow_table(rng),
        file,
        compression=codec,
        use_dictionary=rng.random() < 0.5,
        version=rng.choice(["1.0", "2.6"]),
    )
    return file.getvalue()


def orc(rng: Random) -> bytes:
    import pyarrow.orc

    file = io.BytesIO()
    pyarrow.orc.write_table(_arrow_table(rng), file, compression=rng.choice(["uncompressed", "zlib", "snappy", "zstd"]))
    return file.getvalue()


def arrow(rng: Random) -> bytes:
    import pyarrow as pa

    rows = _arrow_table(rng)
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=rng.choice([None, "lz4", "zstd"]))
    opened = pa.ipc.new_file if rng.random() < 0.6 else pa.ipc.new_stream
    with opened(file, rows.schema, options=options) as writer:
        writer.write_table(rows)
    return file.getvalue()


def avro(rng: Random) -> bytes:
    import fastavro

    rows = table(rng, language(rng), columns=rng.randint(1, 8))
    keys = [f"f{i}_{token(rng, 3)}" for i in range(len(rows[0]))]
    schema = {
        "type": "record",
        "name": words(rng, 1),
        "fields": [{"name": k, "type": rng.choice(["string", ["null", "string"]])} for k in keys],
    }
    file = io.BytesIO()
    marker = rng.randbytes(16)
    fastavro.writer(
        file,
        schema,
        [dict(zip(keys, row, strict=True)) for row in rows[1:]],
        codec=rng.choice(["null", "deflate"]),
        sync_marker=marker,
    )
    return file.getvalue()


def msgpack(rng: Random) -> bytes:
    import msgpack as library

    lang = language(rng)
    if rng.random() < 0.6:
        keys = names(rng, rng.randint(1, 8))
        made = [dict(zip(keys, record(rng, lang, 1).values(), strict=False)) for _ in range(rng.randint(1, 60))]
        return b"".join(library.packb(row) for row in made)
    return bytes(library.packb([record(rng, lang) for _ in range(rng.randint(1, 60))]))


def protobuf(rng: Random) -> bytes:
    """Messages of one random type, with their lengths in front; or a single one with repeated parts."""
    kinds = [(number, rng.choice("vvsssfd")) for number in sorted(rng.sample(range(1, 16), rng.randint(2, 8)))]
    lang = language(rng)

    def message() -> bytes:
        return b"".join(_field(rng, number, kind, lang) for number, kind in kinds if rng.random() < 0.95)

    made = [body for body in (message() for _ in range(rng.randint(3, 60))) if body]
    if rng.random() < 0.6:
        return b"".join(_varint(len(body)) + body for body in made)
    return b"".join(_varint(1 << 3 | 2) + _varint(len(body)) + body for body in made)


def _field(rng: Random, number: int, kind: str, lang: str) -> bytes:
    if kind == "v":
        return _varint(number << 3) + _varint(rng.randint(0, 1 << rng.randint(1, 40)))
    if kind == "f":
        return _varint(number << 3 | 5) + struct.pack("<f", rng.lognormvariate(2, 2))
    if kind == "d":
        return _varint(number << 3 | 1) + struct.pack("<d", rng.lognormvariate(2, 2))
    text = words(rng, rng.randint(1, 6), lang).encode()
    return _varint(number << 3 | 2) + _varint(len(text)) + text


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def xlsx(rng: Random) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in table(rng, language(rng), rows=rng.randint(1, 60)):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return _restamped(rng, file.getvalue())


def docx(rng: Random) -> bytes:
    import docx as library

    document = library.Document()
    for _ in range(rng.randint(1, 12)):
        document.add_paragraph(sentence(rng, language(rng)))
    file = io.BytesIO()
    document.save(file)
    return _restamped(rng, file.getvalue())


def _restamped(rng: Random, data: bytes) -> bytes:
    """A zip whose members bear a time of writing of the seed's, in the order of another program."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        stamp = rng.choice(
            [(1980, 1, 1, 0, 0, 0), (rng.randint(2000, 2026), rng.randint(1, 12), 9, rng.randint(0, 23), 5, 6)]
        )
        parts = sorted(old.infolist(), key=lambda info: (info.filename != "[Content_Types].xml", info.filename))
        for info in parts if rng.random() < 0.6 else old.infolist():
            content = old.read(info)
            if info.filename == "docProps/core.xml":
                content = b"<cp:coreProperties/>"
            new.writestr(zipfile.ZipInfo(info.filename, stamp), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def xls(rng: Random) -> bytes:
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet(words(rng, 1))
    for y, row in enumerate(table(rng, language(rng), rows=rng.randint(1, 200), columns=rng.randint(1, 12))):
        for x, cell in enumerate(row):
            sheet.write(y, x, cell)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def pdf(rng: Random) -> bytes:
    from reportlab.pdfgen import canvas

    file = io.BytesIO()
    page = canvas.Canvas(file, invariant=1, pageCompression=rng.randint(0, 1))
    for _ in range(rng.randint(1, 4)):
        for line in range(rng.randint(1, 40)):
            page.drawString(72, 800 - 15 * line, sentence(rng))
        page.showPage()
    page.save()
    return file.getvalue()


def _image(rng: Random) -> Any:
    from PIL import Image

    size = (rng.randint(8, 120), rng.randint(8, 120))
    mode, depth = rng.choice([("L", 1), ("RGB", 3)])
    flat = bytes(rng.randrange(256) for _ in range(depth))
    data = rng.randbytes(size[0] * size[1] * depth) if rng.random() < 0.5 else flat * (size[0] * size[1])
    return Image.frombytes(mode, size, data)


def tiff(rng: Random) -> bytes:
    import numpy as np
    import tifffile

    file = io.BytesIO()
    pixels = np.frombuffer(rng.randbytes(64 * 48 * 2), np.uint16).reshape(48, 64)
    tifffile.imwrite(
        file, pixels, byteorder=rng.choice(["<", ">"]), bigtiff=rng.random() < 0.2, software="x", datetime=False
    )
    return file.getvalue()


def cobol(rng: Random) -> bytes:
    """EBCDIC records of one length: texts, zoned and packed decimals."""
    code = rng.choice(["cp037", "cp500", "cp1140"])
    layout = [(rng.choice("xxz9b"), rng.randint(2, 20)) for _ in range(rng.randint(3, 10))]
    layout[0] = ("x", rng.randint(6, 20))

    def item(kind: str, size: int) -> bytes:
        if kind == "x":
            return words(rng, 3)[:size].upper().ljust(size).encode(code)
        digits = token(rng, size, "0123456789")
        if kind in "z9":
            return digits.encode(code)
        return bytes.fromhex(digits.rjust(size + 1 - size % 2, "0")[-(size - 1 + size % 2) :] + rng.choice("CDF"))

    return b"".join(item(*part) for _ in range(rng.randint(4, 120)) for part in layout)


def unknown(rng: Random) -> bytes:
    """What is none of our formats."""
    return rng.choice([_noise, _noise, _picture, _picture, _database, _structs, _other_magic, _other_magic, _shifted])(
        rng
    )


def _noise(rng: Random) -> bytes:
    return rng.randbytes(rng.randint(20, 5000))


def _picture(rng: Random) -> bytes:
    file = io.BytesIO()
    _image(rng).save(file, rng.choice(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    return file.getvalue()


def _database(rng: Random) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        base = sqlite3.connect(path)
        base.execute("create table t (a, b)")
        base.executemany("insert into t values (?, ?)", [(rng.random(), words(rng, 3)) for _ in range(20)])
        base.commit()
        base.close()
        return path.read_bytes()


def _structs(rng: Random) -> bytes:
    form = rng.choice(["<ifd", ">hhq", "<dd", "<Hf8s"])
    kinds = {"i": lambda: rng.randint(-999, 999), "h": lambda: rng.randint(-99, 99), "H": lambda: rng.randint(0, 99),
             "q": lambda: rng.randint(0, 1 << 40), "f": rng.random, "d": rng.random, "s": lambda: token(rng).encode()}  # fmt: skip
    letters = [c for c in form if c in kinds]
    return b"".join(struct.pack(form, *(kinds[c]() for c in letters)) for _ in range(rng.randint(5, 300)))


def _other_magic(rng: Random) -> bytes:
    magic = rng.choice([
        b"7z\xbc\xaf'\x1c\0\x04", b"Rar!\x1a\x07\x01\0", b"\x7fELF\x02\x01\x01\0", b"MZ\x90\0\x03\0\0\0", b"\xca\xfe\xba\xbe\0\0\0\x34",
        b"RIFF\x24\x08\0\0WAVEfmt ", b"ID3\x03\0\0\0", b"\0\0\0\x18ftypmp42", b"OggS\0\x02", b"\xd4\xc3\xb2\xa1\x02\0\x04\0",
        b"\x93NUMPY\x01\0v\0", b"\x80\x04\x95", b"\x89HDF\r\n\x1a\n", b"fLaC\0\0\0\x22", b"\x1f\x9d\x90", b"\0asm\x01\0\0\0",
    ])  # fmt: skip
    return magic + rng.choice([rng.randbytes(rng.randint(20, 4000)), zlib.compress(sentence(rng).encode() * 20)])


def _shifted(rng: Random) -> bytes:
    """Text that was encrypted byte by byte."""
    key = rng.randint(0x80, 0xFF)
    return bytes(byte ^ key for byte in " ".join(sentence(rng) for _ in range(20)).encode())


BINARY: dict[str, Callable[[Random], bytes]] = {
    "parquet": parquet, "orc": orc, "arrow": arrow, "avro": avro, "msgpack": msgpack, "protobuf": protobuf,
    "xlsx": xlsx, "docx": docx, "xls": xls, "pdf": pdf, "tiff": tiff, "cobol": cobol,
}  # fmt: skip
