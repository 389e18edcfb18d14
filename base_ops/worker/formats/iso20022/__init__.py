"""ISO 20022 messages: one row per entry or transaction, with its group header, payment information or statement.

    pacs.008   CdtTrfTxInf                   GrpHdr.MsgId, …
    pain.001   CdtTrfTxInf                   GrpHdr.MsgId, PmtInf.PmtInfId, PmtInf.DbtrAcct.Id.IBAN, …
    camt.05x   Ntry                          Stmt.Id, Stmt.Acct.Id.IBAN, Stmt.Bal.OPBD.Amt, Stmt.Bal.OPBD.Amt.Ccy, …

The records of other messages are found as in any XML. Amounts are two columns: Amt and Amt.Ccy.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.xml.dialect import Dialect
from base_ops.worker.formats.xml.prolog import prolog

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
DIALECT = Dialect(
    name="iso20022",
    records=("CdtTrfTxInf", "Ntry"),
    wrappers=frozenset({
        "Document", "FIToFICstmrCdtTrf", "CstmrCdtTrfInitn", "BkToCstmrStmt", "BkToCstmrAcctRpt",
        "BkToCstmrDbtCdtNtfctn",
    }),
    lists=frozenset({
        "NtryDtls", "TxDtls", "Ustrd", "Strd", "AdrLine", "Chrgs", "ChrgsInf", "RltdRmtInf", "InstrForCdtrAgt",
        "InstrForNxtAgt", "RgltryRptg", "Prtry", "RfrdDocInf", "AddtlRmtInf", "Avlbty", "Rcrd",
    }),
    keyed={"Bal": "Tp.CdOrPrtry.Cd"},
)  # fmt: skip


class Iso20022Format:
    """ISO 20022 messages."""

    name = "iso20022"
    suffixes = (".xml",)

    def sniff(self, head: bytes, name: str) -> float:
        """By the namespace of the Document, which may stand inside of an envelope."""
        found = prolog(head)
        if found is None:
            return 0.0
        if found.namespace.startswith(_NAMESPACE):
            return 0.99
        return 0.97 if any(uri.startswith(_NAMESPACE) for uri in found.namespaces) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.xml.reader import XmlReader

        return XmlReader(source, spec, DIALECT)


FORMAT = Iso20022Format()
