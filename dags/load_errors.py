"""Holds no DAG: shows what is wrong in pipelines/ as an Airflow import error that takes no good DAG down."""

from pathlib import Path

from base_ops.orchestration.factory import raise_faults

raise_faults(Path(__file__).parent / "pipelines")
