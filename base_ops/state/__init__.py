"""The state database: what is not in the lake (outbox of events), and an index of what is (runs).

SQLite (WAL) by default, Postgres in a deployment. Usable by both sides: imports neither Airflow nor polars.
"""

from base_ops.state.store import StateStore

__all__ = ["StateStore"]
