"""Failpoints: named places where a test can kill the worker. They cost one comparison when unused.

`BASE_FAILPOINT=name` kills at the first pass through `name`, `name:3` at the third.
"""

from __future__ import annotations

import os
import signal

_armed: str = ""
_left: int = 0
seen: set[str] = set()


def arm(setting: str) -> None:
    """Arm one failpoint from its setting; '' disarms."""
    global _armed, _left
    name, _, count = setting.partition(":")
    _armed, _left = name, int(count or 1)


def failpoint(name: str) -> None:
    """Die here (SIGKILL, nothing is cleaned up) if this failpoint is armed."""
    global _left
    if _armed == "":
        return
    if _armed == "record":
        seen.add(name)
        return
    if name == _armed:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
