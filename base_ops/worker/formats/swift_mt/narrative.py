"""What banks write into :86:, by its parts, each in a column of its own; the text itself is kept beside.

    166?00POSTING TEXT?20PURPOSE…?32NAME      German Banking Industry Committee, MT940 structured field 86
    EREF+… SVWZ+…                             the same, SEPA keywords inside ?20 to ?29
    /EREF/…/BENM//NAME/…/REMI/…               codewords between slashes (SWIFT, Dutch and Belgian banks)

Lines are joined without a break, as they were cut at 65 characters; blanks at a line's end are padding.
"""

from __future__ import annotations

import re

_SUBFIELDS = re.compile(r"\s*(\d{3})([?<^~@])(?=\d\d)")
_NAMED = {"00": "posting_text", "10": "prima_nota", "30": "counterparty_bank", "31": "counterparty_account"}
_NAMED |= {"32": "counterparty_name", "33": "counterparty_name", "34": "text_key_extension"}
_NAMED |= {f"2{n}": "purpose" for n in range(10)} | {f"6{n}": "additional_purpose" for n in range(6)}
_KEYWORD = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|PURP|SVWZ|MDAT|ABWA|ABWE|SQTP|ORCR|ORMR|DDAT|COAM|OAMT|IBAN|BIC )\+")
_CODEWORD = re.compile(
    r"/(EREF|IREF|KREF|PREF|MREF|MARF|CREF|TRTP|IBAN|BIC|NAME|REMI|CSID|RTRN|ORDP|BENM|ULTC|ULTD|ULTB|CNTP|ID|ADDR|"
    r"ISDT|PURP|SVCL|OCMT|CHGS|EXCH|TRCD|ACCW|BUSP|PHON|ADDL|NRTX|SUBJ|RREF|INFO)/"
)
_PARTIES = ("ORDP", "BENM", "ULTC", "ULTD", "ULTB")
_OF_PARTY = ("NAME", "ID", "IBAN", "BIC", "ADDR")


def parts(text: str) -> dict[str, str]:
    """Columns of the parts of a :86: text; empty where it has none."""
    if text[:1] == "/" or "\n/" in text:
        found = _codewords("".join([line.rstrip() for line in text.split("\n")]))
        if found:
            return found
    start = _SUBFIELDS.match(text)
    return _subfields(text, start) if start else {}


def _subfields(text: str, start: re.Match[str]) -> dict[str, str]:
    joined = "".join([line.rstrip() for line in text[start.end() :].split("\n")])
    mark = start[2]
    found: dict[str, list[str]] = {"transaction_code": [start[1]]}
    current: list[str] = []
    for piece in joined.split(mark):
        code = piece[:2]
        if len(code) == 2 and code.isascii() and code.isdigit():
            current = found.setdefault(_NAMED.get(code) or f"sub_{code}", [])
            current.append(piece[2:])
        else:
            current += (mark, piece)  # the mark stood in the text
    made = {name: value for name, pieces in found.items() if (value := "".join(pieces))}
    purpose = made.get("purpose")
    if purpose is not None and "+" in purpose:
        pieces = _KEYWORD.split(purpose)
        if len(pieces) > 1:
            del made["purpose"]
            made |= _named("purpose", pieces, [word.strip().lower() for word in pieces[1::2]])
    return made


def _codewords(text: str) -> dict[str, str]:
    pieces = _CODEWORD.split(text)
    names: list[str] = []
    party = ""
    for word in pieces[1::2]:
        if word in _PARTIES:
            party = f"{word.lower()}_"
        names.append(party + word.lower() if word in _OF_PARTY else word.lower())
    return _named("purpose", pieces, names) if names else {}


def _named(first: str, pieces: list[str], names: list[str]) -> dict[str, str]:
    """Columns of what `re.split` found: text before the first word, and what follows each; repeated ones in lines."""
    found: dict[str, list[str]] = {first: [pieces[0]]}
    for name, value in zip(names, pieces[2::2], strict=True):
        found.setdefault(name, []).append(value)
    return {name: value for name, values in found.items() if (value := "\n".join(filter(None, values)))}
