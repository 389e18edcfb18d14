"""data_storage.tier_manager: where data is kept; one file per action."""

from __future__ import annotations

from base_ops.data_storage.jobs.tier_manager.store_validated_data import store_validated_data
from base_ops.data_storage.specs import TierManagerSpec
from base_ops.worker.context import Context, JobOutput

_ACTIONS = {"store_validated_data": store_validated_data}


def run(spec: TierManagerSpec, ctx: Context) -> JobOutput:
    return _ACTIONS[spec.action](spec, ctx)
