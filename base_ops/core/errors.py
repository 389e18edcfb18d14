"""The errors of base_ops, one small tree:

    BaseOpsError
    ├── BadInput      the data is wrong: do not retry, quarantine or dead-letter it       exit 10
    ├── Transient     the world was not ready: retry with back-off                        exit 20
    ├── ConfigError   a spec, a YAML file, a command line or a missing extra is wrong     exit 30
    └── Denied        credentials or policy say no: do not retry, audit                   exit 40

Anything else that escapes a job is a bug (exit 1, one retry).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from base_ops.core.outcomes import Outcome


class BaseOpsError(Exception):
    """What happened, where, what was expected, what was found, and what to do next.

    `code` is a stable machine-readable reason (snake_case), e.g. `unknown_format`. `where` names a
    file, row, column or key. None of the texts may hold a secret or a raw data value that policy masks.
    """

    outcome: ClassVar[Outcome] = Outcome.BUG
    loc: tuple[str | int, ...] = ()
    """Path of the faulty key inside the mapping that was checked, for a caller who knows its file and line."""
    other_locs: tuple[tuple[str | int, ...], ...] = ()
    """Those of further faults of the same mapping."""

    def __init__(
        self,
        what: str,
        *,
        code: str,
        where: str = "",
        expected: str = "",
        found: str = "",
        todo: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.what = what
        self.code = code
        self.where = where
        self.expected = expected
        self.found = found
        self.todo = todo
        self.retry_after_s = retry_after_s
        super().__init__(self.text())

    def text(self) -> str:
        parts = [self.what.rstrip(".") + "."]
        if self.where:
            parts.append(f"Where: {self.where}.")
        if self.expected:
            parts.append(f"Expected: {self.expected}.")
        if self.found:
            parts.append(f"Found: {self.found}.")
        if self.todo:
            parts.append(f"To do: {self.todo.rstrip('.')}.")
        return " ".join(parts)


class BadInput(BaseOpsError):
    """The input cannot be used as it is; the same input will fail again."""

    outcome = Outcome.BAD_INPUT


class Transient(BaseOpsError):
    """A later try may succeed (time-outs, 429, 5xx, lost connections, locks)."""

    outcome = Outcome.TRANSIENT


class ConfigError(BaseOpsError):
    """Something a person wrote must change: spec, YAML, setting, command line, missing extra."""

    outcome = Outcome.CONFIG_ERROR


class Denied(BaseOpsError):
    """Authentication or policy refused; retrying would only lock an account."""

    outcome = Outcome.DENIED


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean …? Known: …' for an unknown word, as a sentence to append."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}"


def missing_extra(library: str, extra: str, needed_for: str) -> ConfigError:
    """The error for an optional dependency that is not installed."""
    return ConfigError(
        f"{needed_for} needs the library {library!r}, which is not installed",
        code="missing_extra",
        todo=f"pip install 'base-ops[{extra}]'",
    )
