"""Hostile XML: refused by name, in bounded memory; what a document must not make the reader do."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xml_kit import read_xml

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml import FORMAT, encoding

MIB = 1 << 20
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


class Stream(io.RawIOBase):
    """A long document that is never whole in memory."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size and (part := next(self._parts, b"")):
            self._rest += part
        made, self._rest = self._rest[:size], self._rest[size:]
        return made


def read_stream(parts: Callable[[], Iterator[bytes]]) -> tuple[int, list[tuple[int, str]]]:
    reader = FORMAT.read(ByteSource("x.xml", None, lambda: Stream(parts())), ReadSpec())
    batches = list(reader.batches())
    return sum(b.frame.height for b in batches), [(r.line, r.rule) for b in batches for r in b.rejected]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (f'<!DOCTYPE r [<!ENTITY l0 "lol">{LAUGHS}]><r>&l9;</r>', "xml_entities"),
        (f'<!DOCTYPE r [<!ENTITY a "{"a" * 50_000}">]><r>{"&a;" * 50_000}</r>', "xml_entities"),
        ('<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>', "xml_entities"),
        ('<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]><r>1</r>', "xml_entities"),
        ('<!DOCTYPE r [<!ATTLIST t c CDATA "EUR">]><r><t/><t/></r>', "xml_dtd"),
        ("<a>" * 100_000, "too_deep"),
        ("<a>" * 100_000 + "</a>" * 100_000, "too_deep"),
        ("<r>" + "".join(f"<a{n}/>" for n in range(20_000)) + "</r>", "too_many_names"),
        ("<r>" + "<" * 3_000_000, "syntax"),
        ("<r><t/><t/>" + "<t " * 1_000_000, "syntax"),
        ("<r><t/><t/>" + "<t>" * 1_000_000, "too_deep"),
        ("<r><t/><t/>" + "<!--<t>" * 1_000_000, "syntax"),
        ("<x:r><t><a>1</a></t></x:r>", "not_this_format"),
    ],
)
def test_bombs_are_refused_by_name(data: str, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read_xml(data)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("reference", "rule"), [("&passwords;", "undefined_entity"), ("&amp;passwords;", None)]
)  # fmt: skip
def test_external_dtd_is_not_fetched(tmp_path: Path, reference: str, rule: str | None) -> None:
    (tmp_path / "x.dtd").write_text('<!ENTITY passwords "secret">')
    data = f'<!DOCTYPE r SYSTEM "file://{tmp_path}/x.dtd"><r><t><a>{reference}</a></t><t><a>b</a></t></r>'
    rows, rejected, _ = read_xml(data)
    assert [r.rule for r in rejected] == ([rule] if rule else [])
    assert [r["a"] for r in rows] == (["b"] if rule else ["&passwords;", "b"])


GOOD = b"<t><a>1</a></t>\n"


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (b"<t><a>", b"</a></t>\n", "record_too_long"),
        (b"<t><a><![CDATA[</t>", b"]]></a></t>\n", "record_too_long"),
        (b'<t a="', b'"/>\n', "too_long"),
        (b"<t><!--", b"--></t>\n", "too_long"),
        (b"<!--", b"-->\n", "too_long"),
        (b"<?x ", b"?>\n", "too_long"),
        (b"<h>", b"</h>\n", "too_long"),
        (b'<h a="', b'"/>\n', "too_long"),
    ],
)
def test_many_megabytes_in_one_place(before: bytes, after: bytes, outcome: str) -> None:
    def parts() -> Iterator[bytes]:
        yield b"<r>\n" + GOOD * 1_000 + before
        yield from (b"x" * MIB for _ in range(64))
        yield after + GOOD + b"</r>"

    tracemalloc.start()
    try:
        if outcome == "record_too_long":
            assert read_stream(parts) == (1_001, [(1_002, outcome)])
        else:
            with pytest.raises(BadInput) as raised:
                read_stream(parts)
            assert raised.value.code == outcome
        assert tracemalloc.get_traced_memory()[1] < 48 * MIB
    finally:
        tracemalloc.stop()


def test_deep_record_is_refused_and_its_neighbours_kept() -> None:
    deep = "<t>" + "<a>" * 100_000 + "</a>" * 100_000 + "</t>"
    rows, rejected, _ = read_xml(f"<r><t><a>1</a></t>{deep}<t><a>2</a></t></r>")
    assert ([r["_line"] for r in rows], [(r.line, r.rule) for r in rejected]) == ([1, 3], [(2, "too_deep")])


def test_many_attributes_refuse_their_record() -> None:
    many = "<t " + " ".join(f'a{n}="1"' for n in range(60_000)) + "/>"
    rows, rejected, _ = read_xml(f'<r><t b="1"/>{many}<t b="2"/></r>')
    assert ([r["b"] for r in rows], [(r.line, r.rule) for r in rejected]) == ([1, 2], [(2, "too_many_names")])


def test_long_records_among_others_with_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK_BYTES", 100)
    long = "<t><a>" + "x" * 3000 + "<!-- </t> --><b/></a></t>\n"
    rows, rejected, _ = read_xml(
        "<r>\n" + "<t><a>1</a></t>\n" + (long + "<t><a>2</a></t>\n") * 20 + "</r>", max_record_bytes=500
    )
    assert [r["_line"] for r in rows] == [2, *range(4, 43, 2)]
    assert [(r.line, r.rule) for r in rejected] == [(line, "record_too_long") for line in range(3, 42, 2)]
