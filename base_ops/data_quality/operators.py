"""Operators of data_quality: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class ValidatorOperator(AgentOperator):
    agent = "data_quality.validator"
