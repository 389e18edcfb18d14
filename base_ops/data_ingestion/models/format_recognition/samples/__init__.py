"""Files of every format, dialect and encoding, written from a seed: what the model learns from and is measured on.

They come as files come: cut off, renamed, with the name of another format, in old encodings, with or without a
byte-order mark.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from base_ops.data_ingestion.models.format_recognition.samples.binary import BINARY, unknown
from base_ops.data_ingestion.models.format_recognition.samples.markup import MARKUP
from base_ops.data_ingestion.models.format_recognition.samples.text import TEXTS
from base_ops.data_ingestion.models.format_recognition.samples.words import ENCODINGS, language
from base_ops.data_ingestion.models.format_recognition.samples.wrapped import WRAPPED

UNKNOWN = "raw_text"
_WRITERS = {**TEXTS, **MARKUP}
CLASSES: tuple[str, ...] = tuple(sorted([*_WRITERS, *BINARY, *WRAPPED, UNKNOWN]))
"""Formats by name; csv, tsv and pipe are one format but three classes; raw_text is what nobody knows."""

_SUFFIXES = ("csv", "txt", "json", "xml", "dat", "log", "parquet", "xlsx", "gz", "yaml", "sql", "bin", "out", "")
_ASCII_ONLY = ("swift_mt", "fix", "email")
_CUT_SHARE = 0.3
_LEAST_TEXT, _LEAST_BYTES = 200, 64


@dataclass(frozen=True)
class Sample:
    """One file, and what it is."""

    data: bytes
    name: str
    label: str
    encoding: str | None = None
    """Python codec the text was written in, of samples that are text and more than ASCII."""
    text: str = ""
    is_cut: bool = False


def samples(seed: int, per_class: int) -> Iterator[Sample]:
    """So many files of each class, always the same ones for a seed."""
    for label in CLASSES:
        for number in range(per_class):
            yield sample(label, Random(f"{seed}/{label}/{number}"))  # noqa: S311  seeded on purpose


def sample(label: str, rng: Random) -> Sample:
    """One file of a class."""
    name = ".".join(filter(None, [rng.choice(["data", "export", "x", "20240131"]), rng.choice([label, *_SUFFIXES])]))
    if label in _WRITERS:
        return _text_sample(label, rng, name)
    if label in WRAPPED:
        inner = sample(rng.choice([*_WRITERS, "parquet", "avro"]), rng)
        return _cut(WRAPPED[label](rng, inner.data, inner.name), label, rng, name)
    if label in BINARY:
        return _cut(BINARY[label](rng), label, rng, name)
    return _cut(unknown(rng), UNKNOWN, rng, name)


def _text_sample(label: str, rng: Random, name: str) -> Sample:
    lang = "en" if label in _ASCII_ONLY and rng.random() < 0.8 else language(rng)
    text = _WRITERS[label](rng, lang)
    is_cut = rng.random() < _CUT_SHARE and len(text) > 2 * _LEAST_TEXT
    if is_cut:
        text = text[: rng.randint(_LEAST_TEXT, len(text) - 1)]
    encoding, mark = _encoding(rng, lang)
    try:
        data = mark + text.encode(encoding)
    except UnicodeEncodeError:
        encoding, data = "utf-8", text.encode()
    return Sample(data, name, label, None if data.isascii() else encoding, text, is_cut)


def _encoding(rng: Random, lang: str) -> tuple[str, bytes]:
    chance = rng.random()
    if chance < 0.7:
        return "utf-8", codecs.BOM_UTF8 if rng.random() < 0.15 else b""
    if chance < 0.8:
        return rng.choice([("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE), ("utf-16-le", b"")])
    return rng.choice(ENCODINGS.get(lang, ("utf-8",))), b""


def _cut(data: bytes, label: str, rng: Random, name: str) -> Sample:
    is_cut = rng.random() < _CUT_SHARE and len(data) > 2 * _LEAST_BYTES and label != "tar"
    if is_cut:
        data = data[: rng.randint(_LEAST_BYTES, len(data) - 1)]
    return Sample(data, name, label, is_cut=is_cut)
