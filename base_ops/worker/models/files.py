"""Files of models: JSON with a line per part, so that two can be compared, and so that nothing in one can be run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MAX_BYTES = 16 << 20


def to_text(form: str, parts: Mapping[str, Any]) -> str:
    """The file of a model of the form `form`."""
    lines = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in {"format": form, **parts}.items())
    return "{" + ",\n".join(lines) + "}\n"


@contextmanager
def parts_of(text: str | bytes, form: str) -> Iterator[Any]:
    """The parts of a file that comes from a registry; what its reader then misses in it is told as ValueError.

    Raises:
        ValueError: it is too large, or no model of this form.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"a model of {len(text)} bytes; at most {MAX_BYTES}")
    try:
        raw = json.loads(text)
        if raw["format"] != form:
            raise ValueError(f"format {raw['format']!r} is not {form}")
        yield raw
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a model file: {error}") from None
