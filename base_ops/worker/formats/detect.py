"""What an object is: its content decides, its name is a hint, a declaration is checked.

Rules first: every format says how sure it is of the first 64 KiB, and where magic bytes or a grammar make one of them
certain, that is the answer. Where none is, the format-recognition model is asked too; it may name another format, one
that the format's own rules find possible, and must be the surer the surer the rules are. Without a model the rules
decide alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import HEAD_BYTES, ByteSource, Format
from base_ops.worker.formats.foreign import is_page, looks_like
from base_ops.worker.formats.registry import get_format, known_formats
from base_ops.worker.formats.transcoding import as_utf8, narrowed, wide_encoding

RAW_TEXT = "raw_text"
_UTF8_ONLY = frozenset(
    ("json", "ndjson", "jsonapi", "jsonlog", "toml", "common_log", "syslog", "email", "swift_mt", "fix")
)
_LEAST = 0.15
_SURE = 0.8
_NEVER = 0.05
_CERTAIN = 0.96
"""The model is not asked where rules are this sure."""
_NEEDED = ((0.6, 0.7), (0.8, 0.9), (_CERTAIN, 0.98))
"""How sure the model must be to decide otherwise, where the rules are less sure than so."""


@dataclass(frozen=True)
class Detection:
    """The likeliest format, how sure that is (0 to 1), and the next likeliest."""

    format: str
    confidence: float
    runner_up: str | None = None
    decided_by: Literal["rules", "model"] = "rules"
    model: str = ""
    """Whose opinion was heard: `packaged`, `mlflow:<version>`; `none` where it was wanted; empty where it was not."""

    @property
    def is_known(self) -> bool:
        return self.format != RAW_TEXT


def detect(source: ByteSource) -> Detection:
    """Ask every format, and the model where they are not certain.

    Raises:
        BadInput: the object is empty, or no format knows it.
    """
    head = _head(source)
    found = detect_head(head, source.name)
    if not found.is_known:
        raise _unknown(source, head)
    return found


def detect_head(head: bytes, name: str) -> Detection:
    """As `detect`, of an object's first bytes; `raw_text` where no format knows them."""
    ranked = rank(head, name)
    if is_page(head) and ranked[0][0] < _SURE:
        return Detection(RAW_TEXT, _SURE, ranked[0][1])
    if ranked[0][0] >= _CERTAIN:
        return decide(ranked, None)
    from base_ops.data_ingestion.models.format_recognition.recognize import recognize

    opinion = recognize(head)
    if opinion is None:
        return replace(decide(ranked, None), model="none")
    return replace(decide(ranked, opinion.shares), model=opinion.origin)


def open_reader(source: ByteSource, spec: ReadSpec) -> Reader:
    """Open an object with the format that fits it.

    Raises:
        BadInput, ConfigError: as `choose_format` and the format's own reader.
    """
    format, findings = choose_format(source, spec)
    source = readable_by(format, source, spec)
    reader = format.read(source, spec)
    reader.findings[:0] = [*source.findings, *findings]
    return reader


def choose_format(source: ByteSource, spec: ReadSpec) -> tuple[Format, list[Finding]]:
    """The format to read an object with, and what a person should know of the choice.

    Raises:
        ConfigError: the declared format is not known.
        BadInput: the content is clearly not of the declared format; or it is of none, and columns are declared, which
            lines of raw text would not have, or the spec wants it refused.
    """
    head = _head(source)
    if spec.format is not None:
        return _declared(source, head, get_format(spec.format)), []
    found = detect_head(head, source.name)
    if not found.is_known and (spec.unknown == "refuse" or spec.columns is not None):
        raise _unknown(source, head)
    format = known_formats()[found.format]
    return format, [*_decision(source, found), *_name_disagrees(source, found, format)]


def readable_by(format: Format, source: ByteSource, spec: ReadSpec) -> ByteSource:
    """The source, in UTF-8 for a format that reads nothing else."""
    wide = wide_encoding(_head(source)) if format.name in _UTF8_ONLY else None
    return source if wide is None else as_utf8(source, *wide, spec)


# -- deciding


def rank(head: bytes, name: str) -> list[tuple[float, str]]:
    """How sure the rules of each format are, the surest first."""
    head = _narrow(head)
    return sorted(((f.sniff(head, name), n) for n, f in known_formats().items()), key=lambda pair: (-pair[0], pair[1]))


def _narrow(head: bytes) -> bytes:
    """As the formats' rules want it: without the zeros of UTF-16 and UTF-32."""
    wide = wide_encoding(head)
    return head if wide is None else narrowed(head, *wide)


def decide(ranked: list[tuple[float, str]], shares: Mapping[str, float] | None) -> Detection:
    """Put rules and model together.

    Args:
        shares: the model's probability of each format, likeliest first; None where rules are to decide alone.
    """
    certainty, best = ranked[0]
    likeliest, share = next(iter(shares.items())) if shares else (best, 0.0)
    own = next((own for own, name in ranked if name == likeliest), 0.0)
    possible = own >= _LEAST if likeliest == "fixed_width" else own > 0  # which could be read of nearly any text
    if likeliest != best and possible and share >= _needed(certainty):
        return Detection(likeliest, round(share, 3), _next(ranked, likeliest), "model")
    if certainty < _LEAST:
        return Detection(RAW_TEXT, round(1 - certainty, 3))
    return Detection(best, max(certainty, round(share, 3) if likeliest == best else 0.0), _next(ranked, best))


def _needed(certainty: float) -> float:
    """How sure the model must be to decide otherwise than rules that are so sure."""
    return next((share for below, share in _NEEDED if certainty < below), 2.0)


def _next(ranked: list[tuple[float, str]], best: str) -> str | None:
    """The likeliest but the best, if it is likely at all."""
    return next((name for certainty, name in ranked if name != best and certainty >= _LEAST), None)


def _declared(source: ByteSource, head: bytes, declared: Format) -> Format:
    if declared.sniff(_narrow(head), source.name) > _NEVER:
        return declared
    best, other = rank(head, source.name)[0]
    if best >= _SURE or b"\0" in head[:512]:
        raise BadInput(
            f"{source.name} is not {declared.name}",
            code="not_this_format",
            where=source.name,
            expected=declared.name,
            found=other if best >= _SURE else f"first bytes {head[:8]!r}",
            todo="correct read.format or leave it out",
        )
    return declared


# -- what is said about it


def _head(source: ByteSource) -> bytes:
    head = source.head(HEAD_BYTES)
    if not head:
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    return head


def _unknown(source: ByteSource, head: bytes) -> BadInput:
    return BadInput(
        f"{source.name} is of no known format",
        code="unknown_format",
        where=source.name,
        expected=", ".join(sorted(known_formats())),
        found=looks_like(head) or f"first bytes {head[:8]!r}",
        todo="declare read.format if it is one of these; read.unknown=raw_text keeps its lines as they are",
    )


def _decision(source: ByteSource, found: Detection) -> list[Finding]:
    """That a model decided, or was missed where it would have been asked."""
    if found.decided_by == "rules" and found.model != "none":
        return []
    from base_ops.data_ingestion.models.format_recognition.recognize import MODEL, MODULE
    from base_ops.worker.models.champion import registered_name

    by_model = found.decided_by == "model"
    data = {
        "model": registered_name(MODULE, MODEL),
        "source": found.model if by_model else "fallback",
        "format": found.format,
        "confidence": found.confidence,
        "runner_up": found.runner_up,
    }
    message = f"{source.name}: taken for {found.format} by {'the model' if by_model else 'rules alone'}"
    return [Finding(code="format_recognized", message=message, data=dict(data))]


def _name_disagrees(source: ByteSource, found: Detection, format: Format) -> list[Finding]:
    named = _by_suffix(source.name)
    if named is None or not found.is_known or source.name.lower().endswith(format.suffixes):
        return []
    message = f"{source.name}: the name says {named.name}, the content is {format.name}"
    data = {"name": source.name, "format": format.name, "confidence": found.confidence}
    return [Finding(code="name_disagrees", message=message, severity="warning", data=dict(data))]


def _by_suffix(name: str) -> Format | None:
    lower = name.lower()
    return next(
        (f for f in known_formats().values() if lower.endswith(f.suffixes) and not lower.endswith(".txt")), None
    )
