"""SOAP, FpML, FIXML and ISO 20022: which elements are rows, and what around them becomes columns."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import Any

import pytest
from xml_kit import codes, read_xml, rows_of

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import choose_format

CAMT_053 = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
 <BkToCstmrStmt>
  <GrpHdr><MsgId>M-1</MsgId><CreDtTm>2024-01-03T06:00:00Z</CreDtTm></GrpHdr>
  <Stmt>
   <Id>S-1</Id>
   <Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
   <Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
   <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1150.50</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
   <Ntry>
    <NtryRef>001</NtryRef><Amt Ccy="EUR">250.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
    <BookgDt><Dt>2024-01-02</Dt></BookgDt>
    <NtryDtls><TxDtls><Refs><EndToEndId>E-1</EndToEndId></Refs>
     <RmtInf><Ustrd>Invoice 1</Ustrd><Ustrd>thanks</Ustrd></RmtInf></TxDtls></NtryDtls>
   </Ntry>
   <Ntry><NtryRef>002</NtryRef><Amt Ccy="EUR">100</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts></Ntry>
  </Stmt>
  <Stmt>
   <Id>S-2</Id>
   <Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>USD</Ccy></Acct>
   <Ntry><NtryRef>001</NtryRef><Amt Ccy="USD">5</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts></Ntry>
  </Stmt>
 </BkToCstmrStmt>
</Document>
"""
PACS_008 = """<?xml version="1.0" encoding="UTF-8"?>
<p:Document xmlns:p="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><p:FIToFICstmrCdtTrf>
<p:GrpHdr><p:MsgId>M1</p:MsgId><p:NbOfTxs>2</p:NbOfTxs><p:SttlmInf><p:SttlmMtd>CLRG</p:SttlmMtd></p:SttlmInf></p:GrpHdr>
<p:CdtTrfTxInf><p:PmtId><p:EndToEndId>E1</p:EndToEndId></p:PmtId><p:IntrBkSttlmAmt Ccy="EUR">10.10</p:IntrBkSttlmAmt>
<p:Dbtr><p:Nm>A &amp; B</p:Nm></p:Dbtr><p:CdtrAcct><p:Id><p:Othr><p:Id>0012345</p:Id></p:Othr></p:Id></p:CdtrAcct></p:CdtTrfTxInf>
<p:CdtTrfTxInf><p:PmtId><p:EndToEndId>E2</p:EndToEndId></p:PmtId><p:IntrBkSttlmAmt Ccy="EUR">20</p:IntrBkSttlmAmt>
<p:Dbtr><p:Nm>C</p:Nm></p:Dbtr></p:CdtTrfTxInf>
</p:FIToFICstmrCdtTrf></p:Document>
"""
PAIN_001 = """<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>
<GrpHdr><MsgId>P1</MsgId><InitgPty><Nm>ACME</Nm></InitgPty></GrpHdr>
<PmtInf><PmtInfId>PI-1</PmtInfId><Dbtr><Nm>ACME</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>
<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">1.00</InstdAmt></Amt></CdtTrfTxInf></PmtInf>
<PmtInf><PmtInfId>PI-2</PmtInfId><Dbtr><Nm>ACME 2</Nm></Dbtr>
<CdtTrfTxInf><PmtId><EndToEndId>E2</EndToEndId></PmtId><Amt><InstdAmt Ccy="USD">2.00</InstdAmt></Amt></CdtTrfTxInf>
<CdtTrfTxInf><PmtId><EndToEndId>E3</EndToEndId></PmtId><Amt><InstdAmt Ccy="USD">3.00</InstdAmt></Amt></CdtTrfTxInf></PmtInf>
</CstmrCdtTrfInitn></Document>
"""
FIXML = """<?xml version="1.0" encoding="UTF-8"?>
<FIXML xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2" v="5.0 SP2">
<Batch ID="B1"><Hdr SID="ICE" Snt="2024-01-02T10:00:00Z"/>
<TrdCaptRpt RptID="0001" TrdDt="2024-01-02" LastPx="101.5"><Instrmt Sym="AAPL"/>
<RptSide Side="1"><Pty ID="A1" R="1"/><Pty ID="B1" R="4"/></RptSide></TrdCaptRpt>
<TrdCaptRpt RptID="0002" TrdDt="2024-01-02" LastPx="102.5"><Instrmt Sym="MSFT"/></TrdCaptRpt>
<ExecRpt ExecID="E1"><Instrmt Sym="IBM"/></ExecRpt>
</Batch>
<Order ID="O9"><Instrmt Sym="GE"/></Order>
</FIXML>
"""
FPML = """<?xml version="1.0" encoding="UTF-8"?>
<requestConfirmation xmlns="http://www.fpml.org/FpML-5/confirmation" fpmlVersion="5-12">
<header><messageId messageIdScheme="urn:s">CN/1</messageId><sentBy>PARTYA</sentBy></header>
<trade><tradeHeader><partyTradeIdentifier><partyReference href="party1"/><tradeId tradeIdScheme="urn:t">TW9235</tradeId>
</partyTradeIdentifier><tradeDate>2024-01-02</tradeDate></tradeHeader>
<fxSingleLeg><exchangedCurrency1><payerPartyReference href="party1"/><paymentAmount><currency>GBP</currency>
<amount>10000000</amount></paymentAmount></exchangedCurrency1><exchangeRate><rate>1.48</rate></exchangeRate></fxSingleLeg></trade>
<party id="party1"><partyId>A</partyId></party><party id="party2"><partyId>B</partyId></party>
</requestConfirmation>
"""
SOAP = """<?xml version="1.0"?><s:Envelope xmlns:s="{namespace}"><s:Header><h:Id xmlns:h="urn:h">c-1</h:Id></s:Header>
<s:Body><m:QuotesResponse xmlns:m="urn:q"><m:asOf>2024-01-02</m:asOf>
<m:Quote><m:sym>A</m:sym><m:px>1.5</m:px></m:Quote>
<m:Quote><m:sym>B</m:sym><m:px>2.5</m:px></m:Quote></m:QuotesResponse></s:Body></s:Envelope>
"""
SOAP_11, SOAP_12 = "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"
DOCUMENTS = {
    "camt.053": ("iso20022", CAMT_053),
    "pacs.008": ("iso20022", PACS_008),
    "pain.001": ("iso20022", PAIN_001),
    "fixml": ("fixml", FIXML),
    "fpml": ("fpml", FPML),
    "soap 1.1": ("soap", SOAP.format(namespace=SOAP_11)),
    "soap 1.2": ("soap", SOAP.format(namespace=SOAP_12)),
    "fixml without namespace": ("fixml", '<FIXML v="4.4"><Order ID="1"/></FIXML>'),
    "enveloped": (
        "iso20022",
        '<Saa:DataPDU xmlns:Saa="urn:swift:saa:xsd:saa.2.0"><Saa:Body>'
        + PAIN_001.strip()
        + "</Saa:Body></Saa:DataPDU>",
    ),
    "generic": ("xml", "<r><t><a>1</a></t></r>"),
    "soap-like": ("xml", '<Envelope xmlns="urn:other"><Body><a>1</a></Body></Envelope>'),
    "document": ("xml", "<Document><Stmt><Ntry>1</Ntry></Stmt></Document>"),
}


def source(text: str, codec: str = "utf-8") -> ByteSource:
    data = text.encode(codec)
    return ByteSource("x.xml", len(data), lambda: io.BytesIO(data))


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_dialects_are_told_by_their_content(name: str, codec: str) -> None:
    format, text = DOCUMENTS[name]
    found, findings = choose_format(source(text, codec), ReadSpec())
    assert found.name == format
    assert "name_disagrees" not in {f.code for f in findings}


def amounts(row: dict[str, Any]) -> tuple[Any, ...]:
    return row.get("Amt"), row.get("Amt.Ccy")


def test_camt_053_rows_are_entries_with_their_account_and_balances() -> None:
    rows = rows_of(CAMT_053, "iso20022")
    assert [amounts(row) for row in rows] == [(250.5, "EUR"), (100.0, "EUR"), (5.0, "USD")]
    assert rows[0] == {
        "GrpHdr.MsgId": "M-1",
        "GrpHdr.CreDtTm": datetime(2024, 1, 3, 6, tzinfo=UTC),
        "Stmt.Id": "S-1",
        "Stmt.Acct.Id.IBAN": "DE89370400440532013000",
        "Stmt.Acct.Ccy": "EUR",
        "Stmt.Bal.OPBD.Tp.CdOrPrtry.Cd": "OPBD",
        "Stmt.Bal.OPBD.Amt": 1000.0,
        "Stmt.Bal.OPBD.Amt.Ccy": "EUR",
        "Stmt.Bal.OPBD.CdtDbtInd": "CRDT",
        "Stmt.Bal.CLBD.Tp.CdOrPrtry.Cd": "CLBD",
        "Stmt.Bal.CLBD.Amt": 1150.5,
        "Stmt.Bal.CLBD.Amt.Ccy": "EUR",
        "Stmt.Bal.CLBD.CdtDbtInd": "CRDT",
        "NtryRef": "001",
        "Amt": 250.5,
        "Amt.Ccy": "EUR",
        "CdtDbtInd": "CRDT",
        "Sts.Cd": "BOOK",
        "BookgDt.Dt": date(2024, 1, 2),
        "NtryDtls": '[{"TxDtls":[{"Refs":{"EndToEndId":"E-1"},"RmtInf":{"Ustrd":["Invoice 1","thanks"]}}]}]',
    }
    last = rows[2]
    assert (last["Stmt.Id"], last["Stmt.Acct.Id.IBAN"]) == ("S-2", "DE02120300000000202051")
    assert not any(name.startswith("Stmt.Bal") for name in last)


def test_balance_that_is_there_twice_is_told() -> None:
    again = CAMT_053.replace("<Cd>CLBD</Cd>", "<Cd>OPBD</Cd>")
    _, _, reader = read_xml(again, "iso20022")
    found = {f.code: f.data for f in reader.findings}
    assert found["unread_elements"] == {"elements": {"Document/BkToCstmrStmt/Stmt/Bal": 1}}


def test_statement_without_entries_is_told() -> None:
    start, end = CAMT_053.index("<Ntry>", CAMT_053.index("S-2")), CAMT_053.rindex("</Ntry>") + 7
    _, _, reader = read_xml(CAMT_053[:start] + CAMT_053[end:], "iso20022")
    found = {f.code: f.data for f in reader.findings}
    assert found["unread_elements"] == {"elements": {"Document/BkToCstmrStmt/Stmt (without records)": 1}}


def test_pacs_008_rows_are_transfers_with_their_group_header() -> None:
    header = {"GrpHdr.MsgId": "M1", "GrpHdr.NbOfTxs": 2, "GrpHdr.SttlmInf.SttlmMtd": "CLRG"}
    assert rows_of(PACS_008, "iso20022") == [
        {
            **header,
            "PmtId.EndToEndId": "E1",
            "IntrBkSttlmAmt": 10.1,
            "IntrBkSttlmAmt.Ccy": "EUR",
            "Dbtr.Nm": "A & B",
            "CdtrAcct.Id.Othr.Id": "0012345",
        },
        {**header, "PmtId.EndToEndId": "E2", "IntrBkSttlmAmt": 20.0, "IntrBkSttlmAmt.Ccy": "EUR", "Dbtr.Nm": "C"},
    ]


@pytest.mark.parametrize("name", ["pain.001", "enveloped"])
def test_pain_001_rows_are_transfers_with_their_payment_information(name: str) -> None:
    rows = rows_of(DOCUMENTS[name][1], "iso20022")
    header = {"GrpHdr.MsgId": "P1", "GrpHdr.InitgPty.Nm": "ACME"}
    second = {**header, "PmtInf.PmtInfId": "PI-2", "PmtInf.Dbtr.Nm": "ACME 2", "Amt.InstdAmt.Ccy": "USD"}
    assert rows == [
        {
            **header,
            "PmtInf.PmtInfId": "PI-1",
            "PmtInf.Dbtr.Nm": "ACME",
            "PmtInf.DbtrAcct.Id.IBAN": "DE89370400440532013000",
            "PmtId.EndToEndId": "E1",
            "Amt.InstdAmt": 1.0,
            "Amt.InstdAmt.Ccy": "EUR",
        },
        {**second, "PmtId.EndToEndId": "E2", "Amt.InstdAmt": 2.0},
        {**second, "PmtId.EndToEndId": "E3", "Amt.InstdAmt": 3.0},
    ]


def test_other_iso_messages_are_read_as_any_xml() -> None:
    data = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10"><FIToFIPmtStsRpt><GrpHdr><MsgId>1</MsgId></GrpHdr>'
    data += "".join(f"<TxInfAndSts><StsId>{n}</StsId></TxInfAndSts>" for n in (1, 2)) + "</FIToFIPmtStsRpt></Document>"
    assert rows_of(data, "iso20022") == [{"FIToFIPmtStsRpt.GrpHdr.MsgId": 1, "StsId": n} for n in (1, 2)]


def test_fixml_rows_are_messages_of_every_type() -> None:
    root = {"FIXML.v": "5.0 SP2"}
    batch = {**root, "Batch.ID": "B1", "Batch.Hdr.SID": "ICE", "Batch.Hdr.Snt": datetime(2024, 1, 2, 10, tzinfo=UTC)}
    trade = {**batch, "Message": "TrdCaptRpt", "TrdDt": date(2024, 1, 2)}
    sides = '[{"Side":"1","Pty":[{"ID":"A1","R":"1"},{"ID":"B1","R":"4"}]}]'
    assert rows_of(FIXML, "fixml") == [
        {**trade, "RptID": "0001", "LastPx": 101.5, "Instrmt.Sym": "AAPL", "RptSide": sides},
        {**trade, "RptID": "0002", "LastPx": 102.5, "Instrmt.Sym": "MSFT"},
        {**batch, "Message": "ExecRpt", "ExecID": "E1", "Instrmt.Sym": "IBM"},
        {**root, "Message": "Order", "ID": "O9", "Instrmt.Sym": "GE"},
    ]


def test_fixml_message_types_beyond_the_sample_are_rows_too() -> None:
    orders = "".join(f'<Order ID="{n}"/>' for n in range(50))
    data = f'<FIXML>{orders}<News Headline="late"/>{orders}</FIXML>'
    rows, rejected, _ = read_xml(data, "fixml", sample_rows=2)
    assert [r["Message"] for r in rows] == ["Order"] * 50 + ["News"] + ["Order"] * 50
    assert (rejected, rows[50]["_extra"]) == ([], '{"Headline":"late"}')


def test_fpml_rows_are_trades_with_their_message_header() -> None:
    rows, rejected, reader = read_xml(FPML, "fpml")
    assert rejected == []
    assert {k: v for k, v in rows[0].items() if v is not None} == {
        "requestConfirmation.fpmlVersion": "5-12",
        "requestConfirmation.header.messageId": "CN/1",
        "requestConfirmation.header.messageId.messageIdScheme": "urn:s",
        "requestConfirmation.header.sentBy": "PARTYA",
        "tradeHeader.partyTradeIdentifier": (
            '[{"partyReference":{"href":"party1"},"tradeId":[{"tradeIdScheme":"urn:t","#text":"TW9235"}]}]'
        ),
        "tradeHeader.tradeDate": date(2024, 1, 2),
        "fxSingleLeg.exchangedCurrency1.payerPartyReference.href": "party1",
        "fxSingleLeg.exchangedCurrency1.paymentAmount.currency": "GBP",
        "fxSingleLeg.exchangedCurrency1.paymentAmount.amount": 10_000_000,
        "fxSingleLeg.exchangeRate.rate": 1.48,
        "_line": 4,
    }
    assert "unread_elements" in codes(reader)


@pytest.mark.parametrize("namespace", [SOAP_11, SOAP_12])
def test_soap_rows_are_what_the_body_repeats(namespace: str) -> None:
    around = {"Header.Id": "c-1", "QuotesResponse.asOf": date(2024, 1, 2)}
    assert rows_of(SOAP.format(namespace=namespace), "soap") == [
        {**around, "sym": "A", "px": 1.5},
        {**around, "sym": "B", "px": 2.5},
    ]


def test_repeated_headers_are_not_taken_for_records() -> None:
    header = "".join(f'<Id n="{n}"/>' for n in range(9))
    data = SOAP.format(namespace=SOAP_11).replace("<s:Header>", f"<s:Header>{header}")
    assert [row["sym"] for row in rows_of(data, "soap")] == ["A", "B"]


@pytest.mark.parametrize(
    ("namespace", "fault"),
    [
        (SOAP_11, "<faultcode>s:Client</faultcode><faultstring>Unknown symbol</faultstring>"),
        (
            SOAP_12,
            '<s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text xml:lang="en">Unknown symbol</s:Text></s:Reason>',
        ),
    ],
)
def test_soap_fault_refuses_the_document_with_its_text(namespace: str, fault: str) -> None:
    data = f'<s:Envelope xmlns:s="{namespace}"><s:Body><s:Fault>{fault}</s:Fault></s:Body></s:Envelope>'
    with pytest.raises(BadInput, match="Unknown symbol") as raised:
        read_xml(data, "soap")
    assert raised.value.code == "soap_fault"


@pytest.mark.parametrize("name", ["camt.053", "pacs.008", "pain.001", "fixml", "fpml", "soap 1.1"])
def test_documents_cut_off_anywhere_are_refused(name: str) -> None:
    format, text = DOCUMENTS[name]
    data = text.rstrip().encode()
    for end in range(0, len(data) - 1, 7):
        with pytest.raises(BadInput) as raised:
            read_xml(data[:end], format)
        assert raised.value.code in ("truncated", "empty_object", "not_this_format", "soap_fault"), data[:end]
