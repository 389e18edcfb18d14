"""Configuration files of data_ingestion: dags/config/data_ingestion/some-name.yaml is checked by `SomeNameFile`."""

from base_ops.data_ingestion.options.agreements import FormatSpecificationsFile as FormatSpecificationsFile
from base_ops.data_ingestion.options.agreements import IngestionPoliciesFile as IngestionPoliciesFile
from base_ops.data_ingestion.options.connections import AuthenticationTemplatesFile as AuthenticationTemplatesFile
from base_ops.data_ingestion.options.retries import RetryPoliciesFile as RetryPoliciesFile
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile as SchedulesFile
