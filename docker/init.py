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
from base_ops.core.ids import MODULES
from base_ops.core.settings import load_settings

_MODULE_SLOTS = 20


def main() -> None:
    settings = load_settings()
    _schema(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg://", "postgresql://"))
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    make_pools(settings.env)
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


def pool_slots(env: str) -> dict[str, int]:
    """Pools that pipelines may name (`pool:`): three by urgency, ten times as large in prod, and one per module."""
    scale = 10 if env == "prod" else 1
    urgency = {"base_high": 20 * scale, "base_normal": 50 * scale, "base_low": 30 * scale}
    return urgency | dict.fromkeys(MODULES, _MODULE_SLOTS)


def make_pools(env: str) -> None:
    """Those that are there keep their size. All count deferred tasks: each has a pod that runs."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Pool).filter(Pool.pool == Pool.DEFAULT_POOL_NAME).update({"include_deferred": True})
        known = {name for (name,) in session.query(Pool.pool)}
        for name, slots in pool_slots(env).items():
            if name not in known:
                session.add(Pool(pool=name, slots=slots, description="made by base_ops", include_deferred=True))


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
