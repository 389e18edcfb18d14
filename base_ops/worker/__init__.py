"""The side that touches data: entry point, engine, lake, formats, connectors. Never imports Airflow."""
