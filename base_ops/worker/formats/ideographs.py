"""Which double-byte encoding of Chinese, Japanese or Korean a text is in, by which of its characters are in use.

These encodings put the characters of everyday texts first and the rare ones behind; bytes of another encoding fall
among the rare ones. Japanese has syllables between its ideographs, Korean hardly an ideograph.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

_CHARS = 4000
_LEAST_CHARS = 4
_COMMON = 0.9
_SYLLABLES = 0.2
"""Share of kana that a Japanese text has at the least."""


def by_characters(data: bytes) -> str | None:
    """The codec in which nearly every character is a common one; None where that is so in none.

    Args:
        data: text that is no Unicode and in no alphabet; it may end inside of a character.
    """
    for codec, is_common in _CODECS:
        try:
            text = codecs.getincrementaldecoder(codec)().decode(data)
        except UnicodeDecodeError:
            continue
        chars = [char for char in text if not char.isascii()][:_CHARS]
        if len(chars) < _LEAST_CHARS or sum(map(is_common, chars)) < _COMMON * len(chars):
            continue
        if is_common is not _japanese or sum(map(_is_kana, chars)) >= _SYLLABLES * len(chars):
            return codec
    return None


def _is_kana(char: str) -> bool:
    return "\u3041" <= char <= "\u30ff"


def _japanese(char: str) -> bool:
    # the half-width kana of cp932 are single bytes, as which Chinese can be read altogether
    return (
        _is_kana(char)
        or "\uff61" <= char <= "\uff9f"
        or _leads(char, "euc_jp", 0xA1, 0xA3)
        or _leads(char, "euc_jp", 0xB0, 0xCF)
    )


def _korean(char: str) -> bool:
    return _leads(char, "euc_kr", 0xA1, 0xA3) or _leads(char, "euc_kr", 0xB0, 0xC8)


def _simplified(char: str) -> bool:
    return _leads(char, "gb2312", 0xA1, 0xA3) or _leads(char, "gb2312", 0xB0, 0xD7)


def _traditional(char: str) -> bool:
    return _leads(char, "big5", 0xA1, 0xC6)


def _leads(char: str, codec: str, first: int, last: int) -> bool:
    """Whether the character's first byte of two is in this range."""
    written = char.encode(codec, "ignore")
    return len(written) == 2 and first <= written[0] <= last


_CODECS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("cp932", _japanese),
    ("euc_jp", _japanese),
    ("cp949", _korean),  # before Chinese, whose common characters share these bytes and have as many again
    ("gb18030", _simplified),
    ("big5", _traditional),
)
