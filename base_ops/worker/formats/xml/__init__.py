"""XML documents of any kind; the dialects (soap, fpml, fixml, iso20022) are packages beside this one."""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml.dialect import GENERIC
from base_ops.worker.formats.xml.prolog import prolog


class XmlFormat:
    """XML."""

    name = "xml"
    suffixes = (".xml",)

    def sniff(self, head: bytes, name: str) -> float:
        """By the XML declaration, or by tags that follow each other; a dialect is surer of its own documents."""
        found = prolog(head)
        if found is None:
            return 0.0
        if found.is_html:
            return 0.3
        return 0.96 if found.has_declaration or found.has_markup else 0.85

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.xml.reader import XmlReader

        return XmlReader(source, spec, GENERIC)


FORMAT = XmlFormat()
