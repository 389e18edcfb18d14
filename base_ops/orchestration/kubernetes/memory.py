"""Out of memory: a retry gets twice as much, up to the ceiling of its profile; there it ends, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes.client import V1Pod

from base_ops.core.errors import BaseOpsError
from base_ops.orchestration.kubernetes.failures import PodMemoryCeiling, PodOutOfMemory
from base_ops.orchestration.kubernetes.template import CONTAINER, mebibytes

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

MEMORY_KEY = "base_memory_mb"
"""What the next try gets, in the task state store, which survives retries."""


def remembered_mb(context: Context) -> int | None:
    """What an earlier try has left for this one, in MiB."""
    store = context.get("task_state_store")
    found = store.get(MEMORY_KEY) if store is not None else None
    return found if isinstance(found, int) else None


def raise_for_next_try(context: Context, limit_mb: int, ceiling_mb: int) -> int:
    """Remember more memory for the next try; returns how much, in MiB."""
    following = min(2 * limit_mb, ceiling_mb)
    store = context.get("task_state_store")
    if store is not None:
        store.set(MEMORY_KEY, following)
    return following


def limit_of(pod: V1Pod) -> int | None:
    """The memory limit of a pod's working container in MiB."""
    containers = [c for c in (pod.spec.containers if pod.spec else []) if c.name == CONTAINER]
    limits = (containers[0].resources.limits if containers and containers[0].resources else None) or {}
    return mebibytes(limits["memory"]) if "memory" in limits else None


def out_of_memory(
    context: Context, task_id: str, profile: str, limit_mb: int | None, ceiling_mb: int, found: str
) -> PodOutOfMemory | PodMemoryCeiling:
    """The task's end after running out of memory.

    Args:
        found: how it ended, with the peak.
    """
    found = f"limit {limit_mb} MiB, {found}"
    if limit_mb is None or limit_mb >= ceiling_mb:
        error = BaseOpsError(
            "The job ran out of memory at the ceiling of its profile",
            code="pod_memory_ceiling",
            found=found,
            todo=f"choose a larger profile than {profile!r}, or give it less work at once",
        )
        return PodMemoryCeiling(f"{task_id}: {error.text()}")
    following = raise_for_next_try(context, limit_mb, ceiling_mb)
    error = BaseOpsError(
        "The job ran out of memory",
        code="pod_out_of_memory",
        found=found,
        todo=f"the retry gets {following} MiB; the profile {profile!r} allows up to {ceiling_mb} MiB",
    )
    return PodOutOfMemory(f"{task_id}: {error.text()}")
