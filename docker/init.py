"""Before the dev stack's Airflow: its database, the schema of the state database, and the lake's bucket. Repeatable."""

import os
import subprocess
import sys

import psycopg
import s3fs

subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg://", "postgresql://")
with psycopg.connect(url) as connection:
    connection.execute("CREATE SCHEMA IF NOT EXISTS base_ops")
bucket = os.environ["BASE_LAKE_URL"].removeprefix("s3://").split("/")[0]
store = s3fs.S3FileSystem()
if not store.exists(bucket):
    store.mkdir(bucket)
