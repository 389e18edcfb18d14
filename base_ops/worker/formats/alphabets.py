"""Which single-byte encoding a text is in, by the alphabets of the languages written in each.

Bytes decode in every such encoding; only in the right one are the letters beyond ASCII those of one language, in their
place: no capital inside a word, no small letter inside of capitals, no sign between letters. The share of characters
that are right decides.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CHARS = 4000
_LEAST = 0.9
_RARER = 0.99
"""Weight of an alphabet that shares its bytes with a more common one."""

_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўђѓјљњћќџѕ"
_GREEK = "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ"
_HEBREW = "".join(map(chr, range(0x5D0, 0x5EB)))
_ARABIC = "".join(map(chr, range(0x621, 0x64B))) + "پچژگ"
_THAI = "".join(map(chr, (*range(0xE01, 0xE3B), *range(0xE3F, 0xE5C))))
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţșț", "äöüß")
_WESTERN = ("äöüßéèàáç", "àâæçéèêëîïôùûüÿœ", "áéíñóúüªº", "àáâãçéêíóôõúüªº", "àèéìíîòóùú", "åäöøæéüà", "áàèéëïíóöü",
            "àçèéíïòóúü")  # fmt: skip
_CODECS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("cp1252", _WESTERN, 1.0),
    ("iso8859-15", ("äöüßéèàáç", "àâæçéèêëîïôùûüÿœ", "åäöšžõü"), 1.0),
    ("cp1250", _CENTRAL, 1.0),
    ("iso8859-2", _CENTRAL, 1.0),
    ("cp1257", ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"), 1.0),
    ("cp1254", ("âçğıîöşüİ",), 1.0),
    ("cp1252", ("áðéíóúýþæö", "åäöõüšž"), _RARER),
    ("cp1251", (_CYRILLIC,), 1.0),
    ("cp1255", (_HEBREW,), 1.0),
    ("koi8-r", (_CYRILLIC,), 1.0),
    ("koi8-u", (_CYRILLIC,), _RARER),
    ("cp866", (_CYRILLIC,), 1.0),
    ("iso8859-5", (_CYRILLIC,), 1.0),
    ("cp1253", (_GREEK,), 1.0),
    ("iso8859-7", (_GREEK,), 1.0),
    ("cp1256", (_ARABIC,), 1.0),
    ("cp874", (_THAI,), 1.0),
    ("mac-roman", _WESTERN, _RARER),
    ("cp850", _WESTERN, _RARER),
    ("cp852", _CENTRAL, _RARER),
)  # fmt: skip
"""Encodings in order of preference where they do equally well: in koi8-r, Hebrew is Russian in capitals."""
_FREQUENT = {
    _CYRILLIC: frozenset("оеаинтсрвлкі"),
    _GREEK: frozenset("αοιετσνηυρπό"),
    _HEBREW: frozenset("יוהלאתרבמשנ"),
    _ARABIC: frozenset("اليمنوترهبةع"),
    _THAI: frozenset("ากนรเอง่้มยวลทดส"),
}
"""Of alphabets that share no letter with ASCII: those that make up two thirds of a text."""
_FREQUENT_SHARE = 0.6
_SIGNS = frozenset("€£¥§°±²³µ·«»©®™–—‘’‚“”„…•†‡¹¼½¾×÷¿¡¤¢ \u200e\u200f،؛؟№")
_APART = frozenset("¼½¾¤¹²³")
_WITHIN = frozenset("’·\u200c\u200d­‘")
_DAMAGE = b"\xfe\xff"
"""Where these alone stand beyond ASCII, bytes were damaged."""
_BEYOND = re.compile(r"[^\x00-\x7f]")


def by_alphabet(data: bytes) -> str | None:
    """The codec in which the text reads best, None where it reads well in none.

    Args:
        data: text that is no Unicode; only bytes beyond ASCII and what stands beside them matter.
    """
    if not data.translate(None, _DAMAGE + bytes(range(0x80))):
        return None
    best: tuple[float, str] | None = None
    for codec, alphabets, weight in _CODECS:
        score = weight * max(_score(_decoded(data, codec), alphabet) for alphabet in alphabets)
        if score >= _LEAST and (best is None or score > best[0] + 1e-9):
            best = score, codec
    _decoded.cache_clear()
    return best[1] if best else None


@lru_cache(maxsize=4)
def _decoded(data: bytes, codec: str) -> str:
    return data.decode(codec, "replace")


def _score(text: str, alphabet: str) -> float:
    """Share of the characters beyond ASCII that stand where a text in this alphabet has them."""
    letters = frozenset(alphabet + alphabet.upper())
    frequent = _FREQUENT.get(alphabet)
    right = count = written = common = 0
    for found in _BEYOND.finditer(text):
        at = found.start()
        before, char, after = text[at - 1 : at], text[at], text[at + 1 : at + 2]
        count += 1
        if char in letters:
            written += 1
            common += frequent is not None and char.lower() in frequent
            is_mixed = frequent is not None and (_is_ascii_letter(before) or _is_ascii_letter(after))
            is_odd = before.islower() if char.isupper() else char != "ß" and before.isupper() and after.isupper()
            right += not (is_mixed or is_odd)
        elif char in _SIGNS:
            beside = before.isalpha() + after.isalpha()
            right += char in _WITHIN or beside < (1 if char in _APART else 2)
        if count == _CHARS:
            break
    usual = min(1.0, common / written / _FREQUENT_SHARE) if frequent and written else 1.0
    return usual * right / count if count else 0.0


def _is_ascii_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()
