"""An S3 server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen


@contextmanager
def s3_server() -> Iterator[str]:
    """Its URL; it knows any key and secret."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        yield url
    finally:
        with urlopen(Request(f"{url}/moto-api/reset", method="POST"), timeout=30):  # buckets outlive a server
            server.stop()


def client(url: str) -> Any:
    """A boto3 client of the server, to arrange what tests need."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
