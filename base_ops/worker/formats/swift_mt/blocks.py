"""Blocks 1, 2, 3 and 5 of a message: who sent what to whom (SWIFT User Handbook, FIN, message structure)."""

from __future__ import annotations

import re

_BLOCK_1 = re.compile(r"\{1:([FAL])(\d\d)([A-Z0-9]{12})(\d{4})(\d{6})\}")
_BLOCK_2 = re.compile(
    r"\{2:(?:I(?P<in>\d{3})(?P<to>[A-Z0-9]{12})(?:[USN]\d?(?:\d{3})?)?"
    r"|O(?P<out>\d{3})\d{4}\d{6}(?P<from>[A-Z0-9]{12})\d{4}\d{6}\d{6}\d{4}[USN]?)\}"
)
_BLOCK_3 = re.compile(r"\{3:((?:\{[0-9]{3}:[^{}]*\})*)\}")
_TRAILER = re.compile(r"\{5:((?:\{[A-Z]{3}:[^{}]*\})*)\}")
_ITEM = re.compile(r"\{([0-9A-Z]{3}):([^{}]{0,64})\}")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_CHECKS = {"CHK": re.compile(r"[0-9A-F]{12}"), "MAC": re.compile(r"[0-9A-F]{8}")}
SERVICE = "21"
"""Service identifier of acknowledgements, which carry no message text of their own."""


def is_bic(text: str) -> bool:
    """Whether a text has the shape of a BIC (ISO 9362): 8 or 11 characters."""
    return _BIC.fullmatch(text) is not None


def read_blocks(blocks: bytes, trailer: bytes) -> tuple[dict[str, str | None], list[str]]:
    """Columns of a message's envelope, and what is wrong with it."""
    text, tail = blocks.decode("latin-1"), trailer.decode("latin-1")
    faults: list[str] = []
    found: dict[str, str | None] = dict.fromkeys(ENVELOPE)
    one, two, three = _BLOCK_1.match(text), _BLOCK_2.search(text), _BLOCK_3.search(text)
    if one is None:
        faults.append("block 1 is not {1:F01<logical terminal><session><sequence>}")
    elif one[2] == SERVICE:
        return {"service": SERVICE}, []
    else:
        found["session_number"], found["message_sequence"] = one[4], one[5]
    if two is None:
        faults.append("block 2 is not {2:I… or {2:O… of an input or output message")
    own, other = one and _bic(one[3]), two and _bic(two["to"] or two["from"])
    if two is not None:
        found["message_type"] = two["in"] or two["out"]
        found["direction"] = "input" if two["in"] else "output"
        found["sender_bic"], found["receiver_bic"] = (own, other) if two["in"] else (other, own)
    faults += [f"{bic!r} has not the shape of a BIC" for bic in (own, other) if bic and not is_bic(bic)]
    if three is None and "{3:" in text:
        faults.append("block 3 is not a list of {tag:value}")
    items = dict(_ITEM.findall(three[1])) if three else {}
    found["message_user_reference"], found["uetr"] = items.get("108"), items.get("121")
    found["validation_flag"] = items.get("119")
    faults += _trailer_faults(tail)
    checks = dict(_ITEM.findall(tail))
    found["checksum"] = checks.get("CHK")
    return found, faults


ENVELOPE = (
    "message_type",
    "direction",
    "sender_bic",
    "receiver_bic",
    "session_number",
    "message_sequence",
    "message_user_reference",
    "uetr",
    "validation_flag",
    "checksum",
)


def _bic(terminal: str) -> str:
    """BIC of a logical terminal: its ninth character names the terminal; the branch XXX is the head office."""
    return terminal[:8] if terminal[9:] == "XXX" else terminal[:8] + terminal[9:]


def _trailer_faults(tail: str) -> list[str]:
    if "{5:" not in tail:
        return []
    if _TRAILER.search(tail) is None:
        return ["block 5 is not a list of {tag:value}"]
    items = _ITEM.findall(tail)
    return [
        f"the {tag} trailer has not its shape" for tag, v in items if tag in _CHECKS and not _CHECKS[tag].fullmatch(v)
    ]
