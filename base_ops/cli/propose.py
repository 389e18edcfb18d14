"""What a source seems to be, shown, and its draft: shared by `sources detect` and `init source --from`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from base_ops.cli.output import console, table
from base_ops.core.errors import ConfigError

if TYPE_CHECKING:
    from base_ops.data_ingestion.models.source_detection.clues import Clues
    from base_ops.data_ingestion.models.source_detection.detect import Detection

_SAMPLE = 1 << 16


def clues_of(url: str, sample: Path | None, headers: tuple[str, ...], conn_type: str) -> Clues:
    """What the command line tells; a URL that is a file here is its own sample."""
    from base_ops.data_ingestion.models.source_detection.clues import Clues

    file = sample or Path(url)
    told = {}
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon:
            raise ConfigError(f"{line!r} is no header", code="bad_header", expected="Name: value")
        told[name.strip().lower()] = value.strip()
    data, size = b"", None
    if file.is_file():
        with file.open("rb") as opened:
            data = opened.read(_SAMPLE)
        size = None if sample else file.stat().st_size
    elif sample is not None:
        raise ConfigError(f"There is no file {sample}", code="file_not_found", where=str(sample))
    return Clues(url, told, data, conn_type, size)


def show(found: Detection) -> None:
    """Kind, confidence, who decided and why."""
    rows = [
        ("kind", found.kind),
        ("confidence", f"{found.confidence:.0%}, decided by {found.decided_by} (model: {found.model})"),
        ("because of", ", ".join(found.because)),
        ("likeliest", ", ".join(f"{kind} {share:.0%}" for kind, share in found.best) or None),
    ]
    table("What it seems to be", ("what", "found"), rows)


def print_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        console.print(f"  to do: {note}", markup=False)
