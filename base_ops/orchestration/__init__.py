"""The Airflow side: operators, runners, the DAG factory and what is published after a job. Imports Airflow."""
