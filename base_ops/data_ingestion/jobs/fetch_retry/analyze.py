"""Patterns in the failures of the last days, per source: how often, of which class, at which hour, what followed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import JsonValue

from base_ops.core.protocol import Finding, Result, StepResult
from base_ops.data_ingestion.jobs.fetch_retry.classes import classify
from base_ops.data_ingestion.jobs.fetch_retry.history import failure_of, stored_results
from base_ops.data_ingestion.specs.fetch_retry import AnalyzeFailurePatternsSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput

AGENT = "data_ingestion.fetch_retry"
_CLUSTER_SHARE = 0.5
_ENOUGH = 5


@dataclass
class Pattern:
    """What is seen of one source."""

    runs: int = 0
    failures: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    recovered: int = 0
    """Failures after which a later try of the same task succeeded."""
    recovery_s: list[float] = field(default_factory=list)

    def told(self) -> dict[str, JsonValue]:
        mean = sum(self.recovery_s) / len(self.recovery_s) if self.recovery_s else None
        return {
            "runs": self.runs,
            "failures": self.failures,
            "classes": dict(self.classes.most_common()),
            "codes": dict(self.codes.most_common(10)),
            "hours_utc": {str(hour): n for hour, n in self.hours.most_common(5)},
            "recovered": self.recovered,
            "mean_recovery_s": None if mean is None else round(mean, 1),
        }


def run(spec: AnalyzeFailurePatternsSpec, ctx: Context, clock: Clock) -> JobOutput:
    """Read the stored Results and count."""
    began = time.perf_counter()
    since = clock.now() - timedelta(days=spec.days)
    tasks: dict[tuple[str, str, str, int], list[Result]] = defaultdict(list)
    for result in stored_results(ctx.lake.store, "runs", spec.max_results):
        moment = _moment(result.started_at)
        if moment is not None and moment >= since:
            who = result.identity
            tasks[who.dag_id, who.run_id, who.task_id, who.map_index].append(result)
    patterns: dict[str, Pattern] = defaultdict(Pattern)
    for results in tasks.values():
        source = _source(results)
        if source and (not spec.sources or source in spec.sources):
            _take(patterns[source], sorted(results, key=lambda r: r.started_at), source)
    step = StepResult(agent=AGENT, action=spec.action)
    step.observations = {"patterns": {name: patterns[name].told() for name in sorted(patterns)}, "days": spec.days}
    step.findings = [finding for name in sorted(patterns) for finding in _findings(name, patterns[name])]
    step.seconds = round(time.perf_counter() - began, 3)
    return JobOutput(steps=[step])


def _take(pattern: Pattern, results: list[Result], source: str) -> None:
    """The tries of one task, in order."""
    pattern.runs += 1
    failed_at: datetime | None = None
    for result in results:
        moment = _moment(result.started_at)
        if result.error is not None:
            found = failure_of(result, source)
            pattern.failures += 1
            pattern.classes[classify(found).kind] += 1
            pattern.codes[found.code] += 1
            if moment is not None:
                pattern.hours[moment.hour] += 1
                failed_at = failed_at or moment
        elif failed_at is not None and moment is not None:
            pattern.recovered += 1
            pattern.recovery_s.append((moment - failed_at).total_seconds())
            failed_at = None


def _findings(source: str, pattern: Pattern) -> list[Finding]:
    found: list[Finding] = []
    if pattern.failures < _ENOUGH:
        return found
    hour, at_hour = pattern.hours.most_common(1)[0] if pattern.hours else (0, 0)
    if at_hour >= _CLUSTER_SHARE * pattern.failures and len(pattern.hours) > 1:
        message = f"{source}: {at_hour} of {pattern.failures} failures fell into the hour {hour:02d} UTC"
        found.append(Finding(code="failures_cluster", message=message, data={"hour_utc": hour}))
    code, times = pattern.codes.most_common(1)[0]
    if times >= _CLUSTER_SHARE * pattern.failures:
        message = f"{source}: {times} of {pattern.failures} failures were {code}"
        found.append(Finding(code="failures_alike", message=message, data={"code": code}))
    if pattern.classes["persistent"] >= _CLUSTER_SHARE * pattern.failures:
        message = f"{source}: most failures were of the lasting kind; trying again does not help"
        found.append(Finding(code="failures_lasting", severity="warning", message=message))
    return found


def _source(results: list[Result]) -> str:
    for result in results:
        peers = [r.peer.removeprefix("source:") for r in result.breakers if r.peer.startswith("source:")]
        if peers:
            return peers[0]
    return results[0].identity.item


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
