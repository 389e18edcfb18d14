"""What the answers of made-up sources hold: rows, records, envelopes, events, log lines, magic bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random as Rng

NAMES = ("prices", "trades", "quotes", "positions", "orders", "risk", "holdings", "fx", "rates", "customers", "news",
          "report", "audit", "ref", "bonds", "eod", "ticks", "market", "cash", "limits")  # fmt: skip


def a_name(rng: Rng) -> str:
    return rng.choice(NAMES) + rng.choice(("", "", f"_{rng.choice(NAMES)}", str(rng.randint(1, 99))))


def record(rng: Rng) -> dict[str, object]:
    return {
        "id": rng.randint(1, 10**6),
        rng.choice(NAMES): round(rng.uniform(0, 500), 2),
        "symbol": rng.choice("ABCDE") * 3,
    }


def records(rng: Rng) -> list[dict[str, object]]:
    return [record(rng) for _ in range(rng.randint(2, 12))]


def as_json(rng: Rng, value: object) -> bytes:
    return json.dumps(value, indent=rng.choice((None, 2))).encode()


def delimited(rng: Rng) -> bytes:
    mark, width = rng.choice(",,,;\t|"), rng.randint(2, 8)
    rows = [
        mark.join(str(rng.choice((rng.randint(0, 999), rng.choice(NAMES)))) for _ in range(width)) for _ in range(12)
    ]
    return "\n".join(rows).encode()


def fixed(rng: Rng) -> bytes:
    widths = [rng.randint(6, 20) for _ in range(rng.randint(3, 7))]
    rows = [
        "".join(str(rng.choice((rng.randint(0, 99999), rng.choice(NAMES)))).ljust(w)[:w] for w in widths)
        for _ in range(12)
    ]
    return "\n".join(rows).encode()


def log_lines(rng: Rng) -> bytes:
    def stamp(n: int) -> str:
        return rng_form.format(d=rng.randint(10, 28), h=rng.randint(10, 23), m=rng.randint(10, 59), n=n)

    rng_form = rng.choice((
        "2026-01-{d} {h}:{m}:07,123 INFO worker-{n} done", "<34>1 2026-01-{d}T{h}:{m}:00Z host app {n} - up",
        "10.0.0.{n} - - [{d}/Jan/2026:{h}:{m}:01 +0000] \"GET / HTTP/1.1\" 200 12",
        "Jan {d} {h}:{m}:01 host sshd[{n}]: ok",
        "[2026-01-{d} {h}:{m}:00] level=warn n={n}", "{h}:{m}:01.250 [main] DEBUG x - {n}",
    ))  # fmt: skip
    return "\n".join(stamp(n) for n in range(14)).encode()


def xml(rng: Rng) -> bytes:
    tag = a_name(rng)
    return f'<?xml version="1.0"?>\n<{tag}s>'.encode() + b"".join(
        f"<{tag} id='{n}'>{n * 2}</{tag}>".encode() for n in range(9)
    )


def soap(rng: Rng) -> bytes:
    prefix = rng.choice(("soap", "soapenv", "S", "env"))
    space = "http://schemas.xmlsoap.org/soap/envelope/"
    return f'<?xml version="1.0"?><{prefix}:Envelope xmlns:{prefix}="{space}"><{prefix}:Body>'.encode()


def wsdl(_rng: Rng) -> bytes:
    return b'<?xml version="1.0"?><wsdl:definitions name="Quotes" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/">'


def feed(rng: Rng) -> bytes:
    start = rng.choice((b'<rss version="2.0"><channel>', b'<feed xmlns="http://www.w3.org/2005/Atom">'))
    return b'<?xml version="1.0"?>' + start + b"<title>x</title>"


def events(rng: Rng) -> bytes:
    return b"".join(
        f"{rng.choice(('event: tick', f'id: {n}', 'retry: 500'))}\ndata: {json.dumps(record(rng))}\n\n".encode()
        for n in range(6)
    )


def rest_body(rng: Rng) -> bytes:
    shape = rng.random()
    if shape < 0.55:
        return as_json(
            rng,
            {
                rng.choice(("data", "results", "items", a_name(rng))): records(rng),
                rng.choice(("next", "page", "total", "meta", "links", "cursor")): 1,
            },
        )
    return as_json(rng, records(rng)) if shape < 0.85 else xml(rng)


def wrapped(rng: Rng) -> bytes:
    return rng.choice(
        (
            gzip.compress(b"a,b\n", mtime=0),
            b"PK\x03\x04\x14\x00",
            b"BZh91AY&SY",
            b"\xfd7zXZ\x00",
            b"\x28\xb5\x2f\xfd",
            b"7z\xbc\xaf\x27\x1c",
        )
    )


BODIES: dict[str, Callable[[Rng], bytes]] = {
    "csv_file": delimited,
    "json_file": lambda rng: as_json(rng, rng.choice((records(rng), {a_name(rng): records(rng)}))),
    "jsonl_file": lambda rng: b"\n".join(json.dumps(record(rng)).encode() for _ in range(9)),
    "xml_file": xml,
    "parquet_file": lambda rng: b"PAR1\x15\x04",
    "avro_file": lambda rng: b"Obj\x01\x04\x14avro.codec",
    "orc_file": lambda rng: b"ORC\x0a\x03",
    "excel_file": lambda rng: rng.choice(
        (b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    ),
    "pdf_file": lambda rng: b"%PDF-1.7\n",
    "archive": wrapped,
    "fixed_width_file": fixed,
    "log_file": log_lines,
}
