"""Operators of data_security: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class ClassifierOperator(AgentOperator):
    agent = "data_security.classifier"


class EncryptionManagerOperator(AgentOperator):
    agent = "data_security.encryption_manager"


class MaskerOperator(AgentOperator):
    agent = "data_security.masker"
