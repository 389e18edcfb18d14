"""FIXML (4.4 to 5.0 SP2): one row per message, whatever its type, alone or in a Batch.

The column Message holds the message's element, e.g. TrdCaptRpt; components that occur once are columns such as
Instrmt.Sym; those that may repeat (Pty, Leg, Side, …) are lists.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml.dialect import Dialect
from base_ops.worker.formats.xml.prolog import prolog

DIALECT = Dialect(
    name="fixml",
    containers=("FIXML", "Batch"),
    headers=("Hdr",),
    lists=frozenset({
        "Pty", "Sub", "Leg", "Stip", "Undly", "AID", "Evnt", "RptSide", "Amt", "Qty", "TrdRegTS", "Fill", "MiscFees",
        "Alloc", "PreAll", "Full", "Inc", "ClrInst", "RegTrdID", "Cont", "Comm", "TrdLeg",
    }),
    kind="Message",
)  # fmt: skip


class FixmlFormat:
    """FIXML documents."""

    name = "fixml"
    suffixes = (".xml", ".fixml")

    def sniff(self, head: bytes, name: str) -> float:
        """By the root element; old documents have no namespace."""
        found = prolog(head)
        return 0.99 if found is not None and found.root == "FIXML" else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.xml.reader import XmlReader

        return XmlReader(source, spec, DIALECT)


FORMAT = FixmlFormat()
