"""When a pod has ended, and how: the rules alone, moment by moment; and its log lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.client import models as k8s

from base_ops.orchestration.kubernetes.failures import BEFORE_START, End, PodEnd
from base_ops.orchestration.kubernetes.logs import PodLog, split_time
from base_ops.orchestration.kubernetes.watch import Limits, PodWatch, end_of, has_started

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def pod(phase: str = "Running", reason: str | None = None, message: str | None = None, **more: Any) -> k8s.V1Pod:
    state = more.pop("state", None)
    statuses = None
    if state is not None:
        about = {"name": "base", "image": "i", "image_id": "i", "ready": False, "restart_count": 0}
        statuses = [k8s.V1ContainerStatus(**about, state=state)]
    deleted = NOW if more.pop("deleted", False) else None
    conditions = [
        k8s.V1PodCondition(type=t, status=s, reason=r, message=m) for t, s, r, m in more.pop("conditions", [])
    ]
    status = k8s.V1PodStatus(
        phase=phase, reason=reason, message=message, container_statuses=statuses, conditions=conditions
    )
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", deletion_timestamp=deleted), status=status)


def waiting(reason: str, message: str = "") -> k8s.V1Pod:
    state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))
    return pod("Pending", state=state, conditions=[("PodScheduled", "True", None, None)])


def ended(code: int, reason: str = "Error") -> k8s.V1ContainerState:
    return k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, reason=reason))


@pytest.mark.parametrize(
    ("found", "end", "code"),
    [
        (pod("Succeeded", state=ended(0, "Completed")), End.EXIT, 0),
        (pod("Failed", state=ended(3)), End.EXIT, 3),
        (pod("Failed", state=ended(137, "OOMKilled")), End.OUT_OF_MEMORY, None),
        (pod("Failed", state=ended(137)), End.KILLED, 137),
        (pod("Failed", state=ended(143)), End.KILLED, 143),
        (pod("Failed", "Evicted", "low on memory", state=ended(137)), End.EVICTED, None),
        (pod("Failed", "Preempting"), End.EVICTED, None),
        (pod("Failed", "NodeShutdown", state=ended(0)), End.NODE_LOST, None),
        (pod("Failed", "DeadlineExceeded", state=ended(143)), End.DEADLINE, None),
        (pod("Failed", state=ended(128, "StartError")), End.CANNOT_START, None),
        (pod("Failed"), End.NODE_LOST, None),
        (
            pod("Failed", state=ended(143), conditions=[("DisruptionTarget", "True", "PreemptionByScheduler", "x")]),
            End.EVICTED,
            None,
        ),
        (
            pod("Failed", state=ended(143), conditions=[("DisruptionTarget", "True", "DeletionByTaintManager", None)]),
            End.NODE_LOST,
            None,
        ),
    ],
)
def test_how_a_pod_ended(found: k8s.V1Pod, end: End, code: int | None) -> None:
    told = end_of(found, "base")
    assert (told.end, told.exit_code) == (end, code)
    assert told == PodEnd.of_event(told.as_event())
    assert PodWatch("base", Limits()).look(found, 0) == told


def test_an_init_container_that_fails_is_named() -> None:
    found = pod("Failed")
    about = {"image": "i", "image_id": "i", "ready": False, "restart_count": 0}
    found.status.init_container_statuses = [
        k8s.V1ContainerStatus(name="first", state=ended(0, "Completed"), **about),
        k8s.V1ContainerStatus(name="vault-agent-init", state=ended(2), **about),
    ]
    told = end_of(found, "base")
    assert told == PodEnd(End.INIT_FAILED, "the init container vault-agent-init ended with 2 (Error)")
    assert type(told.error("x", 1)).__name__ == "PodInitFailed" and End.INIT_FAILED in BEFORE_START


def test_a_sidecar_that_goes_on_does_not_hold_the_job_up() -> None:
    told = PodWatch("base", Limits()).look(pod("Running", state=ended(0, "Completed")), 0)
    assert told is not None and told.exit_code == 0


@pytest.mark.parametrize(
    ("found", "after_s", "end"),
    [
        (pod("Running", deleted=True), 90, End.NODE_LOST),
        (pod("Unknown"), 120, End.PHASE_UNKNOWN),
        (pod("Pending"), 600, End.UNSCHEDULABLE),
        (pod("Pending", conditions=[("PodScheduled", "True", None, None)]), 300, End.START_TIMEOUT),
        (waiting("ErrImagePull", "manifest unknown"), 8, End.IMAGE_MISSING),
        (waiting("ImagePullBackOff"), 8, End.IMAGE_MISSING),
        (waiting("ErrImagePull", "429 Too Many Requests"), 300, End.IMAGE_THROTTLED),
        (waiting("CreateContainerConfigError", "no secret"), 8, End.CANNOT_START),
        (waiting("ContainerCreating"), 300, End.START_TIMEOUT),
    ],
)
def test_how_long_each_state_may_last(found: k8s.V1Pod, after_s: float, end: End) -> None:
    watch = PodWatch("base", Limits())
    assert watch.look(found, 1000) is None
    assert watch.look(found, 1000 + after_s - 0.1) is None
    told = watch.look(found, 1000 + after_s)
    assert told is not None and told.end is end


def test_a_bare_back_off_is_what_the_registry_last_said() -> None:
    """A bad name fails within 15 s, though the kubelet soon says no more than that it waits."""
    watch = PodWatch("base", Limits())
    assert watch.look(waiting("ErrImagePull", "toomanyrequests"), 0) is None
    assert watch.look(waiting("ImagePullBackOff", "Back-off pulling image"), 100) is None
    assert watch.look(waiting("ErrImagePull", "not found"), 200) is None
    told = watch.look(waiting("ImagePullBackOff", "Back-off pulling image"), 208)
    assert told is not None and told.end is End.IMAGE_MISSING
    assert Limits().hopeless_s < 15


def test_a_phase_that_is_known_again_starts_afresh() -> None:
    watch = PodWatch("base", Limits())
    assert watch.look(pod("Unknown"), 0) is None
    assert watch.look(pod("Running"), 100) is None
    assert watch.look(pod("Unknown"), 200) is None
    assert watch.look(pod("Unknown"), 319) is None


def test_a_log_is_there_once_the_container_has_started() -> None:
    assert not has_started(waiting("ContainerCreating"), "base")
    assert has_started(pod("Failed", state=ended(1)), "base")
    assert has_started(pod(state=k8s.V1ContainerState(running=k8s.V1ContainerStateRunning())), "base")


# -- log lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-20T10:00:00.5Z hello world", ("2026-11-20T10:00:00.500000000", "hello world")),
        ("2026-11-20T10:00:00.123456789Z x", ("2026-11-20T10:00:00.123456789", "x")),
        ("2026-11-20T12:00:00+02:00 x", ("2026-11-20T10:00:00.000000000", "x")),
        ("2026-11-20T10:00:00Z ", ("2026-11-20T10:00:00.000000000", "")),
        ("no time at all", ("", "no time at all")),
    ],
)
def test_the_time_of_a_line(line: str, expected: tuple[str, str]) -> None:
    assert split_time(line) == expected


class Streams:
    """A log that is read in several streams, each cut somewhere."""

    def __init__(self, lines: list[str], cuts: list[tuple[int, int]]) -> None:
        self.text = "".join(f"{line}\n" for line in lines).encode()
        self.cuts = cuts

    def log(self, *_: Any) -> Any:
        cut, size = self.cuts.pop(0) if self.cuts else (len(self.text), 7)
        data = self.text[:cut]

        class Response:
            def stream(self, amt: None, decode_content: bool) -> Any:
                yield from (data[n : n + size] for n in range(0, len(data), size))
                if cut < len(Streams_text):
                    raise OSError("cut")

            def close(self) -> None:
                pass

        Streams_text = self.text
        return Response()


@given(
    seconds=st.lists(st.integers(0, 1), max_size=30),
    cuts=st.lists(st.tuples(st.integers(0, 600), st.integers(1, 40)), max_size=6),
)
def test_however_it_is_cut_each_line_comes_once(seconds: list[int], cuts: list[tuple[int, int]]) -> None:
    """Also where several lines have the same time."""
    moment, lines, expected = 0, [], []
    for number, step in enumerate(seconds):
        moment += step
        lines.append(f"2026-11-20T10:00:{moment:02d}.000000000Z line {number}")
        expected.append(f"line {number}")
    seen: list[str] = []
    streams = Streams(lines, list(cuts))
    log = PodLog(streams, "base", seen.append)  # type: ignore[arg-type]
    for _ in range(len(cuts)):
        log.follow(k8s.V1Pod())
    second = PodLog(streams, "base", seen.append, log.position)  # type: ignore[arg-type]
    second.drain(k8s.V1Pod())
    assert seen == expected
