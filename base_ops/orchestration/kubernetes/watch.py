"""When a pod has ended, and how. Pure rules over what the API says: plain mode and the trigger share them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from base_ops.orchestration.kubernetes.failures import End, PodEnd

_NO_SUCH_IMAGE = {"InvalidImageName", "ErrImageNeverPull"}
_PULL_TROUBLE = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
_NOT_MADE = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_BUSY = (
    *("too many requests", "toomanyrequests", "rate limit", "pull qps exceeded", "quota exceeded", "account limit"),
    *("temporarily unavailable", "service unavailable", "bad gateway", "gateway timeout", "timeout", "timed out"),
    *("internal server error", "connection reset", "unexpected eof", "tls handshake"),
)
"""What a registry says that will be different later; anything else about an image will not."""
_NODE_GONE = {"NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity", "DeletionByTaintManager"}


@dataclass(frozen=True)
class Limits:
    """How long each state of a pod may last, in seconds."""

    schedule_s: float = 600
    start_s: float = 300
    hopeless_s: float = 8
    """A fault that only people can mend must stay this long: a first word may be wrong."""
    unknown_s: float = 120
    terminate_s: float = 90
    """After a deletion: the grace of 30 s and some more."""


@dataclass
class PodWatch:
    """Looks at a pod again and again until it has ended. All times are monotonic seconds of this process."""

    container: str
    limits: Limits
    _since: dict[str, float] = field(default_factory=dict)
    _busy: bool = False
    """Whether the registry's last detailed word was that it is busy; a bare ImagePullBackOff says nothing."""

    def look(self, pod: Any | None, now: float) -> PodEnd | None:
        """The end of the pod, or None while there is something to wait for.

        Args:
            pod: a V1Pod of either client; None where the API knows none.
        """
        if pod is None or pod.status is None:
            return PodEnd(End.VANISHED, "the pod is gone from the cluster")
        if pod.status.phase in ("Succeeded", "Failed") or _terminated(pod, self.container) is not None:
            return end_of(pod, self.container)
        if pod.metadata.deletion_timestamp is not None:
            return self._after(
                "deleted", self.limits.terminate_s, now, End.NODE_LOST, "the pod was deleted and does not go away"
            )
        if pod.status.phase == "Unknown":
            text = f"the pod's phase is unknown: {pod.status.message or pod.status.reason or 'its node is silent'}"
            return self._after("unknown", self.limits.unknown_s, now, End.PHASE_UNKNOWN, text)
        self._since.pop("unknown", None)
        return self._before_start(pod, now) if pod.status.phase == "Pending" else None

    def _before_start(self, pod: Any, now: float) -> PodEnd | None:
        for waiting in _waiting(pod):
            message = f"{waiting.reason}: {waiting.message or 'no more is said'}"
            if waiting.reason in _NO_SUCH_IMAGE:
                return PodEnd(End.IMAGE_MISSING, message)
            if waiting.reason in _PULL_TROUBLE:
                return self._pull_trouble(waiting, message, now)
            if waiting.reason in _NOT_MADE:
                return self._after("not made", self.limits.hopeless_s, now, End.CANNOT_START, message)
        scheduled = _condition(pod, "PodScheduled")
        if scheduled is None or scheduled.status != "True":
            reason = (scheduled and scheduled.message) or "the scheduler gives no reason"
            return self._after("unscheduled", self.limits.schedule_s, now, End.UNSCHEDULABLE, f"no node: {reason}")
        text = f"not started within {self.limits.start_s:.0f} s of finding a node"
        return self._after("unstarted", self.limits.start_s, now, End.START_TIMEOUT, text)

    def _pull_trouble(self, waiting: Any, message: str, now: float) -> PodEnd | None:
        said = (waiting.message or "").lower()
        if waiting.reason != "ImagePullBackOff" or any(word in said for word in _BUSY):
            self._busy = any(word in said for word in _BUSY)
        if self._busy:
            self._since.pop("no image", None)
            return self._after("unstarted", self.limits.start_s, now, End.IMAGE_THROTTLED, message)
        return self._after("no image", self.limits.hopeless_s, now, End.IMAGE_MISSING, message)

    def _after(self, what: str, limit_s: float, now: float, end: End, how: str) -> PodEnd | None:
        """That end, once this has been so for longer than its limit."""
        return PodEnd(end, how) if now - self._since.setdefault(what, now) >= limit_s else None


def end_of(pod: Any, container: str) -> PodEnd:
    """How a pod whose work is over ended."""
    status, ended = pod.status, _terminated(pod, container)
    said = f": {status.message}" if status.message else ""
    if status.reason == "DeadlineExceeded":
        return PodEnd(End.DEADLINE, f"the pod ran longer than its deadline{said}")
    if ended is not None and ended.reason == "OOMKilled":
        return PodEnd(End.OUT_OF_MEMORY, "the pod was killed for using more memory than its limit")
    disruption = _condition(pod, "DisruptionTarget")
    reason = status.reason or (disruption is not None and disruption.status == "True" and disruption.reason)
    if reason:
        end = End.NODE_LOST if reason in _NODE_GONE else End.EVICTED
        return PodEnd(end, f"the pod was ended: {reason}{said or ': ' + ((disruption and disruption.message) or '')}")
    if ended is None:
        return _never_ran(pod, said)
    if ended.reason in ("ContainerCannotRun", "StartError"):
        return PodEnd(End.CANNOT_START, f"{ended.reason}: {ended.message or f'exit code {ended.exit_code}'}")
    how = f"exit code {ended.exit_code} ({ended.reason})"
    return PodEnd(End.KILLED if ended.exit_code in (137, 143) else End.EXIT, how, ended.exit_code)


def _never_ran(pod: Any, said: str) -> PodEnd:
    for status in pod.status.init_container_statuses or []:
        failed = status.state.terminated if status.state is not None else None
        if failed is not None and failed.exit_code:
            how = f"the init container {status.name} ended with {failed.exit_code} ({failed.reason}){said}"
            return PodEnd(End.INIT_FAILED, how)
    return PodEnd(End.NODE_LOST, f"the pod failed before its container ran{said}")


def has_started(pod: Any, container: str) -> bool:
    """Whether there is a log to read."""
    state = _state(pod, container)
    return state is not None and (state.running is not None or state.terminated is not None)


def has_ended(pod: Any, container: str) -> bool:
    """Whether the work of a pod is over."""
    return pod.status.phase in ("Succeeded", "Failed") or _terminated(pod, container) is not None


def _terminated(pod: Any, container: str) -> Any | None:
    state = _state(pod, container)
    return None if state is None else state.terminated


def _state(pod: Any, container: str) -> Any | None:
    found = [status.state for status in pod.status.container_statuses or [] if status.name == container]
    return found[0] if found else None


def _waiting(pod: Any) -> Iterable[Any]:
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        if status.state is not None and status.state.waiting is not None and status.state.waiting.reason:
            yield status.state.waiting


def _condition(pod: Any, kind: str) -> Any | None:
    found = [condition for condition in pod.status.conditions or [] if condition.type == kind]
    return found[0] if found else None
