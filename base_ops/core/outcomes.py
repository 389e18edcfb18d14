"""How a job ends: one table of outcome, exit code and what Airflow makes of it."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The end of a job. `ok` and `partial` are green; the rest say whether a retry can help."""

    OK = "ok"
    PARTIAL = "partial"  # usable, but the quarantine is not empty
    BAD_INPUT = "bad_input"
    TRANSIENT = "transient"
    CONFIG_ERROR = "config_error"
    DENIED = "denied"
    BUG = "bug"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self]

    @property
    def is_green(self) -> bool:
        return self in (Outcome.OK, Outcome.PARTIAL)


EXIT_CODES: dict[Outcome, int] = {
    Outcome.OK: 0,
    Outcome.PARTIAL: 3,
    Outcome.BAD_INPUT: 10,
    Outcome.TRANSIENT: 20,
    Outcome.CONFIG_ERROR: 30,
    Outcome.DENIED: 40,
    Outcome.BUG: 1,
}
_BY_CODE = {code: outcome for outcome, code in EXIT_CODES.items()}


def outcome_of_exit(returncode: int) -> Outcome:
    """Read a process's return code: killed by a signal (negative, or 128+n from a shell) is transient."""
    if returncode < 0 or returncode in (137, 143):
        return Outcome.TRANSIENT
    return _BY_CODE.get(returncode, Outcome.BUG)
