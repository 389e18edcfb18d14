"""Wrappers: members come out as they went in; whatever is hostile or broken is named before it can do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.formats.wrappers import open_object, wrapper_of

DATA = b"a,b\n1,x\n" * 1000


STREAMS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    "lz4": lambda data: bytes(pa.compress(data, "lz4", asbytes=True)),
}


def zip_of(members: dict[str, bytes], **options: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tar_of(members: dict[str, bytes], mode: str = "w", extra: tarfile.TarInfo | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if extra is not None:
            archive.addfile(extra)
    return file.getvalue()


def unwrap(tmp_path: Path, data: bytes, name: str = "object", **spec: float) -> dict[str, bytes]:
    path = tmp_path / "object"
    path.write_bytes(data)
    found = {}
    for source in open_object(path, name, ReadSpec(**spec)):  # type: ignore[arg-type]
        with source.open() as file:
            first = file.read()
        with source.open() as file:  # opened again, in small reads
            assert b"".join(iter(lambda: file.read(1000), b"")) == first
        assert source.head(5) == first[:5]
        found[source.name] = first
    return found


def refused(tmp_path: Path, data: bytes, **spec: float) -> str:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as error:
        unwrap(tmp_path, data, **spec)
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "object"}
    return error.value.code


def test_a_plain_file_is_itself(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(DATA)
    (source,) = open_object(path, "data.csv", ReadSpec())
    assert (source.local, source.size, source.name) == (path, len(DATA), "data.csv")


@pytest.mark.parametrize("suffix", STREAMS)
def test_streams(tmp_path, suffix):
    packed = STREAMS[suffix](DATA)
    assert unwrap(tmp_path, packed, f"data.csv.{suffix}") == {"data.csv": DATA}
    assert unwrap(tmp_path, packed, "misnamed.csv") == {"misnamed.csv": DATA}
    assert unwrap(tmp_path, STREAMS["gz"](packed), "twice") == {"twice": DATA}


def test_a_stream_of_several_parts(tmp_path):
    for pack in STREAMS.values():
        assert unwrap(tmp_path, pack(DATA) + pack(b"2,y\n"), "x") == {"x": DATA + b"2,y\n"}


def test_archives(tmp_path):
    members = {"a.csv": DATA, "deep/b.csv": b"x\n1\n"}
    assert unwrap(tmp_path, zip_of({**members, "__MACOSX/._a.csv": b"junk"})) == members
    assert unwrap(tmp_path, tar_of(members)) == members
    assert unwrap(tmp_path, tar_of(members, "w:gz"), "x.tgz") == members
    assert unwrap(tmp_path, tar_of(members, "w:xz")) == members


def test_nested(tmp_path):
    assert unwrap(tmp_path, zip_of({"in.zip": zip_of({"c.csv.gz": gzip.compress(DATA)})})) == {"c.csv": DATA}
    assert unwrap(tmp_path, tar_of({"in.zip": zip_of({"c.csv": DATA})}, "w:gz")) == {"c.csv": DATA}
    assert unwrap(tmp_path, gzip.compress(zip_of({"c.csv": DATA, "d.csv": b"1\n"}))) == {"c.csv": DATA, "d.csv": b"1\n"}


def test_nested_too_deep(tmp_path):
    data = DATA
    for _ in range(4):
        data = gzip.compress(data)
    assert refused(tmp_path, data) == "nested_too_deep"


def test_a_document_is_not_an_archive(tmp_path):
    document = zip_of({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"})
    assert unwrap(tmp_path, document, "book.xlsx") == {"book.xlsx": document}


ZEROS = bytes(40 << 20)


@pytest.mark.parametrize("kind", [*STREAMS, "zip", "tar.gz", "zip in zip", "gz in gz"])
def test_bombs_go_off_nowhere(tmp_path, kind):
    if kind == "zip":
        data = zip_of({"a.csv": ZEROS})
    elif kind == "tar.gz":
        data = tar_of({"a.csv": ZEROS}, "w:gz")
    elif kind == "gz in gz":
        data = gzip.compress(gzip.compress(ZEROS))
    elif kind == "zip in zip":
        data = zip_of({"b.zip": zip_of({"a.csv": ZEROS})})
    else:
        data = STREAMS[kind](ZEROS)
    tracemalloc.start()
    assert refused(tmp_path, data, max_ratio=20) == "zip_bomb"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 36 << 20


def test_too_much_is_too_much_at_any_ratio(tmp_path):
    noise = random.Random(1).randbytes(1 << 20)
    for data in (gzip.compress(noise), zip_of({"a": noise}), tar_of({"a": noise}), tar_of({"a": noise}, "w:gz")):
        assert refused(tmp_path, data, max_unpacked_bytes=1 << 19) == "zip_bomb"


def test_small_objects_may_shrink_a_lot(tmp_path):
    assert unwrap(tmp_path, gzip.compress(bytes(9 << 20)))["object"] == bytes(9 << 20)


def test_a_zip_that_lies_about_its_sizes(tmp_path):
    data = bytearray(zip_of({"a.csv": bytes(20 << 20)}))
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 100)  # the directory says 100 bytes
    assert refused(tmp_path, bytes(data)) == "damaged"


def test_a_zip_whose_members_overlap(tmp_path):
    noise = random.Random(2).randbytes(4000)
    data = bytearray(zip_of({"a.csv": noise, "b.csv": noise}))
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 20, len(data))
    assert refused(tmp_path, bytes(data)) == "zip_bomb"


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "x/../../a.csv", "..\\a.csv", "C:\\a.csv"])
def test_paths_that_escape(tmp_path, name):
    assert refused(tmp_path, zip_of({name: b"1\n"})) == "path_escape"
    assert refused(tmp_path, tar_of({name: b"1\n"})) == "path_escape"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, "/etc/passwd"
    assert refused(tmp_path, tar_of({"a.csv": b"1\n"}, extra=link)) == "path_escape"


def test_a_symlink_in_a_zip(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert refused(tmp_path, file.getvalue()) == "path_escape"


def test_encrypted(tmp_path):
    data = bytearray(zip_of({"a.csv": DATA}))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    assert refused(tmp_path, bytes(data)) == "password_protected"


@pytest.mark.parametrize("kind", [*STREAMS, "zip", "tar", "tar.gz"])
def test_truncated(tmp_path, kind):
    noise = random.Random(3).randbytes(100_000)
    if kind == "zip":
        data = zip_of({"a.csv": noise})
    elif kind.startswith("tar"):
        data = tar_of({"a.csv": noise}, "w:gz" if kind.endswith("gz") else "w")
    else:
        data = STREAMS[kind](noise)
    assert refused(tmp_path, data[: len(data) // 2]) == "truncated"


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])  # the others may carry no check sum
def test_damaged(tmp_path, kind):
    noise = random.Random(4).randbytes(100_000)
    data = bytearray(zip_of({"a.csv": noise * 2}) if kind == "zip" else STREAMS[kind](noise * 2))
    for at in range(60_000, 60_200):
        data[at] ^= 0xFF
    assert refused(tmp_path, bytes(data)) in ("damaged", "truncated")


def test_an_archive_of_nothing(tmp_path):
    assert refused(tmp_path, zip_of({})) == "empty_object"
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    assert refused(tmp_path, tar_of({}, extra=folder)) == "empty_object"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"BZh is how this line begins, 1\n", None),
        (b"a,b\n1,2\n", None),
        (b"", None),
        (b"PAR1", None),
        (bz2.compress(b"x"), "bz2"),
    ],
)
def test_magic(head, kind):
    assert wrapper_of(head) == kind
