"""Before Airflow starts: its settings are right, its database and the lake can be reached, and what they need is there.

Airflow's tables, the schema of the state database, the lake's bucket, pools that count waiting pods. Repeatable.
What is wrong is said in one line.
"""

import os
import subprocess
import sys

import psycopg
import s3fs

from base_ops.core.errors import BaseOpsError, Transient
from base_ops.core.settings import load_settings
from base_ops.data_ingestion.options.schedule_policies import load_schedules


def main() -> None:
    settings = load_settings()
    _schema(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg://", "postgresql://"))
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    _pools()
    if settings.lake.startswith("s3://"):
        _bucket(settings.lake.removeprefix("s3://").split("/")[0])


def _schema(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS base_ops")
    except psycopg.OperationalError as error:
        about = psycopg.conninfo.conninfo_to_dict(url)
        raise Transient(
            "Airflow's database cannot be reached",
            code="no_database",
            where=f"{about.get('host')}:{about.get('port', 5432)}/{about.get('dbname')}",
            found=str(error).splitlines()[0],
            todo="see that it runs, and correct AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        ) from None


def _pools() -> None:
    """Those of schedules.yaml and of the modules, of the environment's size; the default one counts as they do."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    from base_ops.orchestration.pools import make_pools

    with create_session() as session:
        make_pools(load_schedules(), session)
        session.query(Pool).filter(Pool.pool == Pool.DEFAULT_POOL_NAME).update({"include_deferred": True})


def _bucket(bucket: str) -> None:
    store = s3fs.S3FileSystem()
    try:
        if not store.exists(bucket):
            store.mkdir(bucket)
    except OSError as error:
        raise Transient(
            "The lake's bucket cannot be reached",
            code="no_lake",
            where=bucket,
            found=f"{type(error).__name__}: {error}",
        ) from None


if __name__ == "__main__":
    try:
        main()
    except BaseOpsError as error:
        sys.stderr.write(error.text() + "\n")
        sys.exit(error.outcome.exit_code)
