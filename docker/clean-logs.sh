#!/usr/bin/env bash
# What the chart's log groomers run, as Airflow's own image has it: logs older than so many days go, four times an hour.
while :; do
  find "$AIRFLOW_HOME/logs" -type f -mtime "+${AIRFLOW__LOG_RETENTION_DAYS:-15}" -delete
  sleep "$((${AIRFLOW__LOG_CLEANUP_FREQUENCY_MINUTES:-15} * 60))"
done
