"""Zip packages of office documents (ECMA-376 part 2): opened only when their directory and their parts are harmless.

Refused before anything is unpacked: bombs, paths that escape, encrypted parts, macros, links to other workbooks, and
document type definitions in any XML part. No relationship is ever followed out of the package.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lxml import etree

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.ole import OLE, refuse_ole
from base_ops.worker.formats.wrappers import checked_zip, zip_heads, zip_member

_MAX_XML_BYTES = 64 << 20
"""Of a part that is parsed whole: styles, relationships, the list of sheets."""
_HEAD_BYTES = 4096
_MACROS = re.compile(r"(^|/)(vbaproject\.bin|vbadata\.xml|macrosheets/.*|activex/.*\.bin)$")
_LINKS = "xl/externallinks/externallink"


@dataclass(frozen=True)
class Relation:
    """One relationship of a part."""

    type: str
    """Last part of its type's URI, e.g. worksheet."""
    target: str
    """Name of a part; or what an external relationship points to."""
    is_external: bool


class Package:
    """An opened package. Its parts are known by lower-case names."""

    def __init__(
        self, source: ByteSource, spec: ReadSpec, *, max_bytes: int, allow_macros: bool, allow_links: bool = True
    ) -> None:
        """Raises: BadInput naming what is wrong or unwanted."""
        self.name, self._spec = source.name, spec
        self.findings: list[Finding] = []
        self._source = local = local_copy(source, max_bytes)
        if local.head(8).startswith(OLE):
            refuse_ole(local)
        self._parts: dict[str, zipfile.ZipInfo] = {}
        for info in checked_zip(local, spec):
            name = info.filename.replace("\\", "/").lower()
            if name in self._parts:
                damaged(self.name, f"two parts of the name {name}")
            self._parts[name] = info
        self._refuse_active(allow_macros=allow_macros, allow_links=allow_links)
        self._refuse_definitions()

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._parts

    def _refuse_active(self, *, allow_macros: bool, allow_links: bool) -> None:
        unwanted = [
            ("macros", [n for n in self._parts if _MACROS.search(n)], allow_macros, "allow_macros"),
            ("external_links", [n for n in self._parts if n.startswith(_LINKS)], allow_links, "allow_external_links"),
        ]
        for code, found, allowed, option in unwanted:
            what = f"{self.name} holds {code.replace('_', ' ')}"
            if found and not allowed:
                raise BadInput(
                    what,
                    code=code,
                    where=self.name,
                    found=", ".join(found[:5]),
                    todo=f"have it sent without them, or set {option}: they are then neither run nor followed",
                )
            if found:
                data = {"parts": list(found[:20])}
                self.findings.append(Finding(code=code, message=f"{what}; they are not used", data=dict(data)))

    def _refuse_definitions(self) -> None:
        parts = [info for name, info in self._parts.items() if name.endswith((".xml", ".rels", ".vml"))]
        for info, head in zip_heads(self._source, parts, _HEAD_BYTES):
            refuse_definition(self.name, info.filename, head)

    @contextmanager
    def open(self, part: str) -> Iterator[BinaryIO]:
        """The bytes of a part, unpacked while they are read. Raises BadInput where it is not there."""
        info = self._parts.get(part.lower())
        if info is None:
            damaged(self.name, f"the part {part} is missing")
        with zip_member(self._source, info, self._spec).open() as file:
            yield file

    def size(self, part: str) -> int:
        """Unpacked bytes of a part, as the directory has it."""
        return self._parts[part.lower()].file_size

    def xml(self, part: str) -> Any:
        """The root element of a small part."""
        with self.open(part) as file:
            data = file.read(_MAX_XML_BYTES + 1)
        if len(data) > _MAX_XML_BYTES:
            raise BadInput(f"{self.name}: the part {part} is too large", code="too_large", where=self.name)
        return parse_xml(self.name, part, data)

    def relations(self, part: str) -> dict[str, Relation]:
        """The relationships of a part ('' is the package) by their ids."""
        folder, _, name = part.rpartition("/")
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels not in self:
            return {}
        found = {}
        for element in self.xml(rels):
            target, is_external = element.get("Target", ""), element.get("TargetMode") == "External"
            if not is_external:
                target = posixpath.normpath(posixpath.join("/", folder, target.replace("\\", "/"))).lstrip("/")
            type = element.get("Type", "").rsplit("/", 1)[-1]
            found[element.get("Id", "")] = Relation(type, target, is_external)
        return found

    def main_part(self, default: str) -> str:
        """Name of the part that is the document."""
        found = [r.target for r in self.relations("").values() if r.type == "officeDocument" and not r.is_external]
        part = found[0] if found and found[0] in self else default
        if part not in self:
            raise BadInput(
                f"{self.name} is not of this format",
                code="not_this_format",
                where=self.name,
                expected=f"a package with the part {default}",
                found=", ".join(list(self._parts)[:20]),
            )
        return part


def parse_xml(name: str, part: str, data: bytes) -> Any:
    """The root element of XML. Raises BadInput where it is none, or defines a document type."""
    refuse_definition(name, part, data[:_HEAD_BYTES])
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        damaged(name, f"{part}: {error}")
    if root.getroottree().docinfo.doctype:
        _refuse_dtd(name, part)
    return root


def refuse_definition(name: str, part: str, head: bytes) -> None:
    """Raises: BadInput where the beginning of an XML part defines a document type."""
    if b"<!DOCTYPE" in head.replace(b"\0", b"") or b"<!ENTITY" in head.replace(b"\0", b""):
        _refuse_dtd(name, part)


def _refuse_dtd(name: str, part: str) -> NoReturn:
    raise BadInput(
        f"{name} holds a document type definition, which no office document needs",
        code="dtd",
        where=f"{name}, {part}",
        todo="do not trust this file; have it written anew",
    )


def damaged(name: str, found: str) -> NoReturn:
    """Raises BadInput."""
    raise BadInput(f"{name} is damaged", code="damaged", where=name, found=found[:300], todo="fetch it again") from None


def local_copy(source: ByteSource, max_bytes: int) -> ByteSource:
    """The object as a local file, which is there as long as what is returned: it is read from its end as well.

    Raises:
        BadInput: too_large.
    """
    if source.local is None:
        copy = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed when nobody knows it any more
        with source.open() as file:
            _copy_up_to(file, copy, max_bytes + 1)
        copy.flush()
        path = Path(copy.name)
        source = ByteSource(source.name, path.stat().st_size, lambda: path.open("rb"), path)
        weakref.finalize(source, copy.close)
    if (source.size or 0) > max_bytes:
        raise BadInput(
            f"{source.name} is too large",
            code="too_large",
            where=source.name,
            expected=f"at most {max_bytes} bytes",
            todo="raise max_bytes in the format's options, or have the source write Parquet or CSV",
        )
    return source


def _copy_up_to(file: BinaryIO, target: Any, most: int) -> None:
    left = most
    while left > 0 and (part := file.read(min(left, 1 << 20))):
        target.write(part)
        left -= len(part)


def local_name(element: Any) -> str:
    """An element's name without its namespace ('' for comments and the like)."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
