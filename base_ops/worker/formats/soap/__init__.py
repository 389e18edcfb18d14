"""SOAP 1.1 and 1.2 envelopes: the records are looked for in the Body; a Fault refuses the document with its text.

What the Header and the elements between Body and records say becomes columns, without the names Envelope and Body.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml.dialect import Dialect
from base_ops.worker.formats.xml.prolog import prolog

_NAMESPACES = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
DIALECT = Dialect(
    name="soap",
    within=("Envelope", "Body"),
    wrappers=frozenset({"Envelope", "Body"}),
    fault=("Envelope", "Body", "Fault"),
)


class SoapFormat:
    """SOAP envelopes."""

    name = "soap"
    suffixes = (".xml", ".soap")

    def sniff(self, head: bytes, name: str) -> float:
        """By the root element and its namespace."""
        found = prolog(head)
        return 0.99 if found is not None and found.root == "Envelope" and found.namespace in _NAMESPACES else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.xml.reader import XmlReader

        return XmlReader(source, spec, DIALECT)


FORMAT = SoapFormat()
