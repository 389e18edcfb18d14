"""How a job's outcome becomes a task's end: one exception class per outcome.

AirflowFailException (never retried)        AirflowException (retried, with back-off)
├── JobBadInput       exit 10               ├── JobTransient    exit 20, killed, vanished
├── JobConfigError    exit 30               └── JobBug          anything else, first try
├── JobDenied         exit 40
└── JobBugAgain       a bug's second try
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from base_ops.core.errors import BaseOpsError
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import ErrorInfo

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

MAX_RETRY_AFTER_S = 86_400.0
"""Nobody can ask us to wait longer than a day."""


class JobBadInput(AirflowFailException):
    """The data is wrong; the same data will fail again."""


class JobConfigError(AirflowFailException):
    """A spec, a pipeline, a setting or a connection must be corrected."""


class JobDenied(AirflowFailException):
    """Credentials or policy refused; a retry would only lock an account."""


class JobBugAgain(AirflowFailException):
    """A bug that a retry did not cure."""


class JobTransient(AirflowException):
    """The world was not ready, or the job was killed or vanished: a later try may succeed.

    `retry_after_s`: when, if whoever was not ready has said so.
    """

    def __init__(self, text: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class JobBug(AirflowException):
    """An unexpected end; one retry tells a bug from bad luck."""


_NOT_RETRIED: dict[Outcome, type[AirflowFailException]] = {
    Outcome.BAD_INPUT: JobBadInput,
    Outcome.CONFIG_ERROR: JobConfigError,
    Outcome.DENIED: JobDenied,
}


def job_error(outcome: Outcome, text: str, try_number: int, retry_after_s: float | None = None) -> AirflowException:
    """The exception that makes Airflow do what the outcome asks for.

    Args:
        outcome: how the job ended; must not be green.
        text: the whole message: what, where, expected, found, what to do.
        try_number: Airflow's try, from 1; a bug is retried after the first only.
        retry_after_s: what a transient fault asked for.
    """
    if outcome in _NOT_RETRIED:
        return _NOT_RETRIED[outcome](text)
    if outcome is Outcome.TRANSIENT:
        return JobTransient(text, retry_after_s)
    return JobBug(text) if try_number <= 1 else JobBugAgain(text)


class JobRetryPolicy(RetryPolicy):
    """Waits as long as a fault asked for (HTTP's Retry-After), else as the task's back-off says."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        after_s = getattr(exception, "retry_after_s", None)
        if after_s is None:
            return RetryDecision.default()
        delay = timedelta(seconds=min(float(after_s), MAX_RETRY_AFTER_S))
        return RetryDecision.retry(delay, f"asked to wait {delay.total_seconds():.0f} s")


def text_of(info: ErrorInfo) -> str:
    """The message of an error as it came back in a Result."""
    return BaseOpsError(
        info.what, code=info.code, where=info.where, expected=info.expected, found=info.found, todo=info.todo
    ).text()
