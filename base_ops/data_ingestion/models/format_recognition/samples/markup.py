"""XML and its dialects, e-mail, and the messages of finance."""

# ruff: noqa: E501 - long literals
from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from random import Random
from xml.sax.saxutils import escape, quoteattr

from base_ops.data_ingestion.models.format_recognition.samples.words import (
    moment,
    name,
    names,
    sentence,
    table,
    token,
    words,
)


def _tag(text: str) -> str:
    return text.replace(" ", "")


def _prolog(rng: Random, lang: str) -> str:
    head = rng.choice(['<?xml version="1.0" encoding="UTF-8"?>\n', "<?xml version='1.0' standalone=\"yes\"?>\n",
                       '<?xml version="1.0"?>', ""])  # fmt: skip
    return head + rng.choice(["", "", f"<!-- {words(rng, 6, lang)} -->\n"])


def _elements(rng: Random, lang: str, depth: int, prefix: str = "") -> str:
    made = []
    gap = rng.choice(["\n", "", "\n  "])
    for key in names(rng, rng.randint(1, 6)):
        tag = prefix + _tag(key)
        attributes = f" {_tag(name(rng))}={quoteattr(words(rng, 1, lang))}" if rng.random() < 0.3 else ""
        inner = _elements(rng, lang, depth - 1, prefix) if depth and rng.random() < 0.4 else escape(words(rng, 2, lang))
        made.append(f"<{tag}{attributes}>{inner}</{tag}>" if rng.random() < 0.9 else f"<{tag}{attributes}/>")
    return gap.join(made)


def xml_text(rng: Random, lang: str) -> str:
    root = _tag(name(rng))
    space = f' xmlns="http://{words(rng, 1)}.org/ns"' if rng.random() < 0.4 else ""
    rows = "\n".join(f"<row>{_elements(rng, lang, 1)}</row>" for _ in range(rng.randint(1, 20)))
    return f"{_prolog(rng, lang)}<{root}{space}>\n{rows}\n</{root}>\n"


def soap(rng: Random, lang: str) -> str:
    space = rng.choice(["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"])
    p = rng.choice(["soap:", "soapenv:", "SOAP-ENV:", "env:", "S:"])
    header = f"<{p}Header>{_elements(rng, lang, 0)}</{p}Header>" if rng.random() < 0.5 else ""
    body = _elements(rng, lang, 2, rng.choice(["", "m:"]))
    return (f'{_prolog(rng, lang)}<{p}Envelope xmlns:{p[:-1]}="{space}" xmlns:m="urn:x">{header}\n'
            f"<{p}Body>{body}</{p}Body>\n</{p}Envelope>")  # fmt: skip


def fpml(rng: Random, lang: str) -> str:
    kind, version = rng.choice(["confirmation", "reporting", "recordkeeping"]), rng.randint(0, 12)
    root = rng.choice(["requestConfirmation", "dataDocument", "tradeNotification", "FpML", "executionNotification"])
    p = rng.choice(["", "", "fpml:"])
    trade = "".join(
        f"<{p}trade><{p}tradeHeader><{p}partyTradeIdentifier><{p}tradeId>{token(rng)}</{p}tradeId></{p}partyTradeIdentifier>"
        f"<{p}tradeDate>{moment(rng):%Y-%m-%d}</{p}tradeDate></{p}tradeHeader><{p}swap>{_elements(rng, lang, 1, p)}</{p}swap>"
        f"</{p}trade>\n" for _ in range(rng.randint(1, 5))
    )  # fmt: skip
    space = f"xmlns{':fpml' if p else ''}"
    return f'{_prolog(rng, lang)}<{p}{root} {space}="http://www.fpml.org/FpML-5/{kind}" fpmlVersion="5-{version}">\n{trade}</{p}{root}>'


def fixml(rng: Random, lang: str) -> str:
    reports = "\n".join(
        f'<{rng.choice(["TrdCaptRpt", "Order", "ExecRpt", "PosRpt"])} RptID="{token(rng)}" TrdDt="{moment(rng):%Y-%m-%d}" '
        f'LastQty="{rng.randint(1, 999)}" LastPx="{rng.uniform(1, 99):.2f}"><Instrmt Sym="{token(rng, 4)}"/></TrdCaptRpt>'
        for _ in range(rng.randint(1, 10))
    )  # fmt: skip
    space = rng.choice([' xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2"', ' v="5.0 SP2"', ""])
    return f"{_prolog(rng, lang)}<FIXML{space}>\n{rng.choice(['<Batch>', ''])}{reports}\n</FIXML>"


def iso20022(rng: Random, lang: str) -> str:
    kind, root = rng.choice([("pacs.008.001.08", "FIToFICstmrCdtTrf"), ("camt.053.001.02", "BkToCstmrStmt"),
                             ("pain.001.001.03", "CstmrCdtTrfInitn"), ("camt.054.001.08", "BkToCstmrDbtCdtNtfctn")])  # fmt: skip
    entries = "".join(
        f'<Ntry><Amt Ccy="EUR">{rng.uniform(1, 999):.2f}</Amt><CdtDbtInd>CRDT</CdtDbtInd><NtryRef>{token(rng)}</NtryRef>'
        f"<AddtlNtryInf>{escape(sentence(rng, lang))}</AddtlNtryInf></Ntry>\n" for _ in range(rng.randint(1, 20))
    )  # fmt: skip
    space = f'xmlns="urn:iso:std:iso:20022:tech:xsd:{kind}"'
    head = f"<GrpHdr><MsgId>{token(rng)}</MsgId><CreDtTm>{moment(rng).isoformat()}</CreDtTm></GrpHdr>"
    return f"{_prolog(rng, lang)}<Document {space}>\n<{root}>{head}\n{entries}</{root}>\n</Document>"


def email_text(rng: Random, lang: str) -> str:
    messages = []
    for _ in range(rng.randint(1, 4)):
        message = EmailMessage()
        fields = {
            "From": f"{words(rng, 1)} <{token(rng, 5).lower()}@example.com>", "To": "b@example.org",
            "Subject": words(rng, rng.randint(1, 7), lang), "Date": format_datetime(moment(rng)),
            "Message-ID": f"<{token(rng, 12)}@example.com>",
        }  # fmt: skip
        keys = list(fields)
        rng.shuffle(keys)
        for key in keys[: rng.randint(3, 5)]:
            message[key] = fields[key]
        if rng.random() < 0.4:
            message["Received"] = f"from a.example.com by b.example.org; {format_datetime(moment(rng))}"
        message.set_content("\n".join(sentence(rng, lang) for _ in range(rng.randint(1, 20))))
        if rng.random() < 0.3:
            data = rng.randbytes(rng.randint(10, 3000))
            message.add_attachment(data, maintype="application", subtype="octet-stream", filename="x.bin")
        message_text = message.as_string()
        if "MIME" in message_text and message.is_multipart():
            message.set_boundary("=" * 15 + token(rng, 12) + "==")
            message_text = message.as_string()
        messages.append(message_text)
    if len(messages) > 1 or rng.random() < 0.3:
        return "\n".join(f"From x@example.com {moment(rng):%a %b %d %H:%M:%S %Y}\n{text}" for text in messages)
    return messages[0]


def swift_mt(rng: Random, lang: str) -> str:
    bic = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(6)) + "22XXX"
    made = []
    for _ in range(rng.randint(1, 6)):
        made.append(rng.choice([_statement, _statement, _payment])(rng, bic))
    return rng.choice(["\r\n", "\n", "\r\n$"]).join(made) + rng.choice(["\r\n", "\n", ""])


def _amount(rng: Random) -> str:
    return f"{rng.randint(0, 99999)},{rng.randint(0, 99):02}"


def _blocks(rng: Random, bic: str, kind: str, fields: list[str]) -> str:
    body = rng.choice(["\r\n", "\n"]).join(fields)
    if rng.random() < 0.5:
        return body + rng.choice(["\r\n-", "\n-", ""])
    head = f"{{1:F01{bic}A0000000000}}{{2:I{kind}{bic}XN}}"
    return f"{head}{{4:\r\n{body}\r\n-}}{{5:{{CHK:{token(rng, 12, '0123456789ABCDEF')}}}}}"


def _statement(rng: Random, bic: str) -> str:
    fields = [f":20:{token(rng, 10)}", f":25:{token(rng, 8)}/{rng.randint(10**6, 10**9)}", f":28C:{rng.randint(1, 365)}/1",
              f":60F:C{moment(rng):%y%m%d}EUR{_amount(rng)}"]  # fmt: skip
    for _ in range(rng.randint(0, 15)):
        t = moment(rng)
        fields.append(f":61:{t:%y%m%d}{t:%m%d}{rng.choice('CD')}{_amount(rng)}NTRF{token(rng, 6)}//{token(rng, 5)}")
        if rng.random() < 0.7:
            fields.append(
                f":86:{rng.randint(100, 999)}?00{words(rng, 1).upper()}?20{words(rng, 3)}?32{words(rng, 2).upper()}"
            )
    return _blocks(
        rng, bic, rng.choice(["940", "950", "942"]), [*fields, f":62F:C{moment(rng):%y%m%d}EUR{_amount(rng)}"]
    )


def _payment(rng: Random, bic: str) -> str:
    fields = [f":20:{token(rng, 12)}", ":23B:CRED", f":32A:{moment(rng):%y%m%d}USD{_amount(rng)}",
              f":50K:/{rng.randint(10**8, 10**10)}", words(rng, 2).upper(), f":59:/{rng.randint(10**8, 10**10)}",
              words(rng, 2).upper(), f":70:{words(rng, 4).upper()}", f":71A:{rng.choice(['OUR', 'SHA', 'BEN'])}"]  # fmt: skip
    return _blocks(rng, bic, rng.choice(["103", "202"]), fields)


def fix(rng: Random, lang: str) -> str:
    mark = rng.choice(["\x01", "\x01", "|", "|"])
    before = rng.random() < 0.25
    lines = []
    for number in range(rng.randint(1, 60)):
        t = f"{moment(rng):%Y%m%d-%H:%M:%S.%f}"[:-3]
        kind = rng.choice(["D", "8", "0", "A", "V", "W", "AE"])
        fields = [f"35={kind}", "49=SENDER", f"56={token(rng, 5)}", f"34={number + 1}", f"52={t}"]
        fields += [
            f"{rng.choice([11, 55, 54, 38, 44, 40, 59, 60, 58, 37, 150])}={token(rng, 5)}"
            for _ in range(rng.randint(0, 12))
        ]
        body = mark.join(fields) + mark
        version = rng.choice(["FIX.4.2", "FIX.4.4", "FIXT.1.1", "FIX.4.0"])
        message = f"8={version}{mark}9={len(body)}{mark}{body}10={rng.randint(0, 255):03}{mark}"
        lines.append(
            (f"{moment(rng):%Y-%m-%d %H:%M:%S,%f} {rng.choice(['IN', 'OUT', 'recv'])}: " if before else "") + message
        )
    return rng.choice(["\n", "\n", "\r\n", "" if mark == "\x01" and not before else "\n"]).join(lines)


def html(rng: Random, lang: str) -> str:
    """Not a format of ours: a page is no data."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>\n" for row in table(rng, lang, rows=5)
    )
    return f"<!DOCTYPE html>\n<html><head><title>{words(rng, 2, lang)}</title></head><body><table>{rows}</table></body></html>"


MARKUP: dict[str, Callable[[Random, str], str]] = {
    "xml": xml_text, "soap": soap, "fpml": fpml, "fixml": fixml, "iso20022": iso20022, "email": email_text,
    "swift_mt": swift_mt, "fix": fix,
}  # fmt: skip
