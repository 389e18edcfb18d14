"""Wrappers: members come out as they went in; whatever is hostile or broken is named before it can do harm."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import lzma
import random
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.wrappers import open_object, peel, wrapper_of

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


@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda m: tar_of(m, "w:gz")], ids=["zip", "tar", "tar.gz"])
def test_empty_members_are_left_out_with_a_finding(tmp_path, pack):
    path = tmp_path / "object"
    path.write_bytes(pack({"none.csv": b"", "a.csv": DATA, "b.csv.gz": gzip.compress(b"")}))
    (source,) = open_object(path, "drop", ReadSpec())
    assert source.head(5) == DATA[:5]
    assert [(f.code, f.data["members"]) for f in source.findings] == [("empty_member", ["none.csv", "b.csv"])]
    path.write_bytes(pack({"none.csv": b""}))
    assert refused(tmp_path, path.read_bytes()) == "empty_object"


def test_a_compressed_tar_is_unpacked_once(tmp_path, monkeypatch):
    """However many members it has and however often each is opened."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    path = tmp_path / "object"
    path.write_bytes(tar_of({f"{i}.csv": DATA for i in range(50)}, "w:gz"))
    opened = []
    monkeypatch.setattr(gzip, "GzipFile", lambda *a, real=gzip.GzipFile, **k: opened.append(1) or real(*a, **k))
    sources = open_object(path, "x.tgz", ReadSpec())
    assert [s.head(1 << 20) == DATA for s in sources for _ in range(3)] == [True] * 150
    assert len(opened) <= 3
    assert list(tmp_path.glob("base-ops-*"))
    del sources
    gc.collect()
    assert not list(tmp_path.glob("base-ops-*"))


def test_members_of_one_archive_can_be_read_at_once(tmp_path):
    for data in (zip_of({"a": DATA, "b": DATA * 2}), tar_of({"a": DATA, "b": DATA * 2})):
        path = tmp_path / "object"
        path.write_bytes(data)
        a, b = open_object(path, "x", ReadSpec())
        with a.open() as one, b.open() as two, b.open() as three:
            assert [one.read(9), two.read(9), three.read(5), one.read(9)] == [DATA[:9], DATA[:9], DATA[:5], DATA[9:18]]
            assert two.seek(-3, 2) == 2 * len(DATA) - 3 and two.read() == DATA[-3:]


def test_a_tar_without_its_end(tmp_path):
    """Cut between two files, or with a damaged header: the files behind would be missing in silence."""
    data = tar_of({"a.csv": DATA, "b.csv": DATA})
    assert refused(tmp_path, data[: 512 + -(-len(DATA) // 512) * 512]) == "truncated"
    damaged = bytearray(data)
    damaged[512 + -(-len(DATA) // 512) * 512 + 150] ^= 1
    assert refused(tmp_path, bytes(damaged)) == "damaged"


def test_an_old_tar_without_magic(tmp_path):
    data = bytearray(tar_of({"a.csv": DATA}))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert unwrap(tmp_path, bytes(data)) == {"a.csv": DATA}


def test_a_tar_header_of_gigabytes(tmp_path):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 3 << 30
    assert refused(tmp_path, info.tobuf(tarfile.USTAR_FORMAT) + bytes(4096)) == "damaged"


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr("base_ops.worker.formats.wrappers._MEMBERS", 10)
    members = {str(i): b"1" for i in range(11)}
    assert refused(tmp_path, zip_of(members)) == refused(tmp_path, tar_of(members)) == "too_many_members"


def test_a_zip_directory_that_is_too_large(tmp_path):
    data = bytearray(zip_of({"a.csv": DATA}))
    struct.pack_into("<L", data, data.rfind(b"PK\x05\x06") + 12, 1 << 30)
    assert refused(tmp_path, bytes(data)) == "zip_bomb"


@pytest.mark.parametrize(
    ("data", "wrappers", "name"),
    [
        (DATA, [], "x"),
        (gzip.compress(DATA, mtime=0), ["gzip"], "x"),
        (zip_of({"empty": b"", "a.csv": DATA}), ["zip"], "a.csv"),
        (tar_of({"a.csv": DATA, "b": b"2"}, "w:xz"), ["xz", "tar"], "a.csv"),
        (tar_of({"i.zip": zip_of({"a.csv": DATA})}), ["tar", "zip"], "a.csv"),
    ],
)
def test_peel(data, wrappers, name):
    found, inner = peel(ByteSource("x", len(data), lambda: io.BytesIO(data)), ReadSpec())
    assert (found, inner.name, inner.head(1 << 20)) == (wrappers, name, DATA)


ARCHIVES = [
    zip_of({"a.csv": DATA, "b": b""}), tar_of({"a.csv": DATA, "b.csv": b"x\n"}), tar_of({"a.csv": DATA}, "w:gz"),
    *(pack(DATA) for pack in STREAMS.values()), zip_of({"in.zip": zip_of({"c.csv": DATA})}),
]  # fmt: skip


@settings(max_examples=150)
@given(
    st.sampled_from(ARCHIVES),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    st.integers(0, 1 << 16) | st.none(),
)
def test_mutated_archives_are_read_or_refused_by_name(data, places, cut):
    changed = bytearray(data[: cut % len(data)] if cut is not None else data)
    for place, byte in places:
        if changed:
            changed[place % len(changed)] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(changed)
        for look in (lambda: open_object(path, "x", ReadSpec()), lambda: [_peeled(path)]):
            try:
                for source in look():
                    source.head(1 << 20)
            except BadInput as error:
                assert error.code


def _peeled(path):
    return peel(ByteSource("x", path.stat().st_size, lambda: path.open("rb", buffering=0), path), ReadSpec())[1]


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


def test_a_member_without_a_name_refuses_the_archive(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", DATA)
        archive.writestr(zipfile.ZipInfo(""), b"lost")
    with pytest.raises(BadInput) as caught:
        unwrap(tmp_path, packed.getvalue())
    assert caught.value.code == "damaged"
