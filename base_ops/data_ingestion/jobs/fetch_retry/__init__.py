"""data_ingestion.fetch_retry: what is done about a failed fetch, and why. One file per action.

Input: a failure (given, or read from the stored Result of the run). Output: a decision with its reasons in the
observations; for `cache` also references to what landed last; for `dead_letter` an item in the lake's queue.
"""

from __future__ import annotations

from base_ops.data_ingestion.jobs.fetch_retry import analyze, dead_letters, select
from base_ops.data_ingestion.specs.fetch_retry import (
    AnalyzeFailurePatternsSpec,
    ProcessDeadLettersSpec,
    SelectOptimalRetryStrategySpec,
)
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput


def run(
    spec: SelectOptimalRetryStrategySpec | AnalyzeFailurePatternsSpec | ProcessDeadLettersSpec, ctx: Context
) -> JobOutput:
    """Do the spec's action; see the module."""
    match spec:
        case SelectOptimalRetryStrategySpec():
            return select.run(spec, ctx, Clock())
        case AnalyzeFailurePatternsSpec():
            return analyze.run(spec, ctx, Clock())
        case ProcessDeadLettersSpec():
            return dead_letters.run(spec, ctx, Clock())
