"""How a pod can end, and what each end means: an exception of its own, a message, a retry rule.

JobTransient (retried, with back-off)            never retried
├── PodOutOfMemory       with more memory        ├── PodMemoryCeiling    AirflowFailException
├── PodEvicted           node pressure, preempted├── PodImageMissing     JobConfigError
├── PodNodeLost          the node went away      ├── PodCannotStart      JobConfigError
├── PodKilled            a signal, nobody's fault├── PodRefused          JobConfigError
├── PodVanished          deleted by someone      └── PodDenied           JobDenied
├── PodImageThrottled    the registry is busy
├── PodUnschedulable     no node has room
├── PodStartTimeout      scheduled, never started
├── PodInitFailed        Vault's agent, mostly
├── PodPhaseUnknown      the node does not answer
├── PodInTheWay          an older pod will not go
└── ClusterUnavailable   409, 429, 5xx, no answer
PodDeadline (JobTransient first, then PodDeadlineAgain): a second try only, as for a bug.

A Result in the lake always comes first: these are for a pod that left none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from base_ops.core.outcomes import Outcome, outcome_of_exit
from base_ops.orchestration.errors import JobConfigError, JobDenied, JobTransient, job_error


class PodOutOfMemory(JobTransient):
    """The kernel ended the job for using more memory than its limit; the next try gets more."""


class PodMemoryCeiling(AirflowFailException):
    """Out of memory at the highest limit its profile allows."""


class PodEvicted(JobTransient):
    """Evicted or preempted: node pressure, drain, a more important pod."""


class PodNodeLost(JobTransient):
    """The node went away with the pod."""


class PodKilled(JobTransient):
    """Ended by a signal that was not the job's doing."""


class PodVanished(JobTransient):
    """The pod is gone from the cluster."""


class PodImageMissing(JobConfigError):
    """The image cannot be had: name, tag or credentials."""


class PodImageThrottled(JobTransient):
    """The registry was too busy for as long as we waited."""


class PodUnschedulable(JobTransient):
    """No node had room in time."""


class PodStartTimeout(JobTransient):
    """A node was found, but the container did not start in time."""


class PodInitFailed(JobTransient):
    """What prepares the pod (Vault's agent, a sidecar's set-up) failed, so the job never ran."""


class PodCannotStart(JobConfigError):
    """The container cannot be made or started as it is described."""


class PodDeadline(JobTransient):
    """Ran longer than it may; tried once more."""


class PodDeadlineAgain(AirflowFailException):
    """Ran longer than it may, again."""


class PodPhaseUnknown(JobTransient):
    """The cluster did not know the pod's state for longer than we wait."""


class PodInTheWay(JobTransient):
    """An earlier pod of this task instance does not go away."""


class PodRefused(JobConfigError):
    """The API refuses the pod as it is described."""


class PodDenied(JobDenied):
    """The API denies us the pod."""


class ClusterUnavailable(JobTransient):
    """The API did not answer, or only with 409, 429 or 5xx."""


class End(StrEnum):
    """The kinds of ends of a pod."""

    EXIT = "exit"
    OUT_OF_MEMORY = "out_of_memory"
    EVICTED = "evicted"
    NODE_LOST = "node_lost"
    KILLED = "killed"
    VANISHED = "vanished"
    IMAGE_MISSING = "image_missing"
    IMAGE_THROTTLED = "image_throttled"
    UNSCHEDULABLE = "unschedulable"
    START_TIMEOUT = "start_timeout"
    INIT_FAILED = "init_failed"
    CANNOT_START = "cannot_start"
    DEADLINE = "deadline"
    PHASE_UNKNOWN = "phase_unknown"
    API_AWAY = "api_away"


_EXCEPTIONS: dict[End, type[AirflowException]] = {
    End.EVICTED: PodEvicted,
    End.NODE_LOST: PodNodeLost,
    End.KILLED: PodKilled,
    End.VANISHED: PodVanished,
    End.IMAGE_MISSING: PodImageMissing,
    End.IMAGE_THROTTLED: PodImageThrottled,
    End.UNSCHEDULABLE: PodUnschedulable,
    End.START_TIMEOUT: PodStartTimeout,
    End.INIT_FAILED: PodInitFailed,
    End.CANNOT_START: PodCannotStart,
    End.PHASE_UNKNOWN: PodPhaseUnknown,
    End.API_AWAY: ClusterUnavailable,
    End.OUT_OF_MEMORY: PodOutOfMemory,
}
BEFORE_START = {
    *(End.IMAGE_MISSING, End.IMAGE_THROTTLED, End.UNSCHEDULABLE, End.START_TIMEOUT, End.INIT_FAILED, End.CANNOT_START)
}
"""Launch errors: the job never ran."""


@dataclass(frozen=True)
class PodEnd:
    """How a pod ended: of which kind, in words, and the exit code if there was one. Travels in trigger events."""

    end: End
    how: str
    exit_code: int | None = None

    @property
    def outcome(self) -> Outcome:
        """The end as an outcome: by its exit code, else transient."""
        return Outcome.TRANSIENT if self.exit_code is None else outcome_of_exit(self.exit_code)

    def as_event(self) -> dict[str, Any]:
        return {**asdict(self), "end": str(self.end)}

    @classmethod
    def of_event(cls, event: dict[str, Any]) -> PodEnd:
        return cls(End(event["end"]), event["how"], event["exit_code"])

    def error(self, text: str, try_number: int) -> AirflowException:
        """The exception for a pod that ended so and left no Result.

        Args:
            text: the whole message.
            try_number: Airflow's try, from 1: a bug and a deadline are tried twice.
        """
        if self.end is End.DEADLINE:
            return PodDeadline(text) if try_number <= 1 else PodDeadlineAgain(text)
        if self.end is not End.EXIT:
            return _EXCEPTIONS[self.end](text)
        return job_error(Outcome.TRANSIENT if self.outcome.is_green else self.outcome, text, try_number)


TODO: dict[End, str] = {
    End.EXIT: "see the log above for the last words of the worker",
    End.EVICTED: "a retry runs elsewhere; if it was for disk, choose the profile bulk-io",
    End.NODE_LOST: "a retry runs elsewhere",
    End.KILLED: "a retry runs it again",
    End.VANISHED: "a retry runs it again; if it stays, see who deletes pods in this namespace",
    End.IMAGE_MISSING: "correct BASE_WORKER_IMAGE, or give the namespace the registry's credentials",
    End.IMAGE_THROTTLED: "a retry asks again; if it stays, use a mirror",
    End.UNSCHEDULABLE: "see the scheduler's reason; ask for less, or add nodes or tolerations",
    End.START_TIMEOUT: "see the pod's events above",
    End.INIT_FAILED: "see that Vault is unsealed and its role may read the secrets; a retry asks again",
    End.CANNOT_START: "correct the pod template or the image's command",
    End.DEADLINE: "give it a longer execution_timeout, or less work",
    End.PHASE_UNKNOWN: "a retry clears the pod away first",
    End.API_AWAY: "see the health of the Kubernetes API",
    End.OUT_OF_MEMORY: "a retry gets more memory",
}
