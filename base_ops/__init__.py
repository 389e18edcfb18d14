"""base_ops: YAML in, dependable data pipelines on Apache Airflow out."""

__version__ = "0.1.0"
