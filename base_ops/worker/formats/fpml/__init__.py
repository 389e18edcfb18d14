"""FpML 5 (5.12 and its neighbours, any view): one row per trade, with the header of its message.

Where a message holds no `trade`, the records are found as in any XML. Parties stand behind the trades, which refer to
them by `href`; they are told as unread.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml.dialect import Dialect
from base_ops.worker.formats.xml.prolog import prolog

DIALECT = Dialect(
    name="fpml",
    records=("trade",),
    lists=frozenset({
        "partyTradeIdentifier", "partyTradeInformation", "tradeId", "swapStream", "relatedParty", "businessCenter",
        "linkId", "category", "otherPartyPayment", "additionalPayment", "calculationAgentPartyReference",
    }),
)  # fmt: skip


class FpmlFormat:
    """FpML messages."""

    name = "fpml"
    suffixes = (".xml", ".fpml")

    def sniff(self, head: bytes, name: str) -> float:
        """By the namespace of the root element."""
        found = prolog(head)
        if found is None:
            return 0.0
        is_fpml = found.namespace.startswith(("http://www.fpml.org/FpML-", "http://www.fpml.org/20"))
        return 0.99 if is_fpml else 0.97 if found.root == "FpML" else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.xml.reader import XmlReader

        return XmlReader(source, spec, DIALECT)


FORMAT = FpmlFormat()
