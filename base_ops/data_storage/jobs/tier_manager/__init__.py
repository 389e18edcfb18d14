"""data_storage.tier_manager: where data is kept; one file per action."""

from __future__ import annotations

from base_ops.data_storage.jobs.tier_manager.store_validated_data import store_validated_data
from base_ops.data_storage.jobs.tier_manager.unpublish import unpublish
from base_ops.data_storage.specs.tier_manager import StoreValidatedDataSpec, UnpublishSpec
from base_ops.worker.context import Context, JobOutput


def run(spec: StoreValidatedDataSpec | UnpublishSpec, ctx: Context) -> JobOutput:
    """Do the spec's action; see its file."""
    return unpublish(spec, ctx) if isinstance(spec, UnpublishSpec) else store_validated_data(spec, ctx)
