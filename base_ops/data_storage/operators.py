"""Operators of data_storage: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class TierManagerOperator(AgentOperator):
    agent = "data_storage.tier_manager"
