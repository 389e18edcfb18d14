"""A pod's log in the task's log: once and whole. A cut stream is taken up at the exact line.

The API takes up a log by whole seconds only. Each line carries the time the container runtime gave it (to the
nanosecond), so what was seen before is left out by that time, and by count where several lines share one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any

from kubernetes.client import V1Pod
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from base_ops.orchestration.kubernetes.api import PodApi

QUIET_S = 10.0
"""A stream that is quiet for so long is cut, so that the pod is looked at: a dead node never closes a stream."""
CLOCK_MARGIN_S = 60
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d) ?(.*)", re.DOTALL)


@dataclass
class PodLog:
    """Reads a container's log from where it stopped.

    Args:
        emit: takes each line.
        position: (time of the last line, how many lines had that time), from an earlier process of the same try.
    """

    api: PodApi
    container: str
    emit: Callable[[str], None]
    position: tuple[str, int] = ("", 0)
    quiet_s: float = QUIET_S
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))

    def follow(self, pod: V1Pod) -> None:
        """Emit lines as they come until the stream ends, is cut, or is quiet."""
        self._read(pod, follow=True)

    def drain(self, pod: V1Pod) -> None:
        """Emit what is left of the log of a pod that has ended; a node that is gone has nothing to give."""
        for _ in range(3):
            if self._read(pod, follow=False):
                return
        self.log.warning("The rest of the log of %s cannot be read any more.", pod.metadata.name)

    def _read(self, pod: V1Pod, follow: bool) -> bool:
        """Whether the stream ended by itself."""
        response = None
        try:
            response = self.api.log(pod, self.container, self._since_s(), follow, self.quiet_s)
            for line in self._new(_lines(response, with_rest=not follow)):
                self.emit(line)
            return True
        except (HTTPError, OSError):  # cut, or quiet
            return False
        except ApiException as error:  # not there yet, or not any more
            return error.status in (400, 404)
        finally:
            if response is not None:
                response.close()

    def _new(self, lines: Iterable[str]) -> Iterator[str]:
        """The texts of the lines after the position, which moves on with each."""
        last, left = self.position
        for line in lines:
            stamp, text = split_time(line)
            if last and stamp and stamp <= last:  # seen before the cut
                left -= stamp == last
                if stamp < last or left >= 0:
                    continue
            if stamp:
                last = ""  # from here on all is new, in whatever order the runtime gives it
                self.position = (stamp, self.position[1] + 1 if stamp == self.position[0] else 1)
            yield text

    def _since_s(self) -> int | None:
        """Seconds to look back: to the last line, and a margin, since node and we have clocks of our own."""
        if not self.position[0]:
            return None
        last = datetime.fromisoformat(self.position[0][:19]).replace(tzinfo=UTC)
        return max(0, ceil((datetime.now(UTC) - last).total_seconds())) + CLOCK_MARGIN_S


def split_time(line: str) -> tuple[str, str]:
    """(time in UTC with nine digits, text) of a line; the time is empty where there is none."""
    found = _TIME.match(line)
    if found is None:
        return "", line
    moment = datetime.fromisoformat(found[1] + ("+00:00" if found[3] == "Z" else found[3])).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{(found[2] or '').ljust(9, '0')[:9]}", found[4]


def _lines(response: Any, with_rest: bool) -> Iterator[str]:
    """Lines of a stream. A last one without its end may be cut: it is left for the next read, unless there is none."""
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest and with_rest:
        yield rest.decode("utf-8", "replace")
