"""Operators of data_security: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class MaskerOperator(AgentOperator):
    agent = "data_security.masker"
