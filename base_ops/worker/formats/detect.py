"""What an object is: its content decides, its name is a hint, a declaration is checked."""

from __future__ import annotations

from dataclasses import dataclass

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource, Format
from base_ops.worker.formats.registry import get_format, known_formats

_HEAD_BYTES = 1 << 16
_LEAST = 0.15
_SURE = 0.8
_NEVER = 0.05


@dataclass(frozen=True)
class Detection:
    """The likeliest format, how sure that is (0 to 1), and the next likeliest."""

    format: str
    confidence: float
    runner_up: str | None = None


def detect(source: ByteSource) -> Detection:
    """Ask every format.

    Raises:
        BadInput: the object is empty, or no format knows it.
    """
    head = source.head(_HEAD_BYTES)
    if not head:
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    ranked = _ranked(head, source.name)
    (confidence, name), rest = ranked[0], ranked[1:]
    if confidence < _LEAST:
        raise BadInput(
            f"{source.name} is of no known format",
            code="unknown_format",
            where=source.name,
            expected=", ".join(sorted(known_formats())),
            found=f"first bytes {head[:8]!r}",
            todo="declare read.format if it is one of these",
        )
    runner_up = rest[0][1] if rest and rest[0][0] >= _LEAST else None
    return Detection(name, confidence, runner_up)


def open_reader(source: ByteSource, spec: ReadSpec) -> Reader:
    """Open an object with the format that fits it.

    Raises:
        BadInput, ConfigError: as `choose_format` and the format's own reader.
    """
    format, findings = choose_format(source, spec)
    reader = format.read(source, spec)
    reader.findings[:0] = findings
    return reader


def choose_format(source: ByteSource, spec: ReadSpec) -> tuple[Format, list[Finding]]:
    """The format to read an object with, and a finding where its name says otherwise.

    Raises:
        ConfigError: the declared format is not known.
        BadInput: the content is clearly not of the declared format, or of none.
    """
    if spec.format is not None:
        return _declared(source, get_format(spec.format)), []
    found = detect(source)
    format = known_formats()[found.format]
    named = _by_suffix(source.name)
    if named is None or named.name == format.name:
        return format, []
    message = f"{source.name}: the name says {named.name}, the content is {format.name}"
    data = {"name": source.name, "format": format.name, "confidence": found.confidence}
    return format, [Finding(code="name_disagrees", message=message, severity="warning", data=dict(data))]


def _declared(source: ByteSource, declared: Format) -> Format:
    head = source.head(_HEAD_BYTES)
    if not head:
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    ranked = _ranked(head, source.name)
    own = next(confidence for confidence, name in ranked if name == declared.name)
    best, other = ranked[0]
    if own <= _NEVER and (best >= _SURE or b"\0" in head[:512]):
        raise BadInput(
            f"{source.name} is not {declared.name}",
            code="not_this_format",
            where=source.name,
            expected=declared.name,
            found=other if best >= _SURE else f"first bytes {head[:8]!r}",
            todo="correct read.format or leave it out",
        )
    return declared


def _ranked(head: bytes, name: str) -> list[tuple[float, str]]:
    return sorted(((f.sniff(head, name), n) for n, f in known_formats().items()), key=lambda pair: (-pair[0], pair[1]))


def _by_suffix(name: str) -> Format | None:
    lower = name.lower()
    return next(
        (f for f in known_formats().values() if lower.endswith(f.suffixes) and not lower.endswith(".txt")), None
    )
