"""Three trades in every format: what the sheet's first check converts, each with the rows that must come out."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import polars as pl

TRADES = [("T1", "AAPL", 100, 187.5), ("T2", "MSFT", 250, 402.25), ("T3", "GOOG", 75, 141.125)]
NAMES = ("id", "symbol", "quantity", "price")
RECORDS = [dict(zip(NAMES, trade, strict=True)) for trade in TRADES]


@dataclass(frozen=True)
class Sample:
    """An object, and columns of what is read of it."""

    name: str
    data: bytes
    expected: dict[str, list[Any]]
    read: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """Beside it: what `read` names, as {name} of a path."""


def _columns(*names: str) -> dict[str, list[Any]]:
    return {name: [record[name] for record in RECORDS] for name in names or NAMES}


TRADED = _columns()


def _delimited(mark: str) -> bytes:
    return "\n".join([mark.join(NAMES), *(mark.join(map(str, trade)) for trade in TRADES), ""]).encode()


def _xml(rows: str, root: str = "trades", more: str = "") -> bytes:
    return f'<?xml version="1.0"?>\n<{root}{more}>\n{rows}\n</{root}>\n'.encode()


def _elements(tag: str) -> str:
    return "\n".join(
        f"<{tag}>" + "".join(f"<{key}>{value}</{key}>" for key, value in record.items()) + f"</{tag}>"
        for record in RECORDS
    )


def _parquet() -> bytes:
    return _written(lambda out: pl.DataFrame(RECORDS).write_parquet(out))


def _written(write: Callable[[Any], Any]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def _orc() -> bytes:
    from pyarrow import orc

    return _written(lambda out: orc.write_table(pl.DataFrame(RECORDS).to_arrow(), out))


def _avro() -> bytes:
    import fastavro

    fields = [{"name": n, "type": t} for n, t in zip(NAMES, ("string", "string", "long", "double"), strict=True)]
    schema = fastavro.parse_schema({"type": "record", "name": "Trade", "fields": fields})
    return _written(lambda out: fastavro.writer(out, schema, RECORDS))


def _msgpack() -> bytes:
    import msgpack

    return b"".join(msgpack.packb(record) for record in RECORDS)


def _protobuf() -> tuple[bytes, bytes]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    proto = descriptor_pb2.FileDescriptorProto(name="trade.proto", package="m", syntax="proto3")
    message = proto.message_type.add(name="Trade")
    for number, (name, kind) in enumerate(zip(NAMES, (9, 9, 3, 1), strict=True), 1):
        message.field.add(name=name, number=number, type=kind, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    trade = message_factory.GetMessageClass(pool.FindMessageTypeByName("m.Trade"))
    parts = [trade(**record).SerializeToString() for record in RECORDS]
    files = descriptor_pb2.FileDescriptorSet(file=[proto])
    return b"".join(bytes([len(part)]) + part for part in parts), files.SerializeToString()


def _xlsx() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (NAMES, *TRADES):
        book.active.append(row)
    return _written(book.save)


def _xls() -> bytes:
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("trades")
    for number, row in enumerate((NAMES, *TRADES)):
        for column, value in enumerate(row):
            sheet.write(number, column, value)
    return _written(book.save)


def _pdf() -> bytes:
    from reportlab.pdfgen import canvas

    def write(out: Any) -> None:
        page = canvas.Canvas(out, invariant=1)
        page.drawString(72, 720, "AAPL 100 at 187.5")
        page.save()

    return _written(write)


def _docx() -> bytes:
    import docx

    document = docx.Document()
    for _, symbol, quantity, price in TRADES:
        document.add_paragraph(f"{symbol} {quantity} at {price}")
    return _written(document.save)


def _tiff() -> bytes:
    import numpy as np
    import tifffile

    return _written(lambda out: tifffile.imwrite(out, np.zeros((3, 4), np.uint8)))


def _cobol() -> bytes:
    def packed(value: Decimal) -> bytes:
        digits = f"{int(value * 1000):09d}C"
        return bytes.fromhex(digits)

    return b"".join(
        f"{identifier:<4}{symbol:<6}{quantity:05d}".encode("cp037") + packed(Decimal(str(price)))
        for identifier, symbol, quantity, price in TRADES
    )


def _fix(*fields: tuple[int, Any]) -> bytes:
    body = "".join(f"{tag}={value}\x01" for tag, value in fields)
    head = f"8=FIX.4.4\x019={len(body)}\x01"
    total = sum((head + body).encode()) % 256
    return f"{head}{body}10={total:03d}\x01".encode()


def _mail() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "desk@example.com", "risk@example.com", "Trades of the day"
    mail["Date"], mail["Message-ID"] = "Fri, 20 Nov 2026 09:30:00 +0000", "<1@example.com>"
    mail.set_content("AAPL 100\n")
    return mail.as_bytes()


_MT940 = """:20:START
:25:DE12/1234567
:28C:1/1
:60F:C261119EUR1000,00
:61:2611201120C187,50NTRFREF1//B1
:86:Trade T1
:61:2611201120D402,25NTRFREF2//B2
:86:Trade T2
:62F:C261120EUR785,25
-
"""
_MT103 = """{1:F01BANKBEBBAXXX0000000000}{2:I103BANKDEFFXXXXN}{4:
:20:REF1
:23B:CRED
:32A:261120EUR187,50
:50K:/12345
ALICE
:59:/67890
BOB
:71A:SHA
-}
"""
_CAMT = """<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr>
<Stmt><Id>S1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>
<Ntry><Amt Ccy="EUR">187.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2026-11-20</Dt></BookgDt></Ntry>
<Ntry><Amt Ccy="EUR">402.25</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><Dt>2026-11-20</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>
"""
_FIXML = """<FIXML xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2"><Batch>
<TrdCaptRpt RptID="R1" LastQty="100" LastPx="187.5"><Instrmt Sym="AAPL"/></TrdCaptRpt>
<TrdCaptRpt RptID="R2" LastQty="250" LastPx="402.25"><Instrmt Sym="MSFT"/></TrdCaptRpt>
</Batch></FIXML>
"""
_FPML = """<requestConfirmation xmlns="http://www.fpml.org/FpML-5/confirmation" fpmlVersion="5-12">
<header><messageId messageIdScheme="http://example.com/id">M1</messageId></header>
<trade><tradeHeader><tradeDate>2026-11-20</tradeDate></tradeHeader><fra><notional><amount>100</amount></notional></fra></trade>
<trade><tradeHeader><tradeDate>2026-11-21</tradeDate></tradeHeader><fra><notional><amount>250</amount></notional></fra></trade>
</requestConfirmation>
"""
_SOAP = f"""<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><GetTradesResponse>
{_elements("trade")}
</GetTradesResponse></soap:Body></soap:Envelope>
"""
_COPYBOOK = """01 TRADE.
   05 ID PIC X(4).
   05 SYMBOL PIC X(6).
   05 QUANTITY PIC 9(5).
   05 PRICE PIC S9(6)V9(3) COMP-3.
"""
_LAYOUT = [
    {"name": name, "start": start, "length": length}
    for name, start, length in zip(NAMES, (1, 5, 11, 16), (4, 6, 5, 10), strict=True)
]


def samples() -> dict[str, Sample]:
    """By format, in the order of the sheet."""
    protobuf, descriptor = _protobuf()
    day = date(2026, 11, 20)
    named = {
        "csv": Sample("t.csv", _delimited(","), TRADED),
        "tsv": Sample("t.tsv", _delimited("\t"), TRADED),
        "pipe": Sample("t.psv", _delimited("|"), TRADED),
        "google_sheets": Sample("t.csv", _delimited(",").replace(b"\n", b"\r\n"), TRADED),
        "json": Sample("t.json", json.dumps(RECORDS).encode(), TRADED),
        "ndjson": Sample("t.jsonl", "".join(json.dumps(r) + "\n" for r in RECORDS).encode(), TRADED),
        "jsonapi": Sample(
            "t.json",
            json.dumps(
                {
                    "data": [
                        {"type": "trades", "id": r["id"], "attributes": {k: r[k] for k in NAMES[1:]}} for r in RECORDS
                    ]
                }
            ).encode(),
            TRADED,
            {"format": "jsonapi"},
        ),
        "jsonlog": Sample(
            "t.log",
            "".join(
                json.dumps({"timestamp": "2026-11-20T09:30:00Z", "level": "info", "event": r["id"]}) + "\n"
                for r in RECORDS
            ).encode(),
            {"event": ["T1", "T2", "T3"]},
            {"format": "jsonlog"},
        ),
        "xml": Sample("t.xml", _xml(_elements("trade")), TRADED),
        "soap": Sample("t.xml", _SOAP.encode(), TRADED),
        "fpml": Sample("t.xml", _FPML.encode(), {"tradeHeader.tradeDate": [day, date(2026, 11, 21)]}),
        "fixml": Sample("t.xml", _FIXML.encode(), {"RptID": ["R1", "R2"], "LastQty": [100, 250]}),
        "iso20022": Sample("t.xml", _CAMT.encode(), {"Amt": [187.5, 402.25], "Amt.Ccy": ["EUR", "EUR"]}),
        "yaml": Sample("t.yaml", "".join(f"- {json.dumps(r)}\n" for r in RECORDS).encode(), TRADED, {"format": "yaml"}),
        "toml": Sample(
            "t.toml",
            "".join(
                "[[trades]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in r.items()) for r in RECORDS
            ).encode(),
            TRADED,
        ),
        "txt": Sample(
            "t.txt", b"First line.\nSecond line!\n", {"text": ["First line.", "Second line!"]}, {"format": "txt"}
        ),
        "fixed_width": Sample(
            "t.dat",
            "".join(f"{i:<4}{s:<6}{q:5d}{p:10.3f}\n" for i, s, q, p in TRADES).encode(),
            TRADED,
            {"format": "fixed_width", "fixed_width": {"fields": _LAYOUT}},
        ),
        "cobol": Sample(
            "t.ebc",
            _cobol(),
            {**_columns("id", "symbol", "quantity"), "price": [Decimal(str(t[3])) for t in TRADES]},
            {"format": "cobol", "cobol": {"copybook": _COPYBOOK}},
        ),
        "common_log": Sample(
            "access.log",
            b'10.0.0.1 - - [20/Nov/2026:09:30:00 +0000] "GET /a HTTP/1.1" 200 12\n'
            b'10.0.0.2 - - [20/Nov/2026:09:30:01 +0000] "GET /b HTTP/1.1" 404 7\n',
            {"status": [200, 404], "path": ["/a", "/b"]},
        ),
        "syslog": Sample(
            "t.syslog",
            b"<34>1 2026-11-20T09:30:00Z host app 1 ID1 - first\n<35>1 2026-11-20T09:30:01Z host app 1 ID2 - second\n",
            {"message": ["first", "second"]},
        ),
        "sql_dump": Sample(
            "t.sql",
            (
                "CREATE TABLE trades (id varchar(4), symbol varchar(6), quantity int, price double);\n"
                + "".join(f"INSERT INTO trades VALUES ('{i}', '{s}', {q}, {p});\n" for i, s, q, p in TRADES)
            ).encode(),
            TRADED,
        ),
        "db2": Sample(
            "t.del",
            "".join(f'"{i}","{s}",{q},+{p:08.3f}\n' for i, s, q, p in TRADES).encode(),
            {"column_1": ["T1", "T2", "T3"], "column_3": [100, 250, 75]},
            {"format": "db2"},
        ),
        "email": Sample("t.eml", _mail(), {"subject": ["Trades of the day"]}),
        "mt940": Sample("t.sta", _MT940.encode(), {"amount": [Decimal("187.50"), Decimal("-402.25")]}),
        "mt103": Sample("t.fin", _MT103.encode(), {"amount": [Decimal("187.50")]}),
        "fix": Sample(
            "t.fix",
            b"\n".join(
                _fix((35, "D"), (49, "A"), (56, "B"), (34, n), (55, t[1]), (38, t[2])) for n, t in enumerate(TRADES, 1)
            ),
            {"Symbol": [t[1] for t in TRADES]},
        ),
        "parquet": Sample("t.parquet", _parquet(), TRADED),
        "avro": Sample("t.avro", _avro(), TRADED),
        "orc": Sample("t.orc", _orc(), TRADED),
        "arrow": Sample("t.arrow", _written(lambda out: pl.DataFrame(RECORDS).write_ipc(out)), TRADED),
        "protobuf": Sample(
            "t.pb",
            protobuf,
            TRADED,
            {"format": "protobuf", "protobuf": {"descriptor": "{trade.desc}", "message": "m.Trade"}},
            {"trade.desc": descriptor},
        ),
        "msgpack": Sample("t.msgpack", _msgpack(), TRADED),
        "xlsx": Sample("t.xlsx", _xlsx(), TRADED),
        "xls": Sample("t.xls", _xls(), TRADED),
        "pdf": Sample("t.pdf", _pdf(), {"page": [1]}),
        "docx": Sample("t.docx", _docx(), {"text": [f"{s} {q} at {p}" for _, s, q, p in TRADES]}),
        "tiff": Sample("t.tif", _tiff(), {"width": [4], "height": [3]}),
    }
    return named


def wrapped(data: bytes) -> dict[str, bytes]:
    """One object in every wrapper."""
    import bz2
    import gzip
    import lzma

    import lz4.frame
    import zstandard

    def tarred(out: Any) -> None:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            member = tarfile.TarInfo("t.csv")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

    def zipped(out: Any) -> None:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", data)

    return {
        "t.csv.gz": gzip.compress(data, mtime=0),
        "t.zip": _written(zipped),
        "t.csv.bz2": bz2.compress(data),
        "t.csv.xz": lzma.compress(data),
        "t.csv.zst": zstandard.compress(data),
        "t.csv.lz4": lz4.frame.compress(data),
        "t.tar.gz": _written(tarred),
    }
