"""Context: everything a job may touch, handed to it; jobs have no globals."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import JsonValue

from base_ops import __version__
from base_ops.core.breaker import BreakerPolicy
from base_ops.core.protocol import DataRef, Identity, Lineage, Missing, Request, Result, StepResult
from base_ops.core.settings import Settings
from base_ops.worker.backoff import Clock
from base_ops.worker.breaker import Breaker
from base_ops.worker.lake import Lake
from base_ops.worker.lake.landing import Landing
from base_ops.worker.secrets import Secrets


@dataclass
class JobOutput:
    """What a job did: the entry point adds identity, timings and memory and writes the Result."""

    steps: list[StepResult]
    outputs: list[DataRef] = field(default_factory=list)
    inputs: list[DataRef] = field(default_factory=list)
    lineage: Lineage = field(default_factory=Lineage)
    commit_keys: list[str] = field(default_factory=list)
    considered: dict[str, int] = field(default_factory=dict)
    adopted: bool = False
    cursor_before: JsonValue = None
    cursor_after: JsonValue = None


@dataclass
class Context:
    """The job's view of the world."""

    request: Request
    settings: Settings
    lake: Lake
    secrets: Secrets
    log: logging.Logger
    code_version: str = __version__
    breakers: dict[str, Breaker] = field(default_factory=dict)
    """Those that were asked for, by peer."""
    handed_on: list[DataRef] = field(default_factory=list)
    """What a job that fails hands on all the same."""
    landings: dict[str, Landing] = field(default_factory=dict)
    """Those that were asked for: what they have read of their logs is read once, however often one looks."""
    shares: list[Result] = field(default_factory=list)
    """What other processes report that did a share of this work."""
    unfinished: list[StepResult] = field(default_factory=list)
    """What a job that fails wants its Result to say besides the error."""

    @property
    def identity(self) -> Identity:
        return self.request.identity

    def landing(self, source: str) -> Landing:
        """The landing zone of a source."""
        if source not in self.landings:
            self.landings[source] = Landing(self.lake.store, source, self.lake.attempt)
        return self.landings[source]

    def breaker(self, source: str, policy: BreakerPolicy, clock: Clock | None = None) -> Breaker:
        """The circuit breaker of a source, with the state that all runs share."""
        peer = f"source:{source}"
        if peer not in self.breakers:
            self.breakers[peer] = Breaker(peer, self.request.breakers.get(peer), clock, policy)
        return self.breakers[peer]

    @cached_property
    def input_results(self) -> list[Result]:
        """The Results this work builds on, read from the lake (never from XCom).

        `…/result.json#2` is that Result with its output number 2 alone: the share of one mapped task.
        """
        return [self._input_result(uri) for uri in self.request.inputs]

    def _input_result(self, uri: str) -> Result:
        whole, mark, number = uri.rpartition("#")
        one = bool(mark) and number.isdigit() and whole.endswith(".json")
        store = self.lake.store
        result = Result.model_validate(store.read_json(store.path_of(whole if one else uri)))
        return result.model_copy(update={"outputs": [result.outputs[int(number)]]}) if one else result

    @cached_property
    def inputs(self) -> list[DataRef]:
        """The data of all `input_results`, in task order."""
        return [ref for result in self.input_results for ref in result.outputs]

    @cached_property
    def considered(self) -> dict[str, int]:
        """Per source, how far into its landing log the work before this looked (greatest of all inputs)."""
        seen: dict[str, int] = {}
        for result in self.input_results:
            for source, sequence in result.considered.items():
                seen[source] = max(sequence, seen.get(source, 0))
        return {**seen, **{source: found.upto for source, found in self.missing.items()}}

    @cached_property
    def missing(self) -> dict[str, Missing]:
        """Sources whose part of this run is missing, as the work before this says."""
        return {source: found for result in self.input_results for source, found in result.missing.items()}

    def leave_out(self, source: str, why: str, upto: int) -> None:
        """A source is missing from here on: it counts up to what its table has taken in."""
        self.missing[source] = Missing(why=why, upto=upto)
        self.considered[source] = upto
