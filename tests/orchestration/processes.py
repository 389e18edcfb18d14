"""Looking at processes, for tests."""

from __future__ import annotations

import os
import select


def is_gone(pid: int) -> bool:
    """Whether a process ends now or has ended; a kill takes a moment to act."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)
