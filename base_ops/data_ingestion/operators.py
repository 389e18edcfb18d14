"""Operators of data_ingestion: one per agent, all alike."""

from base_ops.orchestration.operator import AgentOperator


class CollectorOperator(AgentOperator):
    agent = "data_ingestion.collector"


class ConnectorOperator(AgentOperator):
    agent = "data_ingestion.connector"


class ConverterOperator(AgentOperator):
    agent = "data_ingestion.converter"


class FetchRetryOperator(AgentOperator):
    agent = "data_ingestion.fetch_retry"


class MergerOperator(AgentOperator):
    agent = "data_ingestion.merger"


class ModelTrainerOperator(AgentOperator):
    agent = "data_ingestion.model_trainer"


class SchedulerOperator(AgentOperator):
    agent = "data_ingestion.scheduler"
