"""Operators of data_ingestion: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class CollectorOperator(AgentOperator):
    agent = "data_ingestion.collector"


class ConverterOperator(AgentOperator):
    agent = "data_ingestion.converter"


class MergerOperator(AgentOperator):
    agent = "data_ingestion.merger"
